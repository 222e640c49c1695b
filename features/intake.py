"""Files into contract tables: UTC, duplicates, refunds, known-at; bad rows are set aside and counted, never lost.

Money is kept as whole ten-thousandths (TICKS a unit): sums of integers do not depend on the order of rows,
so the same log gives the same bits on any number of threads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import ibis
import ibis.expr.datatypes as dt
from tqdm import tqdm

from features.config import Config
from features.contract import Contract, contract, slug
from features.engine import Engine
from features.errors import DataError, UsageError, sample
from features.sections import LISTS, Events, TableSection
from features.source import require_columns

TICKS = 10_000
LARGEST, GREATEST_FLOAT = 1e12, 1.7976931348623157e308
# What text must look like before an engine reads it as a number or a time: engines differ in what else they accept, and
# in what they call blank. \x09 to \x0d are tab, line feed, vertical tab, form feed and carriage return.
BLANKS = r"[\x09-\x0d ]*"
NOT_BLANK = r"[^\x09-\x0d ]"
DIGITS = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN]"
NUMBER = rf"^{BLANKS}({DIGITS}|{INFINITE}){BLANKS}$"
DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"([01]?[0-9]|2[0-3]):[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?"
OFFSET = r"( ?UTC|[Zz]|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)"
BARE = rf"^{BLANKS}{DATE}([ T]{CLOCK})?{BLANKS}$"
ZONED = rf"^{BLANKS}{DATE}[ T]{CLOCK}{OFFSET}{BLANKS}$"


@dataclass(frozen=True)
class SetAside:
    """Rows that do not enter the contract: why, how many, and a few of their customers."""

    reason: str
    rows: int
    customers: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """A table beside the events: customer_id, day, seen and columns of its own; rows read, and those set aside."""

    rows: ibis.Table
    rows_read: int
    set_aside: tuple[SetAside, ...]


@dataclass(frozen=True)
class Tables:
    """The contract's tables in an engine, and what is known of them as a whole.

    Attributes:
        events: customer_id, order_id, time, day, seen (the day the row became visible), amount, quantity and
            discount (int64, ticks), and one text column a kind (`kind_<slug>`).
        contract: Which columns and tables the config gives.
        sides: The tables beside the events, by name: 'activities.visits', 'customers', 'contacts', 'subscriptions'.
        first: Day of the first event.
        last: Day of the last event.
        end: First day about which nothing is known: labels mature up to it.
        fingerprint: Changes when any row does.
    """

    events: ibis.Table
    source: ibis.Table
    contract: Contract
    sides: Mapping[str, Side]
    rows_read: int
    rows: int
    customers: int
    first: date
    last: date
    end: date
    set_aside: tuple[SetAside, ...]
    duplicates_dropped: int
    fingerprint: str


def load(config: Config, engine: Engine, whole: bool = False) -> Tables:
    """Reads [events], and the tables beside them, into the contract.

    Args:
        config: Names the source and its columns.
        engine: Where it runs.
        whole: Read every column of a database and not only the named ones, to compare whole rows.

    Raises:
        DataError: Nothing to read, no usable row, too many unreadable ones, or zones that are mixed.
        UsageError: A column that is not there, or a query or format that is not understood.
    """
    events = config.events
    steps = tqdm(total=3, desc="reading", leave=False, disable=None)
    roles = {} if whole or (events.duplicates == "drop" and not events.id) else events.roles()
    source = engine.rows(events.rows("events"), config.folder, roles, events.ids())
    need_columns(source, events, "events")
    steps.update()
    rows_read = engine.count(source)
    if not rows_read:
        raise DataError(f"{events.source}: has a header but no rows; expected one row for each thing a customer did")
    if events.duplicates == "drop" and not events.id:
        source = engine.store("deduplicated", source.distinct())
    refuse_mixed_zones(source, events, engine)
    rows = _normalise(source, events, engine)
    stored = engine.store("intake", rows)
    steps.update()
    if events.id:
        stored = engine.store("intake_once", _first_of_each_id(stored))
    tables = _summarise(stored, source, config, engine, rows_read)
    steps.close()
    return _with_sides(tables, config, engine)


def _with_sides(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with those beside the events and that of the customers, which the fingerprint covers too."""
    from features.customers import with_customers  # both read columns with the functions of this module
    from features.sides import read_sides
    from features.terms import with_reach

    sides = read_sides(config, engine)
    if sides:
        held = {name: [engine.content(side.rows), side.rows.columns] for name, side in sides.items()}
        identity = json.dumps([tables.fingerprint, held], sort_keys=True)
        tables = replace(tables, sides=sides, fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16])
    return with_reach(with_customers(tables, config, engine), engine)


def shape(text: str) -> str:
    """A text with its digits and letters masked, so that a message shows the form and not the content.

    >>> shape("£12.50"), shape("03/Jan/2024")
    ('£99.99', '99/aaa/9999')
    """
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text))[:40]


def need_columns(source: ibis.Table, section: TableSection, place: str) -> None:
    """Refuses a section that names a column which its source does not have, or kinds whose features would collide."""
    require_columns(place, section.roles(), source.columns)
    for key in LISTS:
        names = getattr(section, key, ())
        slugs = [slug(name) for name in names]
        if len(set(slugs)) != len(slugs) or "" in slugs:
            raise UsageError(f"[{place}] {key}: {', '.join(names)} would give features of the same name; rename one")


def _normalise(source: ibis.Table, events: Events, engine: Engine) -> ibis.Table:
    """Every row of the source in the contract's types, with the reason it is set aside or null."""
    customer = as_identifier(source[events.customer])
    moment = as_moment(source[events.time], events, engine, "time")
    known = as_moment(source[events.known_at], events, engine, "known_at") if events.known_at else moment
    amount = as_number(source[events.amount]) if events.amount else ibis.null("float64")
    quantity = as_number(source[events.quantity]) if events.quantity else ibis.null("float64")
    discount = as_number(source[events.discount]) if events.discount else ibis.null("float64")
    order = as_identifier(source[events.order]) if events.order else ibis.null("string")
    checks = {
        "missing customer": customer.isnull(),
        "missing time": source[events.time].isnull(),
        "unreadable time": moment.isnull(),
    }
    if events.known_at:
        checks["unreadable known_at"] = source[events.known_at].notnull() & known.isnull()
    if events.until:
        checks["on or after until"] = moment >= ibis.literal(_until(events), "timestamp")
    if events.amount:
        checks |= {
            "missing amount": source[events.amount].isnull() | amount.isnan().fill_null(False),
            "unreadable amount": amount.isnull(),
            "infinite amount": amount.abs() > GREATEST_FLOAT,
            "amount beyond 1e12": amount.abs() > LARGEST,
        }
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))
    day = moment.date()
    return source.select(
        customer_id=customer,
        order_id=ibis.coalesce(order, moment.cast("string")),
        time=moment,
        day=day,
        seen=ibis.greatest(day, ibis.coalesce(known, moment).date()),
        amount=as_ticks(amount, reason),
        quantity=as_ticks(quantity, reason),
        discount=as_ticks(discount, reason),
        reason=reason,
        **({"event_id": as_identifier(source[events.id])} if events.id else {}),
        **{f"kind_{slug(kind)}": source[kind].cast("string") for kind in events.kinds},
    )


def given(column: ibis.Value) -> ibis.Value:
    """A column with blank text as null."""
    kind = column.type()
    return column.re_search(NOT_BLANK).ifelse(column, ibis.null("string")) if kind.is_string() else column


def as_identifier(column: ibis.Value) -> ibis.Value:
    """An id as text: 17850 and 17850.0 are both '17850'; blank text is null."""
    kind = column.type()
    if kind.is_floating():
        whole = (column == column.floor()) & (column.abs() < 2**53)
        text = whole.ifelse(column.try_cast("int64").cast("string"), column.cast("string"))
        return column.isnan().ifelse(ibis.null("string"), text)
    return given(column) if kind.is_string() else column.cast("string")


def as_number(column: ibis.Value) -> ibis.Value:
    """A column as floats; null where it is no number."""
    if column.type().is_string():
        column = column.re_search(NUMBER).ifelse(column, ibis.null("string"))
    return column.try_cast("float64")


def as_ticks(number: ibis.Value, reason: ibis.Value) -> ibis.Value:
    """Whole ten-thousandths of a usable number; null where the row is set aside."""
    usable = reason.isnull() & number.notnull() & ~number.isnan() & (number.abs() <= LARGEST)
    return usable.ifelse((number * TICKS).round(), ibis.null("float64")).cast("int64")


def as_moment(
    column: ibis.Value, section: TableSection, engine: Engine, role: str, place: str = "events"
) -> ibis.Value:
    """A column of times as naive timestamps in UTC; null where it cannot be read."""
    kind = column.type()
    if kind.is_timestamp() and kind.timezone:
        return column.cast("timestamp")
    if kind.is_date():
        return column.cast("timestamp")
    if kind.is_timestamp():
        return _to_utc(column.cast("timestamp"), section, engine)
    if kind.is_integer():
        return _from_digits(column)
    if not kind.is_string():
        raise UsageError(
            f"[{place}] {role}: column {column.get_name()!r} holds {kind}; expected a time, a date, text or YYYYMMDD"
        )
    if section.time_format and role not in ("known_at", "end_known_at"):
        return _to_utc(engine.parse_time(column, section.time_format), section, engine)
    text = column.replace("/", "-")
    zoned, bare = (text.re_search(form).ifelse(text, ibis.null("string")) for form in (ZONED, BARE))
    return ibis.coalesce(
        zoned.try_cast(dt.Timestamp("UTC")).cast("timestamp"), _to_utc(bare.try_cast("timestamp"), section, engine)
    )


def _from_digits(column: ibis.Value) -> ibis.Value:
    """Whole numbers written YYYYMMDD as timestamps."""
    text = column.cast("string")
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    return (text.length() == 8).ifelse(dashed, ibis.null("string")).try_cast("timestamp")


def _to_utc(moment: ibis.Value, section: TableSection, engine: Engine) -> ibis.Value:
    return engine.localise(moment, section.timezone) if section.timezone else moment


def _until(events: Events) -> date:
    try:
        return date.fromisoformat(events.until)
    except ValueError:
        raise UsageError(f"[events] until: expected a date such as '2024-01-31', found {events.until!r}") from None


def refuse_mixed_zones(
    source: ibis.Table, section: TableSection, engine: Engine, role: str = "time", place: str = "events"
) -> None:
    """Text times of which some carry an offset and some do not are ambiguous unless the config says a zone."""
    column = source[getattr(section, role)]
    if not column.type().is_string() or section.timezone or section.time_format:
        return
    text = column.replace("/", "-")
    bare = text.re_search(BARE) & text.re_search(":")
    counts = engine.arrow(source.aggregate(offset=text.re_search(ZONED).sum(), bare=bare.sum())).to_pylist()[0]
    if counts["offset"] and counts["bare"]:
        raise DataError(
            f"[{place}] {role}: column {column.get_name()!r} mixes {counts['offset']:,} times with an offset and "
            f"{counts['bare']:,} without; set [{place}] timezone to the zone of those without, such as 'Europe/London'"
        )


def _first_of_each_id(stored: ibis.Table) -> ibis.Table:
    """Marks all but the first of the usable rows that share an event id."""
    everything = [stored[c] for c in stored.columns if c not in ("event_id", "seen")]
    place = ibis.row_number().over(group_by=[stored.event_id, stored.reason], order_by=[stored.seen, *everything])
    repeated = stored.event_id.notnull() & stored.reason.isnull() & (place > 0)
    return stored.mutate(reason=repeated.ifelse("repeated event id", stored.reason)).drop("event_id")


def _summarise(stored: ibis.Table, source: ibis.Table, config: Config, engine: Engine, rows_read: int) -> Tables:
    events = config.events
    aside = (*set_aside(stored, engine), *malformed(events, engine, rows_read))
    good = stored.filter(stored.reason.isnull()).drop("reason")
    refuse_unreadable(aside, source, events, engine, rows_read)
    facts = engine.arrow(
        good.aggregate(
            rows=good.count(),
            customers=good.customer_id.nunique(),
            first=good.day.min(),
            last=good.day.max(),
            clock=(good.time != good.day.cast("timestamp")).any(),
        )
    ).to_pylist()[0]
    if not facts["rows"]:
        reasons = "; ".join(f"{a.reason}: {a.rows:,}" for a in aside)
        raise DataError(f"{events.source}: none of {rows_read:,} rows can be used ({reasons})")
    has_clock = bool(facts["clock"])
    end = _until(events) if events.until else facts["last"] + timedelta(days=0 if has_clock else 1)
    identity = {"content": engine.content(stored), "columns": stored.columns, "end": str(end)}
    kept = engine.count(source) if events.duplicates == "drop" and not events.id else rows_read
    return Tables(
        events=good,
        source=source,
        contract=contract(config, has_clock),
        sides={},
        rows_read=rows_read,
        rows=facts["rows"],
        customers=facts["customers"],
        first=facts["first"],
        last=facts["last"],
        end=end,
        set_aside=aside,
        duplicates_dropped=rows_read - kept,
        fingerprint=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16],
    )


def set_aside(stored: ibis.Table, engine: Engine) -> tuple[SetAside, ...]:
    """The rows that have a `reason`, counted by it, with a few of their customers."""
    bad = stored.filter(stored.reason.notnull())
    counts = engine.arrow(bad.group_by("reason").aggregate(rows=bad.count()).order_by("reason")).to_pylist()
    found = []
    for row in counts:
        ids = bad.filter(bad.reason == row["reason"]).customer_id
        few = engine.arrow(ids.as_table().filter(ids.notnull()).distinct().order_by("customer_id").limit(5))
        found.append(SetAside(row["reason"], row["rows"], tuple(few["customer_id"].to_pylist())))
    return tuple(found)


def malformed(section: TableSection, engine: Engine, rows_read: int, place: str = "events") -> tuple[SetAside, ...]:
    """The lines of CSV with another number of columns than the header; raises DataError where they are too many."""
    rejected = engine.rejected_lines()
    if rejected > section.max_unreadable * (rows_read + rejected):
        raise DataError(
            f"{section.source}: {rejected:,} of {rows_read + rejected:,} lines do not have the columns of the header "
            f"(a stray separator or quote?); mend them, or allow it with [{place}] max_unreadable "
            f"(now {section.max_unreadable:g})"
        )
    return (SetAside("malformed line", rejected, ()),) if rejected else ()


def refuse_unreadable(
    aside: tuple[SetAside, ...],
    source: ibis.Table,
    section: TableSection,
    engine: Engine,
    rows_read: int,
    place: str = "events",
    times: Sequence[str] = ("time",),
    numbers: Sequence[str] = ("amount",),
) -> None:
    """Stops where too many rows cannot be read: what is left would not stand for the whole.

    Raises:
        DataError: For the first role, of `times` and then of `numbers`, of which too many are unusable.
    """
    clean = "such as CAST(regexp_replace(price, '[^0-9.-]', '', 'g') AS DOUBLE)"
    repairs = dict.fromkeys(times, f"set [{place}] time_format, such as '%d/%m/%Y %H:%M'")
    repairs |= dict.fromkeys(numbers, f"clean it in [{place}] query, {clean}")
    for role, repair in repairs.items():
        bad = {f"{what} {role}" for what in ("unreadable", "infinite", "missing", "impossible")}
        wrong = [a for a in aside if a.reason in bad]
        rows = sum(a.rows for a in wrong)
        if rows <= section.max_unreadable * rows_read:
            continue
        column = getattr(section, role)
        ids = sorted({c for a in wrong for c in a.customers})
        raise DataError(
            f"{section.source}: {rows:,} of {rows_read:,} rows have no usable {role} in column {column!r}"
            f"{_shapes(source, column, role if role in times else '', section, engine)}"
            f"{f'; customers {sample(ids)}' if ids else ''}; {repair}, "
            f"or allow it with [{place}] max_unreadable (now {section.max_unreadable:g})"
        )


def _shapes(source: ibis.Table, column: str, time: str, section: TableSection, engine: Engine) -> str:
    """What unreadable text looks like, with letters and digits masked; `time` is the role of a time, '' of a number."""
    if not source[column].type().is_string():
        return ""
    read = as_moment(source[column], section, engine, time) if time else as_number(source[column])
    odd = source.filter(source[column].notnull() & read.isnull()).select(text=source[column]).order_by("text").limit(1)
    found = engine.arrow(odd)["text"].to_pylist()
    return f" (written like {shape(found[0])!r})" if found else ""
