"""Reads columns of times as they are written, before any time zone is applied: a day, a clock, an offset from UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import ibis

from features.engines.base import ASCII_BLANK, Engine

DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-9]{1,2}(?::[0-9]{1,2}(?:[.][0-9]*)?)?"
OFFSET = r" ?(UTC|GMT|[Zz]|[+-](?:0[0-9]|1[0-8])(?::?[0-5][0-9])?)"
LOCAL_TIME = rf"^{ASCII_BLANK}({DATE}(?:[ T]{CLOCK})?){ASCII_BLANK}$"
TIME_WITH_OFFSET = rf"^{ASCII_BLANK}({DATE}[ T]{CLOCK}){OFFSET}{ASCII_BLANK}$"
ANYTHING_WITH_OFFSET = rf"^(.*?){OFFSET}{ASCII_BLANK}$"
OFFSET_AT_END_OF_FORMAT = re.compile(rf" ?%z$|(?<!%){OFFSET}$")
WEEKDAY_OF_FORMAT = re.compile("%[aA],? *")  # at the beginning; it says nothing that the date does not
FORMAT_DIRECTIVE = re.compile(r"%[-_0^#]?(.)")
CLOCK_DIRECTIVES = frozenset("HIMSfpXTRrcsgnzZ")
EPOCH, LAST_MICROSECOND = datetime(1970, 1, 1), 253_402_300_800_000_000  # noqa: DTZ001 (UTC; of the year 9999)
Unit = Literal["s", "ms", "us", "ns"]
MICROSECONDS: dict[str, float] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}


@dataclass(frozen=True)
class WrittenTimes:
    """The values of a column of times as they are written, before any time zone is applied.

    Attributes:
        written: The day and the clock as written, as naive timestamps; null where a value cannot be read.
        has_clock: Whether a value has a clock; one without is a day.
        offset: By how many minutes `written` is ahead of UTC, null where a value does not say it; None: no value does.
    """

    written: ibis.Value
    has_clock: ibis.Value | bool = True
    offset: ibis.Value | None = None


def is_iso_text(text: ibis.Value) -> ibis.Value:
    """Whether each text is written in ISO 8601; slashes may stand for dashes."""
    dashed = text.replace("/", "-")
    return dashed.re_search(LOCAL_TIME) | dashed.re_search(TIME_WITH_OFFSET)


def read_iso_text(column: ibis.Value) -> WrittenTimes:
    """Text in ISO 8601, with or without a clock and an offset; slashes may stand for dashes."""
    text = column.replace("/", "-")
    zoned = text.re_search(TIME_WITH_OFFSET)
    bare = zoned.ifelse(text.re_extract(TIME_WITH_OFFSET, 1), text.re_extract(LOCAL_TIME, 1))
    minutes = _offset_minutes(text.re_extract(TIME_WITH_OFFSET, 2))
    return WrittenTimes(bare.try_cast("timestamp"), bare.contains(":"), zoned.ifelse(minutes, ibis.null("int64")))


def read_format(column: ibis.Value, layout: str, engine: Engine) -> WrittenTimes:
    """Text in a strftime layout. An offset at its end is read here, so that all engines read the same offsets.

    Args:
        column: The text.
        layout: The strftime layout.
        engine: Where the column is.

    Returns:
        The times; null where a value does not fit.
    """
    if weekday := WEEKDAY_OF_FORMAT.match(layout):  # Spark reads no names of weekdays
        return read_format(column.re_replace(r"^[A-Za-z]+[.]?,? *", ""), layout[weekday.end() :], engine)
    if end := OFFSET_AT_END_OF_FORMAT.search(layout):
        text = column.re_extract(ANYTHING_WITH_OFFSET, 1)
        minutes = _offset_minutes(column.re_extract(ANYTHING_WITH_OFFSET, 2))
        layout = layout[: end.start()].rstrip()
        return WrittenTimes(engine.parse_time(text, layout), has_clock(layout), minutes)
    in_utc = not {"z", "Z"}.isdisjoint(_directives(layout))  # an engine applies an offset in the middle
    return WrittenTimes(engine.parse_time(column, layout), has_clock(layout), ibis.literal(0) if in_utc else None)


def read_formats(column: ibis.Value, layouts: tuple[str, ...], engine: Engine) -> WrittenTimes:
    """Text in any of several strftime layouts; of those that fit, the first is used.

    Args:
        column: The text.
        layouts: The strftime layouts.
        engine: Where the column is.

    Returns:
        The times; null where a value does not fit.
    """
    times = [read_format(column, layout, engine) for layout in layouts]
    if len(times) == 1:
        return times[0]
    null, clocks = ibis.null("int64"), {t.has_clock for t in times if isinstance(t.has_clock, bool)}
    offset = None
    if any(t.offset is not None for t in times):
        offset = _first_read(times, [null if t.offset is None else t.offset for t in times], null)
    return WrittenTimes(
        ibis.coalesce(*(t.written for t in times)),
        clocks.pop() if len(clocks) == 1 else _first_read(times, [ibis.literal(t.has_clock) for t in times], False),
        offset,
    )


def read_epoch(column: ibis.Value, unit: Unit) -> WrittenTimes:
    """Numbers of seconds, or of parts of a second, since 1970 began in UTC."""
    number = column * MICROSECONDS[unit]
    possible = ((number >= 0) & (number < LAST_MICROSECOND)).ifelse(
        number.round().try_cast("int64"), ibis.null("int64")
    )
    return WrittenTimes(ibis.literal(EPOCH, "timestamp") + possible.as_interval("us"), offset=ibis.literal(0))


def has_clock(layout: str) -> bool:
    """Whether a strftime layout has an hour, a minute or anything smaller than a day.

    >>> has_clock("%d/%m/%Y"), has_clock("%d/%m/%Y %-H:%M"), has_clock("%Y %%H")
    (False, True, False)
    """
    return not CLOCK_DIRECTIVES.isdisjoint(_directives(layout))


def _directives(layout: str) -> list[str]:
    return FORMAT_DIRECTIVE.findall(layout)


def _first_read(times: list[WrittenTimes], values: list[ibis.Value], default: ibis.Value | bool) -> ibis.Value:
    """For each row the value that belongs to the first of the times that could be read."""
    return ibis.cases(*((t.written.notnull(), value) for t, value in zip(times, values, strict=True)), else_=default)


def _offset_minutes(offset: ibis.Value) -> ibis.Value:
    """Minutes ahead of UTC of text such as 'Z', '-04' or '+05:30'."""
    digits = offset.re_replace("[^0-9]", "")
    hours, minutes = (digits.substr(start, 2).try_cast("int64").fill_null(0) for start in (0, 2))
    return (hours * 60 + minutes) * offset.contains("-").ifelse(-1, 1)
