"""Labels as they were known at an earlier day, without the rows that became known later.

Only the labels that such rows changed are kept, so that a log whose rows are known at once keeps none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.engines.base import Engine
from features.intake.subscription_terms import one_row_per_term
from features.intake.tables import Tables
from features.point_in_time.history import KEYS, KNOWN_BY, known_later, late_in_horizon, late_terms
from features.point_in_time.labels import value_label
from features.snapshots.outcomes import horizon_labels, with_horizon_outcomes, with_outcomes, with_timestamp_cutoff
from features.task import RETURN_LABELS, Task, Window

RETURN_DAYS = RETURN_LABELS[0]
Revisions = tuple[pa.Table, ...]  # of each horizon: customer_id, cutoff, known_by, and its labels as known before then


def find_revisions(
    orders: ibis.Table,
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    spans: Sequence[Window] = (),
) -> Revisions:
    """The labels that were not yet the final ones at some later cutoff.

    Args:
        orders: From `order_days`, stored.
        tables: The contract.
        task: Horizons, and what churn is.
        cutoffs: Those of the labels, which are also the days by which rows must have been known.
        engine: Where it runs.
        spans: See `Task.value_labels`.

    Returns:
        One table a horizon; no table if no row became known late.
    """
    terms = one_row_per_term(tables.sides["subscriptions"].rows) if task.contractual else None
    dated = [orders] if terms is None else [orders, *_terms_as_rows(terms)]
    if not any(engine.count_rows(known_later(rows)) for rows in dated):
        return ()
    found = []
    for name, horizon in {"value": task.horizon, **task.value_labels(spans)}.items():
        pairs = [(c, day) for c in cutoffs for day in cutoffs if c + horizon.delta <= day]
        if not pairs:
            continue
        moments = engine.store_arrow(f"known_by_{horizon}", _moment_table(pairs))
        own = horizon == task.horizon
        late = late_in_horizon(orders, moments, Window(2 * horizon.days) if own and terms is None else horizon)
        if terms is not None:
            late = late.union(late_terms(terms, moments, horizon), distinct=True)
        rows = with_timestamp_cutoff(late)
        if own:
            labels = with_outcomes(rows, orders, tables, task, moments)
            columns = horizon_labels(labels, tables, task)
        else:
            labels = with_horizon_outcomes(rows, orders, tables, task, moments, horizon)
            columns = {name: value_label(labels, tables.contract.has_amount, task.contractual)}
        known = labels.select(*KEYS, KNOWN_BY, **columns)
        found.append(engine.to_arrow(known.order_by(KNOWN_BY, "cutoff", "customer_id")))
    return tuple(found)


def labels_as_known(
    rows: pa.Table, revisions: Revisions, task: Task, day: date, spans: Sequence[Window] = ()
) -> pa.Table:
    """Rows with their labels as known before a day; null if the horizon had not passed by then.

    A first purchase on that day or later was not known, so its return_days are null.

    Args:
        rows: Those of snapshots, with labels.
        revisions: Of the same snapshots.
        task: Horizons.
        day: One of the cutoffs.
        spans: See `Task.value_labels`.

    Returns:
        The rows with other labels.
    """
    for table in revisions:
        known = table.filter(pc.equal(table[KNOWN_BY], pa.scalar(day, pa.date32())))
        if known.num_rows:
            rows = _with_revised(rows, known)
    horizons = dict.fromkeys(task.labels, task.horizon) | task.value_labels(spans)
    for name in (name for name in horizons if name in rows.column_names):
        rows = _set(rows, name, pc.if_else(_is_mature(rows["cutoff"], horizons[name], day), rows[name], None))
    return _without_later_returns(rows, day) if RETURN_DAYS in rows.column_names else rows


def _without_later_returns(rows: pa.Table, day: date) -> pa.Table:
    """The rows with null `return_days` where the first purchase was on a day or later."""
    days_ahead = np.datetime64(day, "D") - rows["cutoff"].to_numpy().astype("datetime64[D]")
    had_happened = pc.less(rows[RETURN_DAYS], pa.chunked_array([days_ahead.astype(np.float64)]))
    return _set(rows, RETURN_DAYS, pc.if_else(had_happened, rows[RETURN_DAYS], None))


def _with_revised(rows: pa.Table, known: pa.Table) -> pa.Table:
    """The rows with the labels of those in `known`."""
    keys = rows.select(KEYS).to_pandas()
    revised = known.select(KEYS).to_pandas().assign(place=np.arange(known.num_rows))
    revised["cutoff"] = revised.cutoff.astype(keys.cutoff.dtype)
    place = keys.merge(revised, on=list(KEYS), how="left", sort=False).place
    is_revised, places = pa.array(place.notna()), pa.array(place.fillna(0).astype(np.int64))
    for name in (name for name in known.column_names if name in rows.column_names and name not in KEYS):
        labels = known[name].take(places).cast(rows[name].type)
        rows = _set(rows, name, pc.if_else(is_revised, labels, rows[name]))
    return rows


def _is_mature(cutoff: pa.ChunkedArray, horizon: Window, day: date) -> pa.ChunkedArray:
    """Whether the horizon after each cutoff had passed by a day."""
    newest = day - horizon.delta
    return pc.less_equal(cutoff, pa.scalar(datetime(newest.year, newest.month, newest.day), cutoff.type))  # noqa: DTZ001


def _set(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)


def _terms_as_rows(terms: ibis.Table) -> tuple[ibis.Table, ibis.Table]:
    """The starts and the ends of terms as day and seen."""
    ended = terms.filter(terms.end.notnull())
    return terms.select(day=terms.start, seen=terms.start_seen), ended.select(day=ended.end, seen=ended.end_seen)


def _moment_table(pairs: Sequence[tuple[date, date]]) -> pa.Table:
    cutoffs, days = zip(*pairs, strict=True)
    return pa.table({"cutoff": pa.array(cutoffs, pa.date32()), KNOWN_BY: pa.array(days, pa.date32())})
