"""Two ways to change what happened or became known at or after a cutoff: delete it, or corrupt it.

Both take any table with customer_id, day and seen, and leave every row that was known before the cutoff unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import ibis

from features.errors import DataError

NEW_CUSTOMER_PREFIX = "nobody-"
DAYS_LATER, DAYS_EARLIER = 3, 40  # days by which times are moved
TIME_COLUMNS = ("time", "day", "seen")
HASHED_COLUMNS = ("customer_id", "order_id", *TIME_COLUMNS)
CASES = 4
HASH = "row_hash"


def delete_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """The rows that had happened and were known before a cutoff, as if no ids were joined from it on."""
    known = rows.filter(rows.seen < ibis.literal(cutoff))
    if "owned_from" not in rows.columns:
        return known
    known = known.filter((known.owned_from < ibis.literal(cutoff)).fill_null(True))
    joined_later = known.owned_until >= ibis.literal(cutoff)
    return known.mutate(owned_until=joined_later.ifelse(ibis.null("date"), known.owned_until))


def corrupt_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """Rows of which those at or after a cutoff are corrupted, some of them duplicated, and some given to new customers.

    A hash of the row alone decides what happens to each column: some values stay, some nulls become values. Rows from
    the cutoff on move to its very first instant, stay, or move later. Rows that happened before it but became known
    after it move back, stay, or move past it. So a feature that reads `day` instead of `seen` is detected.

    Raises:
        DataError: A column has a type that cannot be corrupted.
    """
    past, future = delete_after(rows, cutoff), rows.filter(rows.seen >= ibis.literal(cutoff))
    hashed_rows = future.mutate(**{HASH: _row_hash(future)})
    changed = _changed_times(hashed_rows, cutoff)
    for position, name in enumerate(rows.columns):
        if name not in ("customer_id", *TIME_COLUMNS):
            changed[name] = _changed_values(
                hashed_rows[name], (hashed_rows[HASH] // CASES ** (1 + position % 15)) % CASES, name
            )
    corrupted = hashed_rows.mutate(**{name: value.cast(rows[name].type()) for name, value in changed.items()})
    duplicated = corrupted.filter((corrupted[HASH] // CASES**16) % CASES == 0)
    new_customers = corrupted.mutate(customer_id=ibis.literal(NEW_CUSTOMER_PREFIX) + corrupted.customer_id)
    return ibis.union(past, *(part.select(rows.columns) for part in (corrupted, duplicated, new_customers)))


def _row_hash(rows: ibis.Table) -> ibis.Value:
    """A hash of the names and times of a row, an integer from 0 on."""
    text = ibis.literal("")
    for name in (name for name in HASHED_COLUMNS if name in rows.columns):
        text = text + "|" + rows[name].cast("string").fill_null("")
    return text.hash() & (2**40 - 1)


def _changed_times(rows: ibis.Table, cutoff: date) -> dict[str, ibis.Value]:
    """Other times; `seen` is never before the cutoff or the day."""
    cutoff_day, case = ibis.literal(cutoff), rows[HASH] % CASES
    known_late, days_to_cutoff = rows.day < cutoff_day, cutoff_day.delta(rows.day, unit="day")
    move = ibis.cases(
        (known_late & (case == 0), -DAYS_EARLIER),
        (known_late & (case == 1), days_to_cutoff + DAYS_LATER),
        (known_late, 0),
        (case == 0, days_to_cutoff),
        (case == 1, 0),
        else_=DAYS_LATER,
    )
    day = _shift_days(rows.day, move)
    known = _shift_days(rows.seen, (case == 3).ifelse(DAYS_LATER, 0))
    changed = {"day": day, "seen": ibis.greatest(day, (case == 0).ifelse(cutoff_day, known))}
    if "time" in rows.columns:
        changed_time = (~known_late & (case == 0)).ifelse(rows.day.cast("timestamp"), rows.time)
        changed["time"] = changed_time + move.as_interval("D")
    return changed


def _shift_days(day: ibis.Value, days: ibis.Value) -> ibis.Value:
    """A date moved by some days."""
    return (day.cast("timestamp") + days.as_interval("D")).date()


def _changed_values(column: ibis.Value, case: ibis.Value, name: str) -> ibis.Value:
    """Another value in most cases; the same in case 1; in case 0 a null becomes a value."""
    for is_type, null_replacement, extreme, other in _CHANGES_BY_TYPE:
        if is_type(column.type()):
            changed = ibis.cases((case == 0, extreme(column)), (case == 1, column), else_=other(column))
            return column.isnull().ifelse((case == 0).ifelse(null_replacement, ibis.null(column.type())), changed)
    raise DataError(
        f"column {name!r} holds {column.type()}, which the leakage check cannot corrupt; expected text, booleans, "
        "numbers, dates or times"
    )


ColumnChange = Callable[[ibis.Value], ibis.Value]
# By type of column: the test for the type, what replaces a null, and two ways to change a value.
_CHANGES_BY_TYPE: tuple[tuple[Callable[..., bool], ibis.Value, ColumnChange, ColumnChange], ...] = (
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
