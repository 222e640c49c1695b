"""Reads columns of a log as ids, numbers and times, alike on every engine. Messages mask unreadable text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as dt

from features.config.data_contract import feature_slug
from features.config.table_sections import COLUMN_LIST_KEYS, TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.tables import SetAsideRows
from features.money import LARGEST_AMOUNT, TICKS
from features.sources.source import require_columns

# Text must match these patterns before an engine reads it as a number or a time, since engines differ in what else they
# accept and in what they call blank. \x09 to \x0d are tab, line feed, vertical tab, form feed and carriage return.
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
    """Masks the digits and letters of a text, so that a message shows its form and not its content.

    >>> mask_text("£12.50"), mask_text("03/Jan/2024")
    ('£99.99', '99/aaa/9999')
    """
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text))[:40]


def require_section_columns(source: ibis.Table, section: TableSection, place: str) -> None:
    """Checks that a section's columns exist and that its kinds give features of distinct names.

    Args:
        source: The rows that the section reads.
        section: The section of the config.
        place: Its name in the config, such as 'activities.visits', for messages.

    Raises:
        UsageError: A column is not in the source, or two kinds (or attributes) would give features of the same name.
    """
    require_columns(place, section.columns_by_role(), source.columns)
    for key in COLUMN_LIST_KEYS:
        names = getattr(section, key, ())
        slugs = [feature_slug(name) for name in names]
        if len(set(slugs)) != len(slugs) or "" in slugs:
            raise UsageError(
                f"[{place}] {key}: {', '.join(names)} would give features of the same name or of no name; rename one"
            )


def blank_to_null(column: ibis.Value) -> ibis.Value:
    """A column in which blank text is null."""
    kind = column.type()
    return column.re_search(NOT_BLANK).ifelse(column, ibis.null("string")) if kind.is_string() else column


def as_identifier(column: ibis.Value) -> ibis.Value:
    """An id as text: 17850 and 17850.0 are both '17850'; blank text is null."""
    kind = column.type()
    if kind.is_floating():
        is_integer = (column == column.floor()) & (column.abs() < 2**53)
        text = is_integer.ifelse(column.try_cast("int64").cast("string"), column.cast("string"))
        return column.isnan().ifelse(ibis.null("string"), text)
    return blank_to_null(column) if kind.is_string() else column.cast("string")


def as_number(column: ibis.Value) -> ibis.Value:
    """A column as floats; null where it is not a number."""
    if column.type().is_string():
        column = column.re_search(NUMBER).ifelse(column, ibis.null("string"))
    return column.try_cast("float64")


def as_ticks(number: ibis.Value, reason: ibis.Value) -> ibis.Value:
    """Numbers as whole ten-thousandths (ticks); null where a number is unusable or its row is set aside."""
    usable = reason.isnull() & number.notnull() & ~number.isnan() & (number.abs() <= LARGEST_AMOUNT)
    return usable.ifelse((number * TICKS).round(), ibis.null("float64")).cast("int64")


def as_utc_timestamp(
    column: ibis.Value, section: TableSection, engine: Engine, role: str, place: str = "events"
) -> ibis.Value:
    """A column of times as naive timestamps in UTC; null where a time cannot be read.

    Args:
        column: Timestamps, dates, text, or whole numbers written YYYYMMDD.
        section: Its timezone and time_format say how to read them.
        engine: Where the column is.
        role: The key of the section that names the column; `time_format` is not used for 'known_at' and 'end_known_at'.
        place: The section's name in the config, for messages.

    Returns:
        The timestamps.

    Raises:
        UsageError: The column is of another type.
    """
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
            f"[{place}] {role}: column {column.get_name()!r} holds {kind}; expected times, dates, text "
            "or whole numbers YYYYMMDD"
        )
    if section.time_format and role not in ("known_at", "end_known_at"):
        return _to_utc(engine.parse_time(column, section.time_format), section, engine)
    text = column.replace("/", "-")
    with_offset, local_time = (
        text.re_search(form).ifelse(text, ibis.null("string")) for form in (TIME_WITH_OFFSET, LOCAL_TIME)
    )
    return ibis.coalesce(
        with_offset.try_cast(dt.Timestamp("UTC")).cast("timestamp"),
        _to_utc(local_time.try_cast("timestamp"), section, engine),
    )


def _from_digits(column: ibis.Value) -> ibis.Value:
    """Whole numbers written YYYYMMDD as timestamps."""
    text = column.cast("string")
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    return (text.length() == 8).ifelse(dashed, ibis.null("string")).try_cast("timestamp")


def _to_utc(moment: ibis.Value, section: TableSection, engine: Engine) -> ibis.Value:
    """Naive timestamps on the section's clock in UTC."""
    return engine.to_utc(moment, section.timezone) if section.timezone else moment


def refuse_mixed_zones(
    source: ibis.Table, section: TableSection, engine: Engine, role: str = "time", place: str = "events"
) -> None:
    """Refuses text times of which some carry an offset and some do not, unless the config names a zone.

    Args:
        source: The rows of the section.
        section: The section of the config.
        engine: Where the rows are.
        role: The key in the section that names the column of times.
        place: The section's name in the config, for messages.

    Raises:
        DataError: There are times of both sorts.
    """
    column = source[getattr(section, role)]
    if not column.type().is_string() or section.timezone or section.time_format:
        return
    text = column.replace("/", "-")
    without_offset = text.re_search(LOCAL_TIME) & text.re_search(":")
    counts = engine.to_arrow(
        source.aggregate(offset=text.re_search(TIME_WITH_OFFSET).sum(), bare=without_offset.sum())
    ).to_pylist()[0]
    if counts["offset"] and counts["bare"]:
        raise DataError(
            f"[{place}] {role}: column {column.get_name()!r} mixes {counts['offset']:,} times with an offset and "
            f"{counts['bare']:,} without one; set [{place}] timezone to the zone of the latter, such as 'Europe/London'"
        )


def count_set_aside(stored: ibis.Table, engine: Engine) -> tuple[SetAsideRows, ...]:
    """Counts the rows that have a `reason`, by reason, with a few of their customers."""
    rejected = stored.filter(stored.reason.notnull())
    counts = engine.to_arrow(
        rejected.group_by("reason").aggregate(rows=rejected.count()).order_by("reason")
    ).to_pylist()
    set_asides = []
    for row in counts:
        ids = rejected.filter(rejected.reason == row["reason"]).customer_id
        few = engine.to_arrow(ids.as_table().filter(ids.notnull()).distinct().order_by("customer_id").limit(5))
        set_asides.append(SetAsideRows(row["reason"], row["rows"], tuple(few["customer_id"].to_pylist())))
    return tuple(set_asides)


def malformed_lines(
    section: TableSection, engine: Engine, rows_read: int, place: str = "events"
) -> tuple[SetAsideRows, ...]:
    """The lines of CSV whose number of columns differs from the header's.

    Args:
        section: The section that was read.
        engine: Where its source was read.
        rows_read: How many rows could be split into columns.
        place: The section's name in the config, for messages.

    Returns:
        One entry, or none if there is no such line.

    Raises:
        DataError: There are more of them than [section] max_unreadable allows.
    """
    rejected = engine.count_rejected_lines()
    if rejected > section.max_unreadable * (rows_read + rejected):
        raise DataError(
            f"{section.source}: {rejected:,} of {rows_read + rejected:,} lines do not have the columns of the header "
            f"(a stray separator or quote?); repair them, or allow them with [{place}] max_unreadable "
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
    """Refuses a section if too many of its rows cannot be read: the rest would not represent all of them.

    Args:
        aside: The rows that were set aside.
        source: The rows of the section, as they were read.
        section: The section of the config.
        engine: Where the rows are.
        rows_read: How many rows were read.
        place: The section's name in the config, for messages.
        times: The roles that hold times.
        numbers: The roles that hold numbers.

    Raises:
        DataError: For the first role, of `times` and then of `numbers`, with too many unusable values.
    """
    example = "such as CAST(regexp_replace(price, '[^0-9.-]', '', 'g') AS DOUBLE)"
    repairs = dict.fromkeys(times, f"set [{place}] time_format, such as '%d/%m/%Y %H:%M'")
    repairs |= dict.fromkeys(numbers, f"clean it in [{place}] query, {example}")
    for role, repair in repairs.items():
        reasons = {f"{what} {role}" for what in ("unreadable", "infinite", "missing", "impossible")}
        unusable = [a for a in aside if a.reason in reasons]
        rows = sum(a.rows for a in unusable)
        if rows <= section.max_unreadable * rows_read:
            continue
        column = getattr(section, role)
        ids = sorted({c for a in unusable for c in a.customers})
        raise DataError(
            f"{section.source}: {rows:,} of {rows_read:,} rows have no usable {role} in column {column!r}"
            f"{_example_of_unreadable(source, column, role if role in times else '', section, engine)}"
            f"{f'; customers {sample(ids)}' if ids else ''}; {repair}, "
            f"or allow such rows with [{place}] max_unreadable (now {section.max_unreadable:g})"
        )


def _example_of_unreadable(
    source: ibis.Table, column: str, time_role: str, section: TableSection, engine: Engine
) -> str:
    """An unreadable text of a column, masked; `time_role` is the role of a time, '' for a number."""
    if not source[column].type().is_string():
        return ""
    read = as_utc_timestamp(source[column], section, engine, time_role) if time_role else as_number(source[column])
    unreadable = (
        source.filter(source[column].notnull() & read.isnull()).select(text=source[column]).order_by("text").limit(1)
    )
    examples = engine.to_arrow(unreadable)["text"].to_pylist()
    return f" (written like {mask_text(examples[0])!r})" if examples else ""
