"""Features and mature labels at many cutoffs, or features alone for scoring; unchanged cutoffs come from the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.dataset as ds

from features.audit.audit import mature_cutoffs, require_no_breach, with_too_long_windows
from features.catalog.custom import NO_CUSTOM_FEATURES, CustomFeatures, read_custom_features
from features.catalog.families import catalog_features
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.feature import Feature
from features.intake.log import Business, Log, as_date, opened
from features.intake.tables import Tables
from features.point_in_time.history import KEYS, cutoff_table, order_days, owned_columns, rows_in_horizon
from features.snapshots.built_file import built_file
from features.snapshots.cache import SnapshotCache, cache_keys, open_cache
from features.snapshots.cohort_features import build_cohort_features
from features.snapshots.label_revisions import find_revisions
from features.snapshots.outcomes import add_labels, with_timestamp_cutoff
from features.snapshots.snapshots import PreparedFeatures, Snapshots, features_fingerprint, short_digest
from features.snapshots.training_rows import RowChoice, choose_rows, rows_within_memory, take_rows
from features.task import Task, Window

__all__ = [
    "KEYS",
    "SnapshotQuery",
    "PreparedFeatures",
    "RowChoice",
    "Snapshots",
    "choose_training_rows",
    "snapshots_from_tables",
    "write_snapshots",
    "build_snapshots",
    "snapshot_query",
    "prepare_features",
    "checked_log",
]

MAX_CUTOFF_DELAY = Window(7)  # a cutoff lies at most so long after the last day of the log


@dataclass(frozen=True)
class SnapshotQuery:
    """Snapshots before they are collected: the stages are stored, the rows are still an expression.

    Attributes:
        rows: As those of `Snapshots`, sorted.
        features: The features, in the order of their columns.
        reused: How many cutoffs came from the cache.
        orders: From `order_days`, stored.
    """

    rows: ibis.Table
    features: tuple[Feature, ...]
    reused: int
    orders: ibis.Table


def snapshots_from_tables(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    *,
    own: CustomFeatures = NO_CUSTOM_FEATURES,
    with_labels: bool = True,
    cache: SnapshotCache | None = None,
    spans: Sequence[Window] = (),
) -> Snapshots:
    """Features, and labels if wanted, of the cohort at each cutoff.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, in any order.
        engine: Where it runs.
        own: The custom features.
        with_labels: Whether churned and value are wanted; they are null where immature.
        cache: Holds the features of unchanged cutoffs, and stores those of the others; None builds everything.
        spans: See `Task.value_labels`.

    Returns:
        The snapshots, collected.

    Raises:
        UsageError: A cutoff lies outside the log, or a custom feature cannot be computed.
    """
    dates = sorted(set(cutoffs))
    query = snapshot_query(tables, task, dates, engine, own=own, with_labels=with_labels, cache=cache, spans=spans)
    return Snapshots(
        rows=engine.to_arrow(query.rows),
        features=query.features,
        task=task,
        fingerprint=features_fingerprint(tables.fingerprint, task, query.features, own.digest),
        data_fingerprint=tables.fingerprint,
        end=tables.end,
        reused=query.reused,
        own=own.digest,
        label_delay=tables.label_delay,
        revisions=find_revisions(query.orders, tables, task, dates, engine, spans) if with_labels else (),
        spans=tuple(spans),
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
    spans: Sequence[Window] = (),
) -> SnapshotQuery:
    """The query whose rows `snapshots_from_tables` collects.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, in any order.
        engine: Where it runs.
        own: The custom features.
        with_labels: Whether churned and value are wanted; they are null where immature.
        cache: Holds the features of unchanged cutoffs, and stores those of the others; None builds everything.
        spans: See `Task.value_labels`.

    Returns:
        The query, its stages stored in the engine.

    Raises:
        UsageError: A cutoff lies outside the log, or a custom feature cannot be computed.
    """
    _refuse_outside(tables, cutoffs)
    dates, features = sorted(set(cutoffs)), (*catalog_features(task, tables.contract), *own.features)
    if cache is None:
        built, reused = build_cohort_features(tables, task, dates, engine, own), 0
        rows, orders = built.rows, built.orders
    else:
        rows, orders, reused = _rows_with_cache(cache, tables, task, dates, engine, own)
    if with_labels:
        rows = add_labels(rows, orders, tables, task, engine.store_arrow("label_cutoffs", cutoff_table(dates)), spans)
    return SnapshotQuery(rows.order_by("cutoff", "customer_id"), features, reused, orders)


def build_snapshots(
    business: Business,
    cutoffs: Sequence[date | str] | None = None,
    *,
    with_labels: bool = True,
    choice: RowChoice | None = None,
) -> Snapshots:
    """Builds the snapshots of a log; unchanged cutoffs come from the config's cache.

    With labels and [training] learn_from = 'untouched', rows with a contact within their labels' interval are left out.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoffs: The cutoffs; by default those of `choice`.
        with_labels: Whether churned and value are wanted.
        choice: Which rows are wanted, if no cutoffs are given; by default those of `choose_training_rows`.

    Returns:
        The snapshots, collected.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or the custom features cannot be used.
    """
    days = None if cutoffs is None else RowChoice(tuple(as_date(cutoff) for cutoff in cutoffs))
    with opened(business) as log:
        chosen = days or choice or choose_training_rows(log)
        with checked_log(log) as (engine, tables, own):
            config, task = log.config, log.config.task.to_task()
            rows = take_rows(tables, chosen, engine)
            wanted: dict[str, Any] = {"own": own, "with_labels": with_labels, "spans": chosen.spans}
            snapshots = snapshots_from_tables(rows, task, chosen.cutoffs, engine, cache=open_cache(config), **wanted)
            if chosen.note:
                which = f"{snapshots.fingerprint} {chosen.share} {', '.join(map(str, chosen.cutoffs))}"
                snapshots = replace(snapshots, fingerprint=short_digest(which))
            if with_labels and config.training.learn_from == "untouched":
                snapshots = drop_contacted(snapshots, contacted_in_horizon(rows, task, snapshots.cutoffs, engine))
            return replace(snapshots, choice=chosen)


def choose_training_rows(log: Log, most: int | None = None) -> RowChoice:
    """Chooses the rows that models learn from: of every mature cutoff, as far as the limit and [engine] memory allow.

    Args:
        log: An opened log.
        most: Most rows; by default [training] rows.

    Returns:
        The choice.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The custom features cannot be used.
    """
    with checked_log(log) as (engine, tables, own):
        config, task = log.config, log.config.task.to_task()
        columns = len(catalog_features(task, tables.contract)) + len(own.features)
        limit = config.training.rows if most is None else most
        within = rows_within_memory(limit, config.engine.memory, columns)
        return replace(choose_rows(tables, task, mature_cutoffs(tables, task), within, engine), columns=columns)


def contacted_in_horizon(tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> pa.Table:
    """Customers and cutoffs with a contact within the interval of any of their labels; a control is no contact.

    Args:
        tables: The contract, with contacts.
        task: Its longest horizon counts.
        cutoffs: The cutoffs.
        engine: Where it runs.

    Returns:
        customer_id and cutoff (a timestamp), each pair once.
    """
    rows = tables.sides["contacts"].rows
    longest = max([task.horizon, *task.longer.values()])
    moments = engine.store_arrow("touched_cutoffs", cutoff_table(cutoffs))
    contacts = with_timestamp_cutoff(
        rows_in_horizon(
            rows.filter(~rows.held_out).select("customer_id", "day", *owned_columns(rows)), moments, longest
        )
    )
    return engine.to_arrow(contacts.select(*KEYS).distinct().order_by("cutoff", "customer_id"))


def drop_contacted(snapshots: Snapshots, contacted: pa.Table) -> Snapshots:
    """Snapshots without the rows of the given customers and cutoffs, with a fingerprint of their own.

    Raises:
        DataError: No row is left at any cutoff.
    """
    row_keys = snapshots.rows.select(KEYS).to_pandas()
    contacted_rows = contacted.to_pandas().assign(touched=True)
    contacted_rows["cutoff"] = contacted_rows.cutoff.astype(row_keys.cutoff.dtype)
    kept = row_keys.merge(contacted_rows, on=list(KEYS), how="left", sort=False).touched.isna().to_numpy()
    if len(kept) and not kept.any():
        raise DataError(
            "[training] learn_from = 'untouched': every customer was contacted within the label's interval, at every "
            "cutoff; hold some customers out, or set it to 'all'"
        )
    return replace(
        snapshots,
        rows=snapshots.rows.filter(pa.array(kept)),
        fingerprint=short_digest(f"{snapshots.fingerprint} untouched"),
        touched=int((~kept).sum()),
    )


def write_snapshots(business: Business, cutoffs: Sequence[date], out: Path) -> tuple[int, int, int]:
    """Writes snapshots of a log as Parquet without collecting them; `out` is complete or not there.

    DuckDB writes one file, Spark a folder of parts.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoffs: The cutoffs.
        out: The file or folder to write.

    Returns:
        How many rows and columns were written, and how many cutoffs came from the cache.

    Raises:
        DataError: The log breaks its contract.
        UsageError: A cutoff lies outside the log, or `out` cannot be written, or must not be replaced.
    """
    with opened(business) as log, checked_log(log) as (engine, tables, own):
        task, cache = log.config.task.to_task(), open_cache(log.config)
        query = snapshot_query(tables, task, cutoffs, engine, own=own, cache=cache)
        with built_file(log.config, out) as target:
            engine.write_parquet(query.rows, target)
    written = ds.dataset(out, format="parquet")
    return written.count_rows(), len(written.schema), query.reused


@contextmanager
def prepare_features(log: Log, cutoff: date, other: Task | None = None) -> Iterator[PreparedFeatures]:
    """Reads a log, so that a caller can check whether anything changed before features are built.

    Args:
        log: An opened log.
        cutoff: The cutoff.
        other: A task with another cohort than the config's; its features are neither cached nor custom.

    Yields:
        The prepared features.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The cutoff lies outside the log, or the custom features cannot be used.
    """
    with checked_log(log) as (engine, tables, own):
        task, dates = log.config.task.to_task() if other is None else other, [cutoff]
        cache = open_cache(log.config) if other is None else None
        if other is not None:
            tables, own = with_too_long_windows(tables, other), NO_CUSTOM_FEATURES
        _refuse_outside(tables, dates)
        features = (*catalog_features(task, tables.contract), *own.features)

        def write(target: Path) -> None:
            query = snapshot_query(tables, task, dates, engine, own=own, with_labels=False, cache=cache)
            if engine.writes_folders:
                target.mkdir()
            engine.write_parquet(query.rows, target)

        fingerprint = features_fingerprint(tables.fingerprint, task, features, own.digest)
        yield PreparedFeatures(features, fingerprint, tables.fingerprint, own.digest, write, engine)


@contextmanager
def checked_log(log: Log) -> Iterator[tuple[Engine, Tables, CustomFeatures]]:
    """The engine, the tables of a log that keeps the contract, and the custom features, for a block of work.

    What the block stores in the engine is dropped at its end.

    Raises:
        DataError: The log breaks its contract.
        UsageError: The custom features cannot be used.
    """
    config, task = log.config, log.config.task.to_task()
    with log.stages() as (engine, log_tables):
        tables = with_too_long_windows(log_tables, task)
        require_no_breach(tables, task, engine)
        yield engine, tables, read_custom_features(config, task, tables.contract)


def _rows_with_cache(
    cache: SnapshotCache, tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, own: CustomFeatures
) -> tuple[ibis.Table, ibis.Table, int]:
    """The features of every cohort, the orders, and how many cutoffs came from the cache; stores the others there."""
    features = (*catalog_features(task, tables.contract), *own.features)
    keys = cache_keys(tables, task, features, cutoffs, engine, own.digest)
    cached = {c: rows for c in cutoffs if (rows := _cached_part(cache, c, keys[c], engine)) is not None}
    to_build = [c for c in cutoffs if c not in cached]
    if not to_build:
        return ibis.union(*cached.values()), engine.store("orders", order_days(tables)), len(cached)
    built = build_cohort_features(tables, task, to_build, engine, own)
    rows = engine.store("built", built.rows.order_by("cutoff", "customer_id"))  # DuckDB keeps the order of a table
    for cutoff in to_build:
        part = rows.filter(rows.cutoff == ibis.literal(cutoff).cast("timestamp"))
        if not cache.store_part(cutoff, keys[cutoff], partial(engine.write_parquet, part)):
            break
    cache.remove_oldest()
    return ibis.union(*cached.values(), rows) if cached else rows, built.orders, len(cached)


def _cached_part(cache: SnapshotCache, cutoff: date, key: str, engine: Engine) -> ibis.Table | None:
    """The cached features of a cutoff, stored in the engine; None if there are none or they were just removed."""
    part = cache.find_part(cutoff, key)
    try:
        return None if part is None else engine.store(f"reused_{cutoff}", engine.read_files(str(part), cache.folder))
    except DataError:
        return None


def _refuse_outside(tables: Tables, cutoffs: Sequence[date]) -> None:
    """Refuses cutoffs without history, or too long after the last day of the log."""
    latest = tables.last + MAX_CUTOFF_DELAY.delta
    outside = [c for c in cutoffs if not tables.first < c <= latest]
    if not cutoffs:
        raise UsageError("no cutoff given; expected one or more dates")
    if outside:
        raise UsageError(
            f"cutoff {outside[0]} is outside the log, which runs from {tables.first} to {tables.last}; "
            f"give one from {tables.first + Window(1).delta} to {latest}"
        )
