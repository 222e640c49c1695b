"""The pulse of a log at a cutoff: how much came day by day, how late, with which gaps, and what was never seen before.

Everything is as known before the cutoff and counted back from it: place 0 is the day, or the week, just before it.
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

WEEK, WEEKS = 7, 27  # what is read of whole rows goes back so many weeks


@dataclass(frozen=True)
class WeeklyCounts:
    """A share in each week: how many of the rows (w,) show something (w,)."""

    rows: np.ndarray
    matching: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The shares (w,); NaN in a week without rows."""
        return np.asarray(self.matching / np.where(self.rows > 0, self.rows, np.nan))


@dataclass(frozen=True)
class LogProfile:
    """What a log is like just before a cutoff, and before that.

    Attributes:
        days: Rows by the day on which they became known, by table: 'events', and each 'activities.NAME' (d,).
        missing: By column of the events: rows without a value.
        repeated: Rows equal to another in every column of the contract, whenever known, but for the first of them.
        new: By kind: rows with a value that no earlier week had.
        late: By the week in which rows became known: those known on a later day than they happened; None where the log
            does not tell.
        rows_read: Of the whole source, and `set_aside`: rows set aside by reason.
        dropped: Rows that were dropped because they repeat another.
        last: Day before the cutoff on which an event became known last.
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
    """Counts what a log's rows are like; reads it, changes nothing.

    Args:
        tables: The contract.
        cutoff: Rows known before it count.
        engine: Where it runs.
        with_known: Whether the log says when rows became known.
    """
    moment = engine.load("vitals_cutoff", cutoff_table([cutoff]))
    known = with_age(visible_at_cutoffs(tables.events, moment))
    recent = known.filter(known.age <= WEEK * WEEKS)
    recent = recent.mutate(week=((recent.age - 1) / WEEK).floor().cast("int64"))
    days = {"events": _daily(known, engine)}
    for name in (name for name in tables.sides if name.startswith("activities.")):
        days[name] = _daily(with_age(visible_at_cutoffs(tables.sides[name].rows, moment)), engine)
    first = int(np.flatnonzero(days["events"])[0]) if days["events"].any() else 0
    return LogProfile(
        cutoff=cutoff,
        days=days,
        missing=_missing(recent, tables, engine),
        repeated=_repeated(recent, tables, engine),
        new={kind: _new(known, kind, engine) for kind in tables.contract.kinds},
        late=_late(known, engine) if with_known else None,
        rows_read=tables.rows_read,
        set_aside={aside.reason: aside.rows for aside in tables.set_aside},
        dropped=tables.duplicates_dropped,
        last=date.fromordinal(cutoff.toordinal() - 1 - first),
        fingerprint=tables.fingerprint,
    )


def _daily(known: ibis.Table, engine: Engine) -> np.ndarray:
    """Rows by the day on which they became known: the newest days would else lack what is still to come."""
    told = known.mutate(known_since=_known_since(known))
    counted = engine.arrow(told.group_by("known_since").aggregate(rows=told.count()))
    return _placed(counted, "known_since", "rows", start=1)


def _known_since(known: ibis.Table) -> ibis.Value:
    """Days from the one on which a row became known to the cutoff, from 1 on."""
    return known.cutoff.delta(known.seen, unit="day").cast("int64")


def _missing(recent: ibis.Table, tables: Tables, engine: Engine) -> dict[str, WeeklyCounts]:
    has = tables.contract
    columns = {kind: f"kind_{kind}" for kind in has.kinds}
    columns |= {name: name for name, there in (("quantity", has.has_quantity), ("discount", has.has_discount)) if there}
    if not columns:
        return {}
    nulls = {f"null_{place}": recent[column].isnull().sum() for place, column in enumerate(columns.values())}
    counted = engine.arrow(recent.group_by("week").aggregate(rows=recent.count(), **nulls))
    return {name: _weekly(counted, f"null_{place}") for place, name in enumerate(columns)}


def _repeated(recent: ibis.Table, tables: Tables, engine: Engine) -> WeeklyCounts:
    columns = [*(name for name in tables.events.columns if name != "seen"), "week"]
    each = recent.group_by(columns).aggregate(times=recent.count())
    counted = each.group_by("week").aggregate(rows=each.times.sum(), again=(each.times - 1).sum())
    return _weekly(engine.arrow(counted), "again")


def _new(known: ibis.Table, kind: str, engine: Engine) -> WeeklyCounts:
    """Rows by week with a value of a kind that no earlier week had; the log's first week, where all are, is out."""
    column = f"kind_{kind}"
    weekly = known.mutate(week=((known.age - 1) / WEEK).floor().cast("int64"))
    weekly = weekly.filter(weekly[column].notnull())
    counted = weekly.group_by(column, "week").aggregate(rows=weekly.count())
    first = counted.mutate(first=counted.week.max().over(ibis.window(group_by=column)))
    made = first.group_by("week").aggregate(
        rows=first.rows.sum(), fresh=(first.week == first["first"]).ifelse(first.rows, 0).sum()
    )
    found = _weekly(engine.arrow(made), "fresh")
    return WeeklyCounts(found.rows[:-1], found.matching[:-1])


def _late(known: ibis.Table, engine: Engine) -> WeeklyCounts:
    weekly = known.mutate(week=((_known_since(known) - 1) / WEEK).floor().cast("int64"))
    weekly = weekly.filter(weekly.week < WEEKS)
    counted = weekly.group_by("week").aggregate(rows=weekly.count(), late=(weekly.seen > weekly.day).sum())
    return _weekly(engine.arrow(counted), "late")


def _weekly(counted: pa.Table, column: str) -> WeeklyCounts:
    return WeeklyCounts(_placed(counted, "week", "rows"), _placed(counted, "week", column))


def _placed(counted: pa.Table, at: str, column: str, start: int = 0) -> np.ndarray:
    """Counts (p,) at their places, 0 where there is none."""
    places = counted[at].to_numpy() - start
    found = np.zeros(int(places.max()) + 1 if len(places) else 0)
    found[places] = counted[column].to_numpy()
    return found
