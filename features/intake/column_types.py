"""Columns of a log as ids, numbers and times, read alike on every engine; what cannot be read is told by its shape."""

from __future__ import annotations

import re
from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as dt

from features.config.data_contract import slug
from features.config.sections import LISTS, TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.tables import SetAsideRows
from features.money import LARGEST, TICKS
from features.sources.source import require_columns

# What text must look like before an engine reads it as a number or a time: engines differ in what else they accept, and
# in what they call blank. \x09 to \x0d are tab, line feed, vertical tab, form feed and carriage return.
BLANK_CHARACTERS = r"[\x09-\x0d ]*"
NOT_BLANK = r"[^\x09-\x0d ]"
DIGITS = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN]"
NUMBER = rf"^{BLANK_CHARACTERS}({DIGITS}|{INFINITE}){BLANK_CHARACTERS}$"
DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"([01]?[0-9]|2[0-3]):[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?"
OFFSET = r"( ?UTC|[Zz]|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)"
LOCAL_TIME = rf"^{BLANK_CHARACTERS}{DATE}([ T]{CLOCK})?{BLANK_CHARACTERS}$"
TIME_WITH_OFFSET = rf"^{BLANK_CHARACTERS}{DATE}[ T]{CLOCK}{OFFSET}{BLANK_CHARACTERS}$"


def mask_text(text: str) -> str:
    """A text with its digits and letters masked, so that a message shows the form and not the content.

    >>> shape("£12.50"), shape("03/Jan/2024")
    ('£99.99', '99/aaa/9999')
    """
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text))[:40]


def require_section_columns(source: ibis.Table, section: TableSection, place: str) -> None:
    """Refuses a section that names a column which its source does not have, or kinds whose features would collide."""
    require_columns(place, section.roles(), source.columns)
    for key in LISTS:
        names = getattr(section, key, ())
        slugs = [slug(name) for name in names]
        if len(set(slugs)) != len(slugs) or "" in slugs:
            raise UsageError(f"[{place}] {key}: {', '.join(names)} would give features of the same name; rename one")


def blank_to_null(column: ibis.Value) -> ibis.Value:
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
    return blank_to_null(column) if kind.is_string() else column.cast("string")


def as_number(column: ibis.Value) -> ibis.Value:
    """A column as floats; null where it is no number."""
    if column.type().is_string():
        column = column.re_search(NUMBER).ifelse(column, ibis.null("string"))
    return column.try_cast("float64")


def as_ticks(number: ibis.Value, reason: ibis.Value) -> ibis.Value:
    """Whole ten-thousandths of a usable number; null where the row is set aside."""
    usable = reason.isnull() & number.notnull() & ~number.isnan() & (number.abs() <= LARGEST)
    return usable.ifelse((number * TICKS).round(), ibis.null("float64")).cast("int64")


def as_utc_timestamp(
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
    zoned, bare = (text.re_search(form).ifelse(text, ibis.null("string")) for form in (TIME_WITH_OFFSET, LOCAL_TIME))
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


def refuse_mixed_zones(
    source: ibis.Table, section: TableSection, engine: Engine, role: str = "time", place: str = "events"
) -> None:
    """Text times of which some carry an offset and some do not are ambiguous unless the config says a zone."""
    column = source[getattr(section, role)]
    if not column.type().is_string() or section.timezone or section.time_format:
        return
    text = column.replace("/", "-")
    bare = text.re_search(LOCAL_TIME) & text.re_search(":")
    counts = engine.arrow(source.aggregate(offset=text.re_search(TIME_WITH_OFFSET).sum(), bare=bare.sum())).to_pylist()[
        0
    ]
    if counts["offset"] and counts["bare"]:
        raise DataError(
            f"[{place}] {role}: column {column.get_name()!r} mixes {counts['offset']:,} times with an offset and "
            f"{counts['bare']:,} without; set [{place}] timezone to the zone of those without, such as 'Europe/London'"
        )


def count_set_aside(stored: ibis.Table, engine: Engine) -> tuple[SetAsideRows, ...]:
    """The rows that have a `reason`, counted by it, with a few of their customers."""
    bad = stored.filter(stored.reason.notnull())
    counts = engine.arrow(bad.group_by("reason").aggregate(rows=bad.count()).order_by("reason")).to_pylist()
    found = []
    for row in counts:
        ids = bad.filter(bad.reason == row["reason"]).customer_id
        few = engine.arrow(ids.as_table().filter(ids.notnull()).distinct().order_by("customer_id").limit(5))
        found.append(SetAsideRows(row["reason"], row["rows"], tuple(few["customer_id"].to_pylist())))
    return tuple(found)


def malformed_lines(
    section: TableSection, engine: Engine, rows_read: int, place: str = "events"
) -> tuple[SetAsideRows, ...]:
    """The lines of CSV with another number of columns than the header; raises DataError where they are too many."""
    rejected = engine.rejected_lines()
    if rejected > section.max_unreadable * (rows_read + rejected):
        raise DataError(
            f"{section.source}: {rejected:,} of {rows_read + rejected:,} lines do not have the columns of the header "
            f"(a stray separator or quote?); mend them, or allow it with [{place}] max_unreadable "
            f"(now {section.max_unreadable:g})"
        )
    return (SetAsideRows("malformed line", rejected, ()),) if rejected else ()


def refuse_unreadable(
    aside: tuple[SetAsideRows, ...],
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
    read = as_utc_timestamp(source[column], section, engine, time) if time else as_number(source[column])
    odd = source.filter(source[column].notnull() & read.isnull()).select(text=source[column]).order_by("text").limit(1)
    found = engine.arrow(odd)["text"].to_pylist()
    return f" (written like {mask_text(found[0])!r})" if found else ""
