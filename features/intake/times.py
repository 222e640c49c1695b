"""Reads columns of times, alike on every engine, as times on the business's clock.

A value is first read as it is written (`read_as_written`): a day, a clock, an offset from UTC. Then zones are applied
(`TimeReader`): a date without a clock is a day in every zone; an offset in the data says which moment is meant;
[section] timezone says it for the others. From here on every time is naive and in [task] timezone, where days begin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import ibis

from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.intake.columns import BLANK_CHARACTERS
from features.task import UTC_ZONE

DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-9]{1,2}(?::[0-9]{1,2}(?:[.][0-9]*)?)?"
OFFSET = r" ?(UTC|GMT|[Zz]|[+-](?:0[0-9]|1[0-8])(?::?[0-5][0-9])?)"
LOCAL_TIME = rf"^{BLANK_CHARACTERS}({DATE}(?:[ T]{CLOCK})?){BLANK_CHARACTERS}$"
TIME_WITH_OFFSET = rf"^{BLANK_CHARACTERS}({DATE}[ T]{CLOCK}){OFFSET}{BLANK_CHARACTERS}$"
ANYTHING_WITH_OFFSET = rf"^(.*?){OFFSET}{BLANK_CHARACTERS}$"
OFFSET_AT_END_OF_FORMAT = re.compile(rf" ?%z$|(?<!%){OFFSET}$")
FORMAT_DIRECTIVE = re.compile(r"%[-_0^#]?(.)")
CLOCK_DIRECTIVES = frozenset("HIMSfpXTRrcsgnzZ")
TIMES_WITHOUT_FORMAT = ("known_at", "end_known_at")  # roles for which `time_format` is not used


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


def read_as_written(
    column: ibis.Value, section: TableSection, engine: Engine, role: str, place: str = "events"
) -> WrittenTimes:
    """Reads a column of times as they are written.

    Args:
        column: Timestamps, dates, text, or whole numbers written YYYYMMDD.
        section: Its time_format says how to read text.
        engine: Where the column is.
        role: The key of the section that names the column.
        place: The section's name in the config, for messages.

    Returns:
        The days, clocks and offsets.

    Raises:
        UsageError: The column is of another type.
    """
    kind = column.type()
    if kind.is_date():
        return WrittenTimes(column.cast("timestamp"), has_clock=False)
    if kind.is_timestamp():  # an engine keeps one with a zone in UTC
        return WrittenTimes(column.cast("timestamp"), offset=ibis.literal(0) if kind.timezone else None)
    if kind.is_integer():
        return WrittenTimes(_from_digits(column), has_clock=False)
    if not kind.is_string():
        raise UsageError(
            f"[{place}] {role}: column {column.get_name()!r} holds {kind}; expected times, dates, text "
            "or whole numbers YYYYMMDD"
        )
    if section.time_format and role not in TIMES_WITHOUT_FORMAT:
        return _from_format(column, section.time_format, engine)
    return read_iso_text(column)


def _from_digits(column: ibis.Value) -> ibis.Value:
    """Whole numbers written YYYYMMDD as timestamps."""
    text = column.cast("string")
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    return (text.length() == 8).ifelse(dashed, ibis.null("string")).try_cast("timestamp")


def read_iso_text(column: ibis.Value) -> WrittenTimes:
    """Text in ISO 8601, with or without a clock and an offset; slashes may stand for dashes."""
    text = column.replace("/", "-")
    zoned = text.re_search(TIME_WITH_OFFSET)
    bare = zoned.ifelse(text.re_extract(TIME_WITH_OFFSET, 1), text.re_extract(LOCAL_TIME, 1))
    minutes = _offset_minutes(text.re_extract(TIME_WITH_OFFSET, 2))
    return WrittenTimes(bare.try_cast("timestamp"), bare.contains(":"), zoned.ifelse(minutes, ibis.null("int64")))


def _from_format(column: ibis.Value, layout: str, engine: Engine) -> WrittenTimes:
    """Text in a strftime layout. An offset at its end is read here, so that all engines read the same offsets."""
    if end := OFFSET_AT_END_OF_FORMAT.search(layout):
        text = column.re_extract(ANYTHING_WITH_OFFSET, 1)
        minutes = _offset_minutes(column.re_extract(ANYTHING_WITH_OFFSET, 2))
        layout = layout[: end.start()].rstrip()
        return WrittenTimes(engine.parse_time(text, layout), has_clock(layout), minutes)
    in_utc = not {"z", "Z"}.isdisjoint(_directives(layout))  # an engine applies an offset in the middle
    return WrittenTimes(engine.parse_time(column, layout), has_clock(layout), ibis.literal(0) if in_utc else None)


def has_clock(layout: str) -> bool:
    """Whether a strftime layout has an hour, a minute or anything smaller than a day.

    >>> has_clock("%d/%m/%Y"), has_clock("%d/%m/%Y %-H:%M"), has_clock("%Y %%H")
    (False, True, False)
    """
    return not CLOCK_DIRECTIVES.isdisjoint(_directives(layout))


def _directives(layout: str) -> list[str]:
    return FORMAT_DIRECTIVE.findall(layout)


def _offset_minutes(offset: ibis.Value) -> ibis.Value:
    """Minutes ahead of UTC of text such as 'Z', '-04' or '+05:30'."""
    digits = offset.re_replace("[^0-9]", "")
    hours, minutes = (digits.substr(start, 2).try_cast("int64").fill_null(0) for start in (0, 2))
    return (hours * 60 + minutes) * offset.contains("-").ifelse(-1, 1)


@dataclass(frozen=True)
class TimeReader:
    """Reads the columns of times of one section on the business's clock.

    Attributes:
        section: Its timezone says how to read clocks without an offset.
        engine: Where the section's rows are.
        zone: The zone in which days begin ([task] timezone).
        place: The section's name in the config, for messages.
    """

    section: TableSection
    engine: Engine
    zone: str = UTC_ZONE
    place: str = "events"
    _only_days: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)

    def read(self, column: ibis.Value, role: str) -> ibis.Value:
        """A column of times as naive timestamps in the business's zone; null where a time cannot be read.

        If the clocks of all values show midnight, these are days too.

        Args:
            column: Timestamps, dates, text, or whole numbers written YYYYMMDD.
            role: The key of the section that names the column.

        Returns:
            The timestamps.

        Raises:
            DataError: Some texts have an offset and some do not, and the config names no zone for these.
            UsageError: The column is of another type.
        """
        times = read_as_written(column, self.section, self.engine, role, self.place)
        if times.has_clock is False or self._holds_only_days(column, role):
            return times.written
        moment = self._to_business_zone(times.written)
        if times.offset is not None:
            utc = times.written - times.offset.as_interval("m")
            moment = times.offset.notnull().ifelse(self._from_utc(utc), moment)
        return moment if times.has_clock is True else times.has_clock.ifelse(moment, times.written)

    def advice(self, column: ibis.Value, role: str) -> str:
        """What to do about unreadable times of a column."""
        return f"set [{self.place}] time_format, such as '%d/%m/%Y %H:%M'"

    def _to_business_zone(self, moment: ibis.Value) -> ibis.Value:
        """Times on the section's clock on that of the business."""
        section_zone = self.section.timezone or UTC_ZONE
        if section_zone == self.zone:
            return moment
        return self._from_utc(moment if section_zone == UTC_ZONE else self.engine.to_utc(moment, section_zone))

    def _from_utc(self, moment: ibis.Value) -> ibis.Value:
        """Times in UTC on the business's clock."""
        return moment if self.zone == UTC_ZONE else self.engine.from_utc(moment, self.zone)

    def _holds_only_days(self, column: ibis.Value, role: str) -> bool:
        """Whether the clocks of all values of a column show midnight; looks only where the answer matters."""
        key = (role, column.get_name())
        converts = self.zone != UTC_ZONE or bool(self.section.timezone)
        if key not in self._only_days:
            self._only_days[key] = (converts or column.type().is_string()) and self._survey(column, role)
        return self._only_days[key]

    def _survey(self, column: ibis.Value, role: str) -> bool:
        """As `_holds_only_days`; refuses a column in which some times have an offset and some do not."""
        rows = column.as_table()
        times = read_as_written(rows[0], self.section, self.engine, role, self.place)
        has_offset = ibis.literal(False) if times.offset is None else times.offset.notnull()
        timed = times.written.notnull() & times.has_clock
        counts = self.engine.to_arrow(
            rows.aggregate(
                offset=(timed & has_offset).sum().fill_null(0),
                bare=(timed & ~has_offset).sum().fill_null(0),
                later=(timed & (times.written != times.written.date().cast("timestamp"))).sum().fill_null(0),
            )
        ).to_pylist()[0]
        if counts["offset"] and counts["bare"] and not self.section.timezone:
            raise DataError(
                f"[{self.place}] {role}: column {column.get_name()!r} mixes {counts['offset']:,} times with an offset "
                f"and {counts['bare']:,} without one; set [{self.place}] timezone to the zone of the latter, such as "
                "'Europe/London'"
            )
        return not counts["later"]
