"""What each action does to each customer: measured, from the table of the uplift model, or assumed, from the config.

Measured effects lie in `OUTPUT/uplift/cutoff=D/effects.parquet`, where `regulars uplift` writes them. An action that is
not in it, or all where there is no such table, is assumed to keep `save_rate` of those who would leave: its effect on
return is save_rate x churn_probability, and on value save_rate x value_at_risk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, UsageError, sample
from serving.language.messages import N_

ASSUMED = N_("assumed")
EFFECT_COLUMNS = ("customer_id", "action", "effect_return", "effect_value", "effect_value_error", "source")


@dataclass(frozen=True)
class ActionEffects:
    """Effects (n, a) of each action on each customer; nan where none is known.

    Attributes:
        on_return: On the probability of returning.
        on_value: On value over the horizon, before the cost.
        error: Standard error of `on_value`; nan where it is assumed.
        sources: (a,) where each action's come from: 'assumed', or what the table says, such as 'measured'.
        digest: sha256 of the table; '' where none was read.
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
    """The effects of a plan's actions on the customers of a score table, in its order.

    Raises:
        UsageError: An action was measured and is not in the config, or has neither a measured effect nor a save rate.
        DataError: The table of effects is not what is expected.
    """
    path = config.output / "uplift" / f"cutoff={cutoff}" / "effects.parquet"
    measured = _read(path) if path.exists() else None
    known = set(measured["action"].unique().to_pylist()) if measured else set()
    _refuse_unknown(known, rules, path)
    n = scores.num_rows
    columns, sources = [], []
    for name, action in rules.actions.items():
        if measured is not None and name in known:
            found, source = _measured(measured.filter(pc.equal(measured["action"], name)), scores, name, path)
        elif action.save_rate is not None:
            found, source = _assumed(action.save_rate, scores), ASSUMED
        else:
            raise UsageError(
                f"[plan.actions.{name}]: no effect of it was measured ({path.relative_to(config.output.parent)}), and "
                f"it has no save_rate to assume; run `regulars uplift --cutoff {cutoff}`, or give it one"
            )
        columns.append(found)
        sources.append(source)
    stacked = np.stack(columns, axis=-1).reshape((3, n, len(columns)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if measured is not None else ""
    return ActionEffects(stacked[0], stacked[1], stacked[2], tuple(sources), digest)


def _assumed(save_rate: float, scores: pa.Table) -> np.ndarray:
    """(3, n) effect on return, on value, and no error."""
    churn, at_risk = (_numbers(scores[name]) for name in ("churn_probability", "value_at_risk"))
    return np.stack([save_rate * churn, save_rate * at_risk, np.full(len(churn), np.nan)])


def _measured(rows: pa.Table, scores: pa.Table, action: str, path: Path) -> tuple[np.ndarray, str]:
    """(3, n) effect on return, on value and its error, and the source; nan for customers whom the table lacks."""
    place = pc.index_in(rows["customer_id"], value_set=scores["customer_id"].combine_chunks())
    known = place.is_valid().to_numpy(zero_copy_only=False)
    place = place.fill_null(0).to_numpy()[known]
    if len(np.unique(place)) != len(place):
        twice = scores["customer_id"].take(pa.array(np.flatnonzero(np.bincount(place) > 1))).to_pylist()
        raise DataError(f"{path}: several effects of {action!r} for one customer, such as {sample(twice, 3)}")
    if not len(place):
        raise DataError(f"{path}: no customer with an effect of {action!r} was scored; both must be of one cutoff")
    found = np.full((3, scores.num_rows), np.nan)
    for line, name in enumerate(("effect_return", "effect_value", "effect_value_error")):
        found[line, place] = _numbers(rows[name])[known]
    return found, " and ".join(sorted(rows["source"].unique().to_pylist()))


def _read(path: Path) -> pa.Table:
    table = pq.ParquetFile(path).read()
    missing = [name for name in EFFECT_COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: expected the columns {', '.join(EFFECT_COLUMNS)}; {', '.join(missing)} is not there")
    if any(table[name].null_count for name in ("customer_id", "action", "source")):
        raise DataError(f"{path}: a customer_id, action or source is empty; run `regulars uplift` again")
    return table


def _refuse_unknown(known: set[str], rules: PlanConfig, path: Path) -> None:
    """Every action that was measured must be named, with its cost."""
    unknown = sorted(known - set(rules.actions))
    if unknown:
        raise UsageError(
            f"{path}: has effects of {sample(unknown)}, which the config lacks; add [plan.actions.{unknown[0]}] "
            "with its cost (capacity = 0 keeps it out of plans)"
        )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column as floats, nan where there is none."""
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
