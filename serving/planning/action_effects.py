"""The effect of each action on each customer: measured by the uplift model, or assumed in the config.

Measured effects are read from `OUTPUT/uplift/cutoff=D/effects.parquet`, which `regulars uplift` writes. An action that
is missing there, or every action if there is no such table, is assumed to keep the share `save_rate` of the customers
who would leave: its effect on return is save_rate x churn_probability, and on value save_rate x value_at_risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, UsageError, sample
from features.json_files import file_digest
from features.outputs.layout import UPLIFT_MANIFEST as MANIFEST
from features.outputs.manifests import UpliftManifest, read_manifest
from features.outputs.parquet_files import read_parquet
from features.task import other_zone
from serving.language.messages import N_

ASSUMED = N_("assumed")
EFFECT_COLUMNS = ("customer_id", "action", "effect_return", "effect_value", "effect_value_error", "source")


@dataclass(frozen=True)
class ActionEffects:
    """Effects (n, a) of each action on each customer; nan where no effect is known.

    Attributes:
        on_return: Effect on the probability of returning.
        on_value: Effect on value over the horizon, before the cost of the action.
        error: Standard error of `on_value`; nan where the effect is assumed.
        sources: (a,) source of each action's effects: 'assumed', or the `source` in the table, such as 'measured'.
        digest: sha256 of the table; '' if none was read.
    """

    on_return: np.ndarray
    on_value: np.ndarray
    error: np.ndarray
    sources: tuple[str, ...]
    digest: str

    @property
    def assumed(self) -> bool:
        """Whether any effect is assumed."""
        return ASSUMED in self.sources


def load_action_effects(config: Config, rules: PlanConfig, cutoff: date, scores: pa.Table) -> ActionEffects:
    """Loads the effects of a plan's actions on the scored customers.

    Args:
        config: The business.
        rules: Its [plan].
        cutoff: The scored cutoff.
        scores: The score table, n rows.

    Returns:
        The effects, in the order of the score table.

    Raises:
        UsageError: A measured action is not in the config, an action has neither a measured effect nor a save rate, or
            effects were measured with days that begin in another zone.
        DataError: The table of effects is not as expected.
    """
    path = config.outputs.uplift(cutoff) / "effects.parquet"
    measured = _read_effects(path, config.task.timezone) if path.exists() or (path.parent / MANIFEST).exists() else None
    measured_actions = set(measured["action"].unique().to_pylist()) if measured else set()
    _refuse_unknown_actions(measured_actions, rules, path)
    n = scores.num_rows
    columns, sources = [], []
    for name, action in rules.actions.items():
        if measured is not None and name in measured_actions:
            effect, source = _measured_effects(measured.filter(pc.equal(measured["action"], name)), scores, name, path)
        elif action.save_rate is not None:
            effect, source = _assumed_effects(action.save_rate, scores), ASSUMED
        else:
            raise UsageError(
                f"[plan.actions.{name}]: its effect was not measured ({path.relative_to(config.output.parent)}), and "
                f"it has no save_rate to assume; run `regulars uplift --cutoff {cutoff}`, or set save_rate"
            )
        columns.append(effect)
        sources.append(source)
    stacked = np.stack(columns, axis=-1).reshape((3, n, len(columns)))
    digest = file_digest(path) if measured is not None else ""
    return ActionEffects(stacked[0], stacked[1], stacked[2], tuple(sources), digest)


def _assumed_effects(save_rate: float, scores: pa.Table) -> np.ndarray:
    """(3, n) effect on return, effect on value, and nan for its error."""
    churn, at_risk = (_floats(scores[name]) for name in ("churn_probability", "value_at_risk"))
    return np.stack([save_rate * churn, save_rate * at_risk, np.full(len(churn), np.nan)])


def _measured_effects(rows: pa.Table, scores: pa.Table, action: str, path: Path) -> tuple[np.ndarray, str]:
    """(3, n) effect on return, effect on value and its error, and their source; nan for customers not in the table."""
    index = pc.index_in(rows["customer_id"], value_set=scores["customer_id"].combine_chunks())
    known = index.is_valid().to_numpy(zero_copy_only=False)
    index = index.fill_null(0).to_numpy()[known]
    if len(np.unique(index)) != len(index):
        repeated = scores["customer_id"].take(pa.array(np.flatnonzero(np.bincount(index) > 1))).to_pylist()
        raise DataError(
            f"{path}: expected one effect of {action!r} for each customer, found several effects of {action!r} for "
            f"customers such as {sample(repeated, 3)}; run `regulars uplift` again"
        )
    if not len(index):
        raise DataError(
            f"{path}: no customer with an effect of {action!r} was scored; scores and effects must have the same cutoff"
        )
    effects = np.full((3, scores.num_rows), np.nan)
    for row, name in enumerate(("effect_return", "effect_value", "effect_value_error")):
        effects[row, index] = _floats(rows[name])[known]
    return effects, " and ".join(sorted(rows["source"].unique().to_pylist()))


def _read_effects(path: Path, zone: str) -> pa.Table:
    """The table of effects; one beside a manifest must be the file that it records, with days of this zone."""
    try:
        manifest = read_manifest(path.parent / MANIFEST, UpliftManifest)
        checksum, problem = manifest.sha256, other_zone({"timezone": manifest.timezone}, zone)
    except FileNotFoundError:
        checksum, problem = "", ""  # a table that the user made
    if problem:
        raise UsageError(
            f"{path}: was computed {problem}; run `regulars train uplift`, then `regulars uplift` again, or set it back"
        )
    table = read_parquet(path, EFFECT_COLUMNS, checksum)
    if any(table[name].null_count for name in ("customer_id", "action", "source")):
        raise DataError(f"{path}: a customer_id, action or source is empty; run `regulars uplift` again")
    return table


def _refuse_unknown_actions(known: set[str], rules: PlanConfig, path: Path) -> None:
    """Refuses measured actions that the config does not name: their cost is unknown."""
    unknown = sorted(known - set(rules.actions))
    if unknown:
        raise UsageError(
            f"{path}: has effects of {sample(unknown)}, but the config lacks them; add [plan.actions.{unknown[0]}] "
            "with its cost (capacity = 0 keeps it out of plans)"
        )


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """A column as floats, with nan for null."""
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
