"""The table of measured effects, `OUTPUT/uplift/cutoff=D/effects.parquet`: estimates and errors of each customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, UsageError, sample
from features.outputs.layout import UPLIFT_MANIFEST
from features.outputs.manifests import UpliftManifest, read_manifest, rewriting_advice
from features.outputs.parquet_files import read_parquet
from features.storage.json_files import file_digest
from features.task import other_zone
from serving.effects.believed_effects import EstimatedEffects

RETURN, VALUE = "return", "value"
COLUMNS = ("customer_id", "action", "effect_return", "effect_value", "effect_value_error", "source")
RETURN_ERROR = "effect_return_error"  # tables of earlier versions do not have it


@dataclass(frozen=True)
class EffectTable:
    """The measured effects on the scored customers; nothing if there is no table.

    Attributes:
        path: The file.
        digest: Its sha256; '' if there is none.
        sources: The `source` of each measured action, such as 'measured'.
        estimates: By outcome and measured action.
        plans: The measured plans from which the effects were learned.
    """

    path: Path
    digest: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    estimates: Mapping[str, Mapping[str, EstimatedEffects]] = field(default_factory=dict)
    plans: tuple[str, ...] = ()


def read_effect_table(config: Config, rules: PlanConfig, cutoff: date, scores: pa.Table) -> EffectTable:
    """Reads the measured effects of a plan's actions.

    Args:
        config: The business.
        rules: Its [plan].
        cutoff: The scored cutoff.
        scores: The score table, n rows.

    Returns:
        The effects, in the order of the score table; nan for customers without one.

    Raises:
        UsageError: An action of the table is not in the config, or effects have days that begin in another zone.
        DataError: The table is not as expected.
    """
    path = config.outputs.uplift(cutoff) / "effects.parquet"
    if not path.exists() and not (path.parent / UPLIFT_MANIFEST).exists():
        return EffectTable(path)
    manifest = _manifest_beside(path, config.task.timezone)
    rows = read_parquet(path, None, manifest.sha256 if manifest else "")
    if missing := [name for name in COLUMNS if name not in rows.column_names]:
        raise DataError(f"{path} has no column {', '.join(missing)}; {rewriting_advice(path)}")
    if any(rows[name].null_count for name in ("customer_id", "action", "source")):
        raise DataError(f"{path}: a customer_id, action or source is empty; run `regulars uplift` again")
    known = set(rows["action"].unique().to_pylist())
    _refuse_unknown_actions(known, rules, path)
    evidence = manifest.evidence if manifest else {}
    sources: dict[str, str] = {}
    estimates: dict[str, dict[str, EstimatedEffects]] = {RETURN: {}, VALUE: {}}
    for action in (name for name in rules.actions if name in known):
        of_action = rows.filter(pc.equal(rows["action"], action))
        columns = _customer_columns(of_action, scores, action, path)
        sources[action] = " and ".join(sorted(of_action["source"].unique().to_pylist()))
        for outcome, by_action in estimates.items():
            effects, errors = columns[f"effect_{outcome}"], columns[f"effect_{outcome}_error"]
            figures = evidence.get(action, {}).get(outcome, {})
            parts = _posterior_parts(of_action, f"effect_{outcome}_parts", scores) if figures.get("posterior") else None
            by_action[action] = EstimatedEffects(effects, errors, figures, parts)
    return EffectTable(path, file_digest(path), sources, estimates, tuple(manifest.plans if manifest else ()))


def _customer_columns(rows: pa.Table, scores: pa.Table, action: str, path: Path) -> dict[str, np.ndarray]:
    """The effects of an action and their errors, (n,) each; nan for customers not in the table."""
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
    names = ("effect_return", RETURN_ERROR, "effect_value", "effect_value_error")
    columns = {name: np.full(scores.num_rows, np.nan) for name in names}
    for name in (name for name in names if name in rows.column_names):
        columns[name][index] = as_floats(rows[name])[known]
    return columns


def _posterior_parts(rows: pa.Table, name: str, scores: pa.Table) -> np.ndarray | None:
    """Independent errors (n, k) of an action's effects, nan for customers not in the table; None if there are none."""
    if name not in rows.column_names or rows[name].null_count:
        return None
    index = pc.index_in(rows["customer_id"], value_set=scores["customer_id"].combine_chunks())
    known = index.is_valid().to_numpy(zero_copy_only=False)
    lists = rows[name].combine_chunks()
    values = lists.flatten().to_numpy().reshape(len(lists), -1)
    parts = np.full((scores.num_rows, values.shape[1]), np.nan)
    parts[index.fill_null(0).to_numpy()[known]] = values[known]
    return parts


def _manifest_beside(path: Path, zone: str) -> UpliftManifest | None:
    """The manifest of the table, None for a table that the user made; its days must begin in this zone."""
    try:
        manifest = read_manifest(path.parent / UPLIFT_MANIFEST, UpliftManifest)
    except FileNotFoundError:
        return None
    if problem := other_zone({"timezone": manifest.timezone}, zone):
        raise UsageError(
            f"{path}: was computed {problem}; run `regulars train uplift`, then `regulars uplift` again, or set it back"
        )
    return manifest


def _refuse_unknown_actions(known: set[str], rules: PlanConfig, path: Path) -> None:
    """Refuses measured actions that the config does not name: their cost is unknown."""
    unknown = sorted(known - set(rules.actions))
    if unknown:
        raise UsageError(
            f"{path}: has effects of {sample(unknown)}, but the config lacks them; add [plan.actions.{unknown[0]}] "
            "with its cost (capacity = 0 keeps it out of plans)"
        )


def as_floats(column: pa.ChunkedArray) -> np.ndarray:
    """A column as floats, with nan for null."""
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy())
