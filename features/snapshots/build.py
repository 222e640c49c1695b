"""Features and mature labels for many cutoffs, or features alone for scoring; unchanged cutoffs come from a shelf."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.dataset as ds

from features.atomic_files import file_in_place, folder_in_place
from features.audit.audit import mature_cutoffs, require_no_breach, with_too_long_windows
from features.catalog.custom import NO_CUSTOM_FEATURES, CustomFeatures, read_custom_features
from features.catalog.families import catalog_features
from features.config.load import Config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError, UsageError
from features.feature import Feature
from features.intake.read_log import read_tables
from features.intake.subscription_terms import one_row_per_term
from features.intake.tables import Tables
from features.point_in_time.history import KEYS, cutoff_table, order_days, rows_in_horizon, terms_at_cutoffs
from features.point_in_time.labels import churned_label, cover_outcomes, null_if_immature, purchase_labels, value_label
from features.snapshots.cache import SnapshotCache, cache_keys
from features.snapshots.cache import open_cache as open_shelf
from features.snapshots.cohort_features import build_cohort_features, join_on_keys
from features.task import Task, Window

__all__ = [
    "KEYS",
    "SnapshotQuery",
    "PreparedFeatures",
    "Snapshots",
    "snapshots_from_tables",
    "write_snapshots",
    "build_snapshots",
    "snapshot_query",
    "prepare_features",
]

MAX_CUTOFF_DELAY = Window(7)


@dataclass(frozen=True)
class Snapshots:
    """One row a customer and cutoff: customer_id, cutoff, the features, then the labels where asked for.

    The labels are churned and value, then the value over each longer horizon, such as value_180d.

    Attributes:
        rows: Sorted by cutoff and customer_id; features are float64, or text where their unit is 'level'; labels are
            null where immature.
        features: The features, in the order of their columns.
        task: The task they belong to.
        fingerprint: Of the data, the task, the catalog and the user's own features.
        data_fingerprint: Of the data alone.
        end: First day about which the log says nothing: the newest cutoff that can be scored.
        reused: How many cutoffs were read from the shelf; their bits are those of a build from nothing.
        own: The digest of the file of the user's own features; empty where there is none.
        touched: How many rows were left out because of contacts within their labels' interval.
    """

    rows: pa.Table
    features: tuple[Feature, ...]
    task: Task
    fingerprint: str
    data_fingerprint: str
    end: date
    reused: int = 0
    own: str = ""
    touched: int = 0

    @property
    def names(self) -> list[str]:
        """The feature columns."""
        return [feature.name for feature in self.features]

    @property
    def cutoffs(self) -> list[date]:
        """The cutoffs of the rows, ascending."""
        return sorted(moment.date() for moment in self.rows["cutoff"].unique().to_pylist())


@dataclass(frozen=True)
class SnapshotQuery:
    """Snapshots whose stages are stored and whose rows are still an expression, sorted."""

    rows: ibis.Table
    features: tuple[Feature, ...]
    reused: int


@dataclass(frozen=True)
class PreparedFeatures:
    """A log that was read, and what is known of a cutoff's features before they are built.

    Attributes:
        features: The features, in the order of their columns.
        fingerprint: As that of `Snapshots`, and so are `data_fingerprint` and `own`.
        write: Builds the rows of `Snapshots` without labels into Parquet at a path where nothing is: one file with
            DuckDB, a folder of parts with Spark. Collects nothing.
        engine: Where the log was read.
    """

    features: tuple[Feature, ...]
    fingerprint: str
    data_fingerprint: str
    own: str
    write: Callable[[Path], None]
    engine: Engine


def snapshots_from_tables(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    *,
    own: CustomFeatures = NO_CUSTOM_FEATURES,
    with_labels: bool = True,
    cache: SnapshotCache | None = None,
) -> Snapshots:
    """Features, and labels where asked for, of every cohort.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: When; need not be sorted.
        engine: Where it runs.
        own: The user's own features.
        with_labels: Whether churned and value are wanted; they are null where they are not mature.
        cache: Where the features of unchanged cutoffs are, and those of others go; None builds all from nothing.

    Raises:
        UsageError: A cutoff lies outside the log, or a feature of the user's own cannot be computed.
    """
    planned = snapshot_query(tables, task, cutoffs, engine, own=own, with_labels=with_labels, cache=cache)
    return Snapshots(
        rows=engine.arrow(planned.rows),
        features=planned.features,
        task=task,
        fingerprint=_fingerprint(tables, task, planned.features, own.digest),
        data_fingerprint=tables.fingerprint,
        end=tables.end,
        reused=planned.reused,
        own=own.digest,
    )


def snapshot_query(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    *,
    own: CustomFeatures = NO_CUSTOM_FEATURES,
    with_labels: bool = True,
    cache: SnapshotCache | None = None,
) -> SnapshotQuery:
    """What `build` collects, with the same arguments and errors."""
    _refuse_outside(tables, cutoffs)
    dates, features = sorted(set(cutoffs)), (*catalog_features(task, tables.contract), *own.features)
    if cache is None:
        built, reused = build_cohort_features(tables, task, dates, engine, own), 0
        rows, orders = built.rows, built.orders
    else:
        rows, orders, reused = _reusing(cache, tables, task, dates, engine, own)
    if with_labels:
        rows = _labelled(rows, orders, tables, task, engine.load("label_cutoffs", cutoff_table(dates)))
    return SnapshotQuery(rows.order_by("cutoff", "customer_id"), features, reused)


def build_snapshots(config: Config, cutoffs: Sequence[date] | None = None, *, with_labels: bool = True) -> Snapshots:
    """Reads a config's log and builds its snapshots, in one call; unchanged cutoffs come from the config's shelf.

    Of snapshots with labels, [training] learn_from = 'untouched' keeps those rows that no contact touched.

    Args:
        config: The business.
        cutoffs: When; by default every mature cutoff that can be learned from.
        with_labels: Whether churned and value are wanted.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the user's own features cannot be used.
    """
    with open_log(config, cutoffs) as (engine, tables, wanted, own):
        cache = open_shelf(config)
        task = config.task.task()
        snapshots = snapshots_from_tables(tables, task, wanted, engine, own=own, with_labels=with_labels, cache=cache)
        if with_labels and config.training.learn_from == "untouched":
            return drop_contacted(snapshots, contacted_in_horizon(tables, task, snapshots.cutoffs, engine))
        return snapshots


def contacted_in_horizon(tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> pa.Table:
    """Customers and cutoffs with a contact in the interval of any of their labels; the control is none.

    Returns:
        customer_id and cutoff (a timestamp), each once.
    """
    rows = tables.sides["contacts"].rows
    longest = max([task.horizon, *task.longer.values()])
    moments = engine.load("touched_cutoffs", cutoff_table(cutoffs))
    contacts = _timed(rows_in_horizon(rows.filter(~rows.held_out).select("customer_id", "day"), moments, longest))
    return engine.arrow(contacts.select(*KEYS).distinct().order_by("cutoff", "customer_id"))


def drop_contacted(snapshots: Snapshots, contacted: pa.Table) -> Snapshots:
    """Snapshots without the rows of some customers and cutoffs; a fingerprint of their own.

    Raises:
        DataError: Nobody is left at any cutoff.
    """
    row_keys = snapshots.rows.select(KEYS).to_pandas()
    contacted_rows = contacted.to_pandas().assign(touched=True)
    contacted_rows["cutoff"] = contacted_rows.cutoff.astype(row_keys.cutoff.dtype)
    kept = row_keys.merge(contacted_rows, on=list(KEYS), how="left", sort=False).touched.isna().to_numpy()
    if len(kept) and not kept.any():
        raise DataError(
            "[training] learn_from = 'untouched': every customer was contacted within the label's interval, at every "
            "cutoff; hold some out, or learn from 'all'"
        )
    fingerprint = hashlib.sha256(f"{snapshots.fingerprint} untouched".encode()).hexdigest()[:16]
    return replace(
        snapshots, rows=snapshots.rows.filter(pa.array(kept)), fingerprint=fingerprint, touched=int((~kept).sum())
    )


def write_snapshots(config: Config, cutoffs: Sequence[date], out: Path) -> tuple[int, int, int]:
    """Builds snapshots of a config's log into Parquet, without collecting them; there whole or not at all.

    DuckDB writes one file, Spark a folder of parts.

    Returns:
        How many rows and columns, and how many cutoffs were reused.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the place cannot be written to.
    """
    with open_log(config, cutoffs) as (engine, tables, wanted, own):
        planned = snapshot_query(tables, config.task.task(), wanted, engine, own=own, cache=open_shelf(config))
        with (folder_in_place if engine.writes_folders else file_in_place)(out) as target:
            engine.write(planned.rows, target)
    written = ds.dataset(out, format="parquet")
    return written.count_rows(), len(written.schema), planned.reused


@contextmanager
def prepare_features(config: Config, cutoff: date) -> Iterator[PreparedFeatures]:
    """A config's log, read: whether anything is new can be asked before the features of a cutoff are built.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The cutoff lies outside the log, or the user's own features cannot be used.
    """
    with open_log(config, [cutoff]) as (engine, tables, wanted, own):
        task = config.task.task()
        _refuse_outside(tables, wanted)
        features = (*catalog_features(task, tables.contract), *own.features)

        def write(target: Path) -> None:
            planned = snapshot_query(tables, task, wanted, engine, own=own, with_labels=False, cache=open_shelf(config))
            if engine.writes_folders:
                target.mkdir()
            engine.write(planned.rows, target)

        fingerprint = _fingerprint(tables, task, features, own.digest)
        yield PreparedFeatures(features, fingerprint, tables.fingerprint, own.digest, write, engine)


@contextmanager
def open_log(
    config: Config, cutoffs: Sequence[date] | None
) -> Iterator[tuple[Engine, Tables, Sequence[date], CustomFeatures]]:
    """An engine, a config's log in it, the cutoffs (by default every mature one) and the user's own features."""
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = with_too_long_windows(read_tables(config, engine), task)
        require_no_breach(tables, task, engine)
        wanted = mature_cutoffs(tables, task) if cutoffs is None else cutoffs
        yield engine, tables, wanted, read_custom_features(config, task, tables.contract)


def _reusing(
    cache: SnapshotCache, tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, own: CustomFeatures
) -> tuple[ibis.Table, ibis.Table, int]:
    """The features of every cohort, their orders, and how many cutoffs came from the shelf; the others go there."""
    features = (*catalog_features(task, tables.contract), *own.features)
    keys = cache_keys(tables, task, features, cutoffs, engine, own.digest)
    stored = {c: rows for c in cutoffs if (rows := _taken(cache, c, keys[c], engine)) is not None}
    missing = [c for c in cutoffs if c not in stored]
    if not missing:
        return ibis.union(*stored.values()), engine.store("orders", order_days(tables)), len(stored)
    built = build_cohort_features(tables, task, missing, engine, own)
    rows = engine.store("built", built.rows)
    for cutoff in missing:
        part = rows.filter(rows.cutoff == ibis.literal(cutoff).cast("timestamp")).order_by("customer_id")
        if not cache.store_part(cutoff, keys[cutoff], partial(engine.write, part)):
            break
    cache.remove_oldest()
    return ibis.union(*stored.values(), rows) if stored else rows, built.orders, len(stored)


def _taken(cache: SnapshotCache, cutoff: date, key: str, engine: Engine) -> ibis.Table | None:
    """The part of a cutoff, stored in the engine; None where there is none, or it went away meanwhile."""
    part = cache.find_part(cutoff, key)
    try:
        return None if part is None else engine.store(f"reused_{cutoff}", engine.read(str(part), cache.folder))
    except DataError:
        return None


def _labelled(rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table) -> ibis.Table:
    """Adds what came after: churned, value, and the value over each longer horizon."""
    features, money = rows.columns, (tables.contract.has_amount, task.contractual)
    rows = _after(rows, orders, tables, task, moments, task.horizon)
    churned = null_if_immature(churned_label(rows, task.contractual), rows.cutoff, task.horizon, tables.end)
    value = null_if_immature(value_label(rows, *money), rows.cutoff, task.horizon, tables.end)
    rows = rows.select(*features, churned=churned, value=value)
    for name, horizon in task.longer.items():
        later = _after(rows, orders, tables, task, moments, horizon)
        value = null_if_immature(value_label(later, *money), later.cutoff, horizon, tables.end)
        rows = later.select(*rows.columns, **{name: value})
    return rows


def _after(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table, horizon: Window
) -> ibis.Table:
    """Rows with what `labels`, and of contracts `cover`, tell of a horizon."""
    has = tables.contract
    joined = join_on_keys(rows, _timed(purchase_labels(rows_in_horizon(orders, moments, horizon), has.has_amount)))
    if not task.contractual:
        return joined
    terms = one_row_per_term(tables.sides["subscriptions"].rows)
    return join_on_keys(
        joined, _timed(cover_outcomes(terms_at_cutoffs(terms, moments, horizon), horizon, has.price_days))
    )


def with_outcomes(
    rows: ibis.Table, orders: ibis.Table, tables: Tables, task: Task, moments: ibis.Table, horizon: Window
) -> ibis.Table:
    """Rows (customer_id, cutoff, ...) with churned and value over [cutoff, cutoff + horizon), mature or not.

    Args:
        rows: Customers and cutoffs (timestamps).
        orders: From `order_days`, stored.
        tables: The contract.
        task: What churn is.
        moments: One row a cutoff.
        horizon: Of what came; its end must not lie beyond that of the log.
    """
    joined, has_amount = _after(rows, orders, tables, task, moments, horizon), tables.contract.has_amount
    churned, value = churned_label(joined, task.contractual), value_label(joined, has_amount, task.contractual)
    return joined.select(*rows.columns, churned=churned, value=value)


def _timed(rows: ibis.Table) -> ibis.Table:
    """Rows with their cutoff as a timestamp."""
    return rows.mutate(cutoff=rows.cutoff.cast("timestamp"))


def _refuse_outside(tables: Tables, cutoffs: Sequence[date]) -> None:
    """A cutoff must have a past, and one that the log still reaches."""
    latest = tables.last + MAX_CUTOFF_DELAY.delta
    wrong = [c for c in cutoffs if not tables.first < c <= latest]
    if not cutoffs:
        raise UsageError("no cutoff given; expected one or more dates")
    if wrong:
        raise UsageError(
            f"cutoff {wrong[0]} is outside the log, which runs from {tables.first} to {tables.last}; "
            f"give one from {tables.first + Window(1).delta} to {latest}"
        )


def _fingerprint(tables: Tables, task: Task, features: Sequence[Feature], own: str) -> str:
    identity = {"data": tables.fingerprint, "task": repr(task), "features": [f.name for f in features], "own": own}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
