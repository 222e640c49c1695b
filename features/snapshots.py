"""Features and mature labels for many cutoffs, or features alone for scoring, in stored stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.dataset as ds
from tqdm import tqdm

from features.catalog import families
from features.config import Config
from features.engine import Engine, open_engine
from features.errors import UsageError
from features.feature import Feature
from features.files import file_in_place, folder_in_place
from features.intake import Tables, load
from features.labels import label_columns, labels
from features.past import KEYS, Past, ahead, look_back
from features.schema import mature_cutoffs, require
from features.task import Task, Window

GRACE = Window(7)


@dataclass(frozen=True)
class Snapshots:
    """One row a customer and cutoff: customer_id, cutoff, the features, then churned and value where asked for.

    Attributes:
        rows: Sorted by cutoff and customer_id; features are float64, or text where their unit is 'level'; labels are
            null where immature.
        features: The features, in the order of their columns.
        task: The task they belong to.
        fingerprint: Of the data, the task and the catalog.
        data_fingerprint: Of the data alone.
        end: First day about which the log says nothing: the newest cutoff that can be scored.
    """

    rows: pa.Table
    features: tuple[Feature, ...]
    task: Task
    fingerprint: str
    data_fingerprint: str
    end: date

    @property
    def names(self) -> list[str]:
        """The feature columns."""
        return [feature.name for feature in self.features]


def build(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, *, with_labels: bool = True
) -> Snapshots:
    """Features, and labels where asked for, of every cohort.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: When; need not be sorted.
        engine: Where it runs.
        with_labels: Whether churned and value are wanted; they are null where they are not mature.

    Raises:
        UsageError: A cutoff lies outside the log.
    """
    features, rows = plan(tables, task, cutoffs, engine, with_labels=with_labels)
    return Snapshots(
        rows=engine.arrow(rows),
        features=features,
        task=task,
        fingerprint=_fingerprint(tables, task, features),
        data_fingerprint=tables.fingerprint,
        end=tables.end,
    )


def plan(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, *, with_labels: bool = True
) -> tuple[tuple[Feature, ...], ibis.Table]:
    """The features of `build`, and the expression of its rows: stages are run and stored, the rows not yet."""
    _refuse_outside(tables, cutoffs)
    made = families(task, tables.contract)
    steps = tqdm(total=3 + len(made), desc="features", leave=False, disable=None)

    def stage(name: str, expr: ibis.Table) -> ibis.Table:
        stored = engine.store(name, expr)
        steps.update()
        return stored

    past = look_back(tables, task, cutoffs, engine, stage)
    parts = [stage(family.name, family.measures(past)) for family in made if family.measures]
    wide = reduce(_join, parts)
    cohort = wide.filter(wide.recency <= task.cohort.active_within.days)
    features = tuple(feature for family in made for feature in family.features)
    return features, _final(cohort, features, past, with_labels)


def from_config(config: Config, cutoffs: Sequence[date] | None = None, *, with_labels: bool = True) -> Snapshots:
    """Reads a config's log and builds its snapshots, in one call.

    Args:
        config: The business.
        cutoffs: When; by default every mature cutoff that can be learned from.
        with_labels: Whether churned and value are wanted.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log.
    """
    with _opened(config, cutoffs) as (engine, tables, wanted):
        return build(tables, config.task.task(), wanted, engine, with_labels=with_labels)


def build_file(config: Config, cutoffs: Sequence[date], out: Path) -> tuple[int, int]:
    """Builds snapshots of a config's log into Parquet, without collecting them; returns their rows and columns.

    DuckDB writes one file, Spark a folder of parts. It is there whole or not at all.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the place cannot be written to.
    """
    with _opened(config, cutoffs) as (engine, tables, wanted):
        _, rows = plan(tables, config.task.task(), wanted, engine)
        with (folder_in_place if engine.writes_folders else file_in_place)(out) as beside:
            engine.write(rows, beside)
    written = ds.dataset(out, format="parquet")
    return written.count_rows(), len(written.schema)


@contextmanager
def _opened(config: Config, cutoffs: Sequence[date] | None) -> Iterator[tuple[Engine, Tables, Sequence[date]]]:
    """An engine, a config's log in it, and the cutoffs: by default every mature one that can be learned from."""
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = load(config, engine)
        require(tables, task, engine)
        yield engine, tables, mature_cutoffs(tables, task) if cutoffs is None else cutoffs


def _final(cohort: ibis.Table, features: Sequence[Feature], past: Past, with_labels: bool) -> ibis.Table:
    """Keys, features and labels, sorted."""
    columns = {f.name: f.compute(cohort).cast(f.dtype) for f in features}
    if not with_labels:
        return cohort.select(**_keys(cohort), **columns).order_by("cutoff", "customer_id")
    horizon, has_amount = past.task.horizon, past.tables.contract.has_amount
    joined = _join(cohort, labels(ahead(past.orders, past.moments, horizon), has_amount))
    mature = joined.cutoff <= ibis.literal(past.tables.end - horizon.delta)
    columns = {f.name: f.compute(joined).cast(f.dtype) for f in features}
    return joined.select(**_keys(joined), **columns, **label_columns(joined, mature, has_amount)).order_by(
        "cutoff", "customer_id"
    )


def _keys(table: ibis.Table) -> dict[str, ibis.Value]:
    return {"customer_id": table.customer_id, "cutoff": table.cutoff.cast("timestamp")}


def _join(left: ibis.Table, right: ibis.Table) -> ibis.Table:
    """A left join on customer and cutoff."""
    joined = left.left_join(right, KEYS)
    return joined.drop(*(c for c in joined.columns if c.endswith("_right") and c.removesuffix("_right") in KEYS))


def _refuse_outside(tables: Tables, cutoffs: Sequence[date]) -> None:
    """A cutoff must have a past, and one that the log still reaches."""
    latest = tables.last + GRACE.delta
    wrong = [c for c in cutoffs if not tables.first < c <= latest]
    if not cutoffs:
        raise UsageError("no cutoff given; expected one or more dates")
    if wrong:
        raise UsageError(
            f"cutoff {wrong[0]} is outside the log, which runs from {tables.first} to {tables.last}; "
            f"give one from {tables.first + Window(1).delta} to {latest}"
        )


def _fingerprint(tables: Tables, task: Task, features: Sequence[Feature]) -> str:
    identity = {"data": tables.fingerprint, "task": repr(task), "features": [f.name for f in features]}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
