"""Features and mature labels for many cutoffs, or features alone for scoring, in stored stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from features.catalog import catalog, families
from features.config import Config
from features.engine import DuckDBEngine, open_engine
from features.errors import DataError, UsageError
from features.feature import Feature
from features.files import file_in_place
from features.intake import Tables, load
from features.labels import label_columns, labels
from features.past import KEYS, ahead, cutoff_rows, look_back, order_days
from features.reuse import Shelf, keys
from features.reuse import shelf as open_shelf
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
        reused: How many cutoffs were read from the cache; their bits are those of a build from nothing.
    """

    rows: pa.Table
    features: tuple[Feature, ...]
    task: Task
    fingerprint: str
    data_fingerprint: str
    end: date
    reused: int = 0

    @property
    def names(self) -> list[str]:
        """The feature columns."""
        return [feature.name for feature in self.features]


def build(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: DuckDBEngine,
    *,
    with_labels: bool = True,
    shelf: Shelf | None = None,
) -> Snapshots:
    """Features, and labels where asked for, of every cohort.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: When; need not be sorted.
        engine: Where it runs.
        with_labels: Whether churned and value are wanted; they are null where they are not mature.
        shelf: Where the features of unchanged cutoffs are, and those of others go; None builds all from nothing.

    Raises:
        UsageError: A cutoff lies outside the log.
    """
    _refuse_outside(tables, cutoffs)
    wanted, features = sorted(set(cutoffs)), catalog(task, tables.contract)
    if shelf is None:
        (rows, orders), reused = _anew(tables, task, wanted, engine), 0
    else:
        rows, orders, reused = _reusing(shelf, tables, task, wanted, engine)
    if with_labels:
        rows = _labelled(rows, orders, tables, task, engine.load("label_cutoffs", cutoff_rows(wanted)))
    return Snapshots(
        rows=engine.arrow(rows.order_by("cutoff", "customer_id")),
        features=features,
        task=task,
        fingerprint=_fingerprint(tables, task, features),
        data_fingerprint=tables.fingerprint,
        end=tables.end,
        reused=reused,
    )


def from_config(config: Config, cutoffs: Sequence[date] | None = None, *, with_labels: bool = True) -> Snapshots:
    """Reads a config's log and builds its snapshots, in one call; unchanged cutoffs come from the config's cache.

    Args:
        config: The business.
        cutoffs: When; by default every mature cutoff that can be learned from.
        with_labels: Whether churned and value are wanted.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log.
    """
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = load(config, engine)
        require(tables, task, engine)
        wanted = mature_cutoffs(tables, task) if cutoffs is None else cutoffs
        return build(tables, task, wanted, engine, with_labels=with_labels, shelf=open_shelf(config))


def build_file(config: Config, cutoffs: Sequence[date], out: Path) -> tuple[int, int, int]:
    """Builds snapshots of a config's log into a Parquet file; returns its rows, its columns and the cutoffs reused.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the file cannot be written.
    """
    snapshots = from_config(config, cutoffs)
    with file_in_place(out) as beside:
        pq.write_table(snapshots.rows.combine_chunks(), beside, compression="zstd")
    return snapshots.rows.num_rows, snapshots.rows.num_columns, snapshots.reused


def _anew(tables: Tables, task: Task, cutoffs: Sequence[date], engine: DuckDBEngine) -> tuple[ibis.Table, ibis.Table]:
    """The features of every cohort, made from nothing, and the stored orders they were made of."""
    made = families(task, tables.contract)
    steps = tqdm(total=3 + len(made), desc="features", leave=False, disable=None)

    def stage(name: str, expr: ibis.Table) -> ibis.Table:
        stored = engine.store(name, expr)
        steps.update()
        return stored

    with steps:
        past = look_back(tables, task, cutoffs, engine, stage)
        wide = reduce(_join, [stage(family.name, family.measures(past)) for family in made if family.measures])
        cohort = wide.filter(wide.recency <= task.cohort.active_within.days)
        compared = [stage(family.name, family.among(cohort)) for family in made if family.among]
    cohort = reduce(_join, compared, cohort)
    columns = {f.name: f.compute(cohort).cast(f.dtype) for family in made for f in family.features}
    return cohort.select(customer_id=cohort.customer_id, cutoff=cohort.cutoff.cast("timestamp"), **columns), past.orders


def _reusing(
    shelf: Shelf, tables: Tables, task: Task, cutoffs: Sequence[date], engine: DuckDBEngine
) -> tuple[ibis.Table, ibis.Table, int]:
    """The features of every cohort, their orders, and how many cutoffs came from the shelf; the others go there."""
    names = keys(tables, task, catalog(task, tables.contract), cutoffs, engine, shelf.salt)
    stored = {c: rows for c in cutoffs if (rows := _taken(shelf, c, names[c], engine)) is not None}
    missing = [c for c in cutoffs if c not in stored]
    if not missing:
        return ibis.union(*stored.values()), engine.store("orders", order_days(tables)), len(stored)
    made, orders = _anew(tables, task, missing, engine)
    made = engine.store("built", made)
    for cutoff in missing:
        part = made.filter(made.cutoff == ibis.literal(cutoff).cast("timestamp")).order_by("customer_id")
        if not shelf.keep(cutoff, names[cutoff], partial(engine.write, part)):
            break
    shelf.tidy()
    return ibis.union(*stored.values(), made) if stored else made, orders, len(stored)


def _taken(shelf: Shelf, cutoff: date, key: str, engine: DuckDBEngine) -> ibis.Table | None:
    """The part of a cutoff, stored in the engine; None where there is none, or it went away meanwhile."""
    part = shelf.find(cutoff, key)
    try:
        return None if part is None else engine.store(f"reused_{cutoff}", engine.read(str(part), shelf.folder))
    except DataError:
        return None


def _labelled(rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table) -> ibis.Table:
    """Adds what came after: churned and value."""
    has_amount = tables.contract.has_amount
    future = labels(ahead(orders, moments, task.horizon), has_amount)
    joined = _join(rows, future.mutate(cutoff=future.cutoff.cast("timestamp")))
    mature = joined.cutoff <= ibis.literal(tables.end - task.horizon.delta).cast("timestamp")
    return joined.select(*rows.columns, **label_columns(joined, mature, has_amount))


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
