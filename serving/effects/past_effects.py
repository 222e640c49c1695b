"""The effects of past campaigns, as measured, for the prior of the next plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from math import isfinite
from typing import Any

from features.config.load import Config
from features.outputs.layout import MEASUREMENT, plan_name
from features.outputs.manifests import Measurement, read_required_manifest
from serving.effects.believed_effects import PastEffect

ESTIMATORS = {"return": "adjusted", "value": "plain"}  # an adjusted effect on value does not count all money


def past_effects(config: Config, cutoff: date, outcome: str, learned: Collection[str]) -> tuple[PastEffect, ...]:
    """Reads the effects of each action in measured campaigns, as shares of what the holdout brought.

    Left out are campaigns whose outcomes were not complete by the cutoff, or from which nothing is learned
    (`Measurement.refused_because`).

    Args:
        config: The business.
        cutoff: The cutoff of the plan.
        outcome: 'return' or 'value'.
        learned: The plans from which the uplift model learned, which would count twice.

    Returns:
        The effects, by cutoff and campaign.

    Raises:
        DataError: A measurement cannot be read.
    """
    found: list[PastEffect] = []
    for folder in config.outputs.plans(file=MEASUREMENT):
        if plan_name(folder) in learned:
            continue
        measured = read_required_manifest(folder / MEASUREMENT, Measurement)
        complete = measured.mature and measured.cutoff + timedelta(days=measured.horizon_days) <= cutoff
        if complete and not measured.refused_because:
            found += _shares(measured, outcome)
    return tuple(found)


def effect_rows(measured: Measurement, outcome: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of a measurement that say what each action changed: with a holdout that brought something."""
    wanted_key = ("action", outcome, ESTIMATORS[outcome])
    for row in measured.effects:
        wanted = tuple(row.get(name) for name in ("family", "outcome", "estimator")) == wanted_key
        mean, error = (row.get(name) or 0.0 for name in ("mean_held", "error"))
        if wanted and mean > 0 and error > 0 and _is_finite(row.get("effect")):
            yield row


def _shares(measured: Measurement, outcome: str) -> Iterator[PastEffect]:
    for row in effect_rows(measured, outcome):
        yield PastEffect(row["action"], row["effect"] / row["mean_held"], row["error"] / row["mean_held"])


def _is_finite(value: Any) -> bool:
    return value is not None and isfinite(value)
