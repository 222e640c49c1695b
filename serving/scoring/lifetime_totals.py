"""Lifetime value of all customers together: the totals with their intervals, and how far labels reach, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from features.outputs.manifests import ScoreManifest
from features.phrases import format_number
from serving.language.messages import N_, Language, get_language
from training.artifact.bundle import ModelBundle
from training.artifact.lifetime import Lifetime, profit_column

WHOLE_LIFE = "lifetime_value"
REACH = N_(
    "Labels reach {days} days after a cutoff. Beyond that, lifetime value rests on the assumption that customers drop "
    "out as they did."
)


def lifetime_totals(bundle: ModelBundle, predicted: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """The totals as the manifest of scores has them; None if the model has no lifetime value.

    Args:
        bundle: The value model.
        predicted: Its predictions (n,) by column.

    Returns:
        `reach` (days), `discount` (a year), `margin`, and `totals`: for each horizon its column, days, total with its
        prediction interval, and profit.
    """
    lifetime = bundle.lifetime
    if lifetime is None:
        return None
    totals = [_total(lifetime, place, predicted) for place in range(len(lifetime.horizons))]
    return {"reach": lifetime.reach, "discount": lifetime.discount, "margin": lifetime.margin, "totals": totals}


def _total(lifetime: Lifetime, place: int, predicted: Mapping[str, np.ndarray]) -> dict[str, Any]:
    horizon = lifetime.horizons[place]
    value = predicted[horizon.column]
    low, high = horizon.spread.total_interval(np.ones_like(value), value)
    profit = predicted.get(profit_column(horizon.column))
    return {
        "column": horizon.column,
        "days": horizon.days,
        "total": float(value.sum()),
        "low": low,
        "high": high,
        "profit": None if profit is None else float(profit.sum()),
    }


def is_lifetime(column: str) -> bool:
    """Whether this is the column of an expected lifetime value, and not of one of its interval's ends.

    >>> [name for name in ("value", "value_90d", "value_12m", "value_12m_low", "lifetime_value") if is_lifetime(name)]
    ['value_12m', 'lifetime_value']
    """
    return column == WHOLE_LIFE or re.fullmatch(r"value_\d+m", column) is not None


def lifetime_name(column: str, tr: Language) -> str:
    """The name of a column of lifetime value for a reader, such as 'Value over 24 months'."""
    if column == WHOLE_LIFE:
        return tr("Lifetime value")
    return tr("Value over {n} months", n=column.removeprefix("value_").removesuffix("m"))


def reach_text(manifest: ScoreManifest, tr: Language) -> str:
    """How far lifetime value can see, in words; empty without lifetime value."""
    return tr(REACH, days=manifest.lifetime["reach"]) if manifest.lifetime else ""


def lifetime_lines(manifest: ScoreManifest, language: str = "en") -> list[str]:
    """The totals of all customers as lines for a terminal; empty without lifetime value."""
    if not manifest.lifetime:
        return []
    tr = get_language(language)
    lines = [
        tr(
            "{name} of all customers: {total} ({low} to {high})",
            name=lifetime_name(row["column"], tr),
            **{key: format_number(row[key], "money") for key in ("total", "low", "high")},
        )
        for row in manifest.lifetime["totals"]
    ]
    return [*lines, reach_text(manifest, tr)]
