"""Two ways to change what happened, or became known, at or after a cutoff: delete it, or make it something else.

Both take any table with customer_id, day and seen, and leave every row that was known before the cutoff as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import ibis

from features.errors import DataError

NEW_CUSTOMER_PREFIX = "nobody-"
DAYS_LATER, DAYS_EARLIER = 3, 40  # days that clocks are moved by
TIME_COLUMNS = ("time", "day", "seen")
HASHED_COLUMNS = ("customer_id", "order_id", *TIME_COLUMNS)
CASES = 4
HASH = "die"


def delete_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """The rows that had happened and were known before a cutoff."""
    return rows.filter(rows.seen < ibis.literal(cutoff))


def corrupt_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """Rows of which those at or after a cutoff are other ones, some of them twice, and bring new customers.

    A throw of dice that depends on the row alone decides what becomes of each column: some values stay, some nulls
    become values. Rows from the cutoff on move to its very first instant, stay, or move later. Rows that happened
    before it and became known after it move back, stay, or move behind it: whoever reads `day` instead of `seen` is
    found out.

    Raises:
        DataError: A column is of a type that cannot be made something else.
    """
    past, future = delete_after(rows, cutoff), rows.filter(rows.seen >= ibis.literal(cutoff))
    thrown = future.mutate(**{HASH: _throw(future)})
    wrong = _clocks(thrown, cutoff)
    for place, name in enumerate(rows.columns):
        if name not in ("customer_id", *TIME_COLUMNS):
            wrong[name] = _other(thrown[name], (thrown[HASH] // CASES ** (1 + place % 15)) % CASES, name)
    spoilt = thrown.mutate(**{name: value.cast(rows[name].type()) for name, value in wrong.items()})
    twice = spoilt.filter((spoilt[HASH] // CASES**16) % CASES == 0)
    strangers = spoilt.mutate(customer_id=ibis.literal(NEW_CUSTOMER_PREFIX) + spoilt.customer_id)
    return ibis.union(past, *(part.select(rows.columns) for part in (spoilt, twice, strangers)))


def _throw(rows: ibis.Table) -> ibis.Value:
    """A whole number, 0 or more, that depends on the names and times of a row."""
    text = ibis.literal("")
    for name in (name for name in HASHED_COLUMNS if name in rows.columns):
        text = text + "|" + rows[name].cast("string").fill_null("")
    return text.hash() & (2**40 - 1)


def _clocks(rows: ibis.Table, cutoff: date) -> dict[str, ibis.Value]:
    """Other times: `seen` never before the cutoff or the day."""
    at, die = ibis.literal(cutoff), rows[HASH] % CASES
    late, ahead = rows.day < at, at.delta(rows.day, unit="day")
    move = ibis.cases(
        (late & (die == 0), -DAYS_EARLIER),
        (late & (die == 1), ahead + DAYS_LATER),
        (late, 0),
        (die == 0, ahead),
        (die == 1, 0),
        else_=DAYS_LATER,
    )
    day = _moved(rows.day, move)
    known = _moved(rows.seen, (die == 3).ifelse(DAYS_LATER, 0))
    wrong = {"day": day, "seen": ibis.greatest(day, (die == 0).ifelse(at, known))}
    if "time" in rows.columns:
        exact = (~late & (die == 0)).ifelse(rows.day.cast("timestamp"), rows.time)
        wrong["time"] = exact + move.as_interval("D")
    return wrong


def _moved(day: ibis.Value, days: ibis.Value) -> ibis.Value:
    return (day.cast("timestamp") + days.as_interval("D")).date()


def _other(column: ibis.Value, die: ibis.Value, name: str) -> ibis.Value:
    """Mostly another value; on a 1 the same; a null becomes a value on a 0."""
    for fits, filler, extreme, other in _KINDS:
        if fits(column.type()):
            changed = ibis.cases((die == 0, extreme(column)), (die == 1, column), else_=other(column))
            return column.isnull().ifelse((die == 0).ifelse(filler, ibis.null(column.type())), changed)
    raise DataError(f"column {name!r} holds {column.type()}, which the proof does not know how to corrupt")


ColumnChange = Callable[[ibis.Value], ibis.Value]
# What a column may hold: its test, what replaces a null, and two ways to make something else of a value.
_KINDS: tuple[tuple[Callable[..., bool], ibis.Value, ColumnChange, ColumnChange], ...] = (
    (
        lambda t: t.is_string(),
        ibis.literal("corrupted"),
        lambda c: ibis.literal("corrupted"),
        lambda c: c + "-corrupted",
    ),
    (lambda t: t.is_boolean(), ibis.literal(True), lambda c: ~c, lambda c: ~c),
    (lambda t: t.is_integer(), ibis.literal(77), lambda c: c.clip(-(10**12), 10**12) * 7 + 77, lambda c: -1 - c),
    (lambda t: t.is_floating(), ibis.literal(7.7e6), lambda c: ibis.literal(7.7e6), lambda c: -c - 0.5),
    (
        lambda t: t.is_timestamp() or t.is_date(),
        ibis.literal(date(2000, 2, 29)).cast("timestamp"),
        lambda c: c.cast("timestamp") - ibis.interval(days=DAYS_EARLIER),
        lambda c: c.cast("timestamp") + ibis.interval(days=DAYS_LATER),
    ),
)
