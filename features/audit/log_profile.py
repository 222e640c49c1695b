"""Profiles a log at a cutoff: rows by day, late rows, missing and new values, and repeated rows.

Only what was known before the cutoff counts. Positions count back from it: 0 is the day, or the week, just before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import Tables
from features.point_in_time.history import cutoff_table, visible_at_cutoffs, with_age

WEEK, WEEKS = 7, 27  # counts by week go back so many weeks


@dataclass(frozen=True)
class WeeklyCounts:
    """A share in each week.

    Attributes:
        rows: Rows of each week (w,).
        matching: Those with the property that is counted (w,).
    """

    rows: np.ndarray
    matching: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The shares (w,); NaN in a week without rows."""
        return np.asarray(self.matching / np.where(self.rows > 0, self.rows, np.nan))


@dataclass(frozen=True)
class LogProfile:
    """Counts over a log just before a cutoff, and further back.

    Attributes:
        cutoff: The cutoff.
        days: Rows by the day on which they became known, by table: 'events', and each 'activities.NAME' (d,).
        missing: By column of the events: rows without a value.
        repeated: Rows that equal another in every column of the contract, whenever known, except the first of them.
        new: By kind: rows with a value that no earlier week had.
        late: By the week in which rows became known: those known on a later day than they happened; None if the log
            does not say when rows became known.
        rows_read: Rows of the whole source.
        set_aside: Rows set aside, by reason.
        dropped: Rows dropped because they repeat another.
        last: The last day before the cutoff on which an event became known.
        fingerprint: Of the whole log.
    """

    cutoff: date
    days: Mapping[str, np.ndarray]
    missing: Mapping[str, WeeklyCounts]
    repeated: WeeklyCounts
    new: Mapping[str, WeeklyCounts]
    late: WeeklyCounts | None
    rows_read: int
    set_aside: Mapping[str, int]
    dropped: int
    last: date
    fingerprint: str


def profile_log(tables: Tables, cutoff: date, engine: Engine, with_known: bool = False) -> LogProfile:
    """Counts what the rows of a log are like, without changing it.

    Args:
        tables: The contract.
        cutoff: Only rows known before it count.
        engine: Where the tables are.
        with_known: Whether the log says when rows became known.

    Returns:
        The profile.
    """
    tables = tables.recorded
    cutoff_row = engine.store_arrow("vitals_cutoff", cutoff_table([cutoff]))
    known_rows = with_age(visible_at_cutoffs(tables.events, cutoff_row))
    recent = known_rows.filter(known_rows.age <= WEEK * WEEKS)
    recent = recent.mutate(week=((recent.age - 1) / WEEK).floor().cast("int64"))
    days = {"events": _rows_by_day_known(known_rows, engine)}
    for name in (name for name in tables.sides if name.startswith("activities.")):
        days[name] = _rows_by_day_known(with_age(visible_at_cutoffs(tables.sides[name].rows, cutoff_row)), engine)
    days_since_last = int(np.flatnonzero(days["events"])[0]) if days["events"].any() else 0
    return LogProfile(
        cutoff=cutoff,
        days=days,
        missing=_missing_by_week(recent, tables, engine),
        repeated=_repeated_by_week(recent, tables, engine),
        new={kind: _new_values_by_week(known_rows, kind, engine) for kind in tables.contract.kinds},
        late=_late_by_week(known_rows, engine) if with_known else None,
        rows_read=tables.rows_read,
        set_aside={aside.reason: aside.rows for aside in tables.set_aside},
        dropped=tables.duplicates_dropped,
        last=date.fromordinal(cutoff.toordinal() - 1 - days_since_last),
        fingerprint=tables.fingerprint,
    )


def _rows_by_day_known(known: ibis.Table, engine: Engine) -> np.ndarray:
    """Rows by the day on which they became known; by day of the event, late rows would still be missing."""
    dated = known.mutate(known_since=_days_known(known))
    counts = engine.to_arrow(dated.group_by("known_since").aggregate(rows=dated.count()))
    return _as_positions(counts, "known_since", "rows", start=1)


def _days_known(known: ibis.Table) -> ibis.Value:
    """Days from the day on which a row became known to the cutoff, from 1 on."""
    return known.cutoff.delta(known.seen, unit="day").cast("int64")


def _missing_by_week(recent: ibis.Table, tables: Tables, engine: Engine) -> dict[str, WeeklyCounts]:
    """By column of the events: rows of each week without a value."""
    contract = tables.contract
    columns = {kind: f"kind_{kind}" for kind in contract.kinds}
    columns |= {
        name: name
        for name, configured in (("quantity", contract.has_quantity), ("discount", contract.has_discount))
        if configured
    }
    if not columns:
        return {}
    nulls = {f"null_{number}": recent[column].isnull().sum() for number, column in enumerate(columns.values())}
    counts = engine.to_arrow(recent.group_by("week").aggregate(rows=recent.count(), **nulls))
    return {name: _weekly_counts(counts, f"null_{number}") for number, name in enumerate(columns)}


def _repeated_by_week(recent: ibis.Table, tables: Tables, engine: Engine) -> WeeklyCounts:
    """Rows of each week that equal another in every column."""
    columns = [*(name for name in tables.events.columns if name != "seen"), "week"]
    groups = recent.group_by(columns).aggregate(times=recent.count())
    counts = groups.group_by("week").aggregate(rows=groups.times.sum(), again=(groups.times - 1).sum())
    return _weekly_counts(engine.to_arrow(counts), "again")


def _new_values_by_week(known: ibis.Table, kind: str, engine: Engine) -> WeeklyCounts:
    """Rows of each week with a new value of a kind; without the log's first week, where all are new."""
    column = f"kind_{kind}"
    weekly = known.mutate(week=((known.age - 1) / WEEK).floor().cast("int64"))
    weekly = weekly.filter(weekly[column].notnull())
    counts = weekly.group_by(column, "week").aggregate(rows=weekly.count())
    first = counts.mutate(first=counts.week.max().over(ibis.window(group_by=column)))
    by_week = first.group_by("week").aggregate(
        rows=first.rows.sum(), fresh=(first.week == first["first"]).ifelse(first.rows, 0).sum()
    )
    weekly_counts = _weekly_counts(engine.to_arrow(by_week), "fresh")
    return WeeklyCounts(weekly_counts.rows[:-1], weekly_counts.matching[:-1])


def _late_by_week(known: ibis.Table, engine: Engine) -> WeeklyCounts:
    """By the week in which rows became known: those known on a later day than they happened."""
    weekly = known.mutate(week=((_days_known(known) - 1) / WEEK).floor().cast("int64"))
    weekly = weekly.filter(weekly.week < WEEKS)
    counts = weekly.group_by("week").aggregate(rows=weekly.count(), late=(weekly.seen > weekly.day).sum())
    return _weekly_counts(engine.to_arrow(counts), "late")


def _weekly_counts(counts: pa.Table, column: str) -> WeeklyCounts:
    """The counts of a column, at the position of their week."""
    return WeeklyCounts(_as_positions(counts, "week", "rows"), _as_positions(counts, "week", column))


def _as_positions(counts: pa.Table, at: str, column: str, start: int = 0) -> np.ndarray:
    """Counts of a column at their positions, 0 where there is none.

    Args:
        counts: One row a position.
        at: The column of positions.
        column: The column of counts.
        start: The position that becomes 0.

    Returns:
        The counts (p,).
    """
    places = counts[at].to_numpy() - start
    placed = np.zeros(int(places.max()) + 1 if len(places) else 0)
    placed[places] = counts[column].to_numpy()
    return placed
