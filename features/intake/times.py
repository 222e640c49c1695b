"""Reads columns of times, alike on every engine, as times on the business's clock.

How a column is written is decided by all of its values (`features.parsing`), and a value is first read as it is
written: a day, a clock, an offset from UTC. Then zones are applied: a date without a clock is a day in every zone; an
offset in the data says which moment is meant; [section] timezone says it for the others. From here on every time is
naive and in [task] timezone, where days begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import ibis

from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.parsing import (
    FIRST_BIRTHDAY,
    FIRST_TIME,
    LAST_TIME,
    TimeLayout,
    WrittenTimes,
    decide_time_layout,
    is_possible_time,
)
from features.task import UTC_ZONE

MAIN_ROLES = ("time", "start")  # for which `time_format` is the only layout; other columns may have one of their own
ATTRIBUTES = "attributes"


@dataclass(frozen=True)
class TimeReader:
    """Reads the columns of times of one section on the business's clock.

    Attributes:
        section: Its timezone says how to read clocks without an offset, and its time_format how texts are written.
        engine: Where the section's rows are.
        zone: The zone in which days begin ([task] timezone).
        place: The section's name in the config, for messages.
    """

    section: TableSection
    engine: Engine
    zone: str = UTC_ZONE
    place: str = "events"
    _only_days: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False)
    _layouts: dict[tuple[str, str], TimeLayout] = field(default_factory=dict, repr=False)

    def layout(self, column: ibis.Value, role: str) -> TimeLayout:
        """How a column is written; its values are looked at once.

        Raises:
            DataError: Several orders of day, month and year read the column as well.
            UsageError: The column is of a type that holds no times.
        """
        key = (role, column.get_name())
        if key not in self._layouts:
            kind, formats = column.type(), self.section.time_formats
            if formats and role in MAIN_ROLES and (kind.is_string() or kind.is_integer()):
                decided = TimeLayout("formats", formats)
            else:
                decided = decide_time_layout(column, self.engine, formats, only_dates=role == ATTRIBUTES)
            if not decided.kind and not (kind.is_string() or kind.is_integer()):
                raise UsageError(
                    f"[{self.place}] {role}: column {column.get_name()!r} holds {kind}; expected times, dates, text, "
                    "whole numbers such as 20240131, or seconds or milliseconds since 1970"
                    f"{self._advice_on_days(column, decided, '; ')}"
                )
            self._layouts[key] = decided
        decided = self._layouts[key]
        if decided.rivals:
            formats_text = " and ".join(map(repr, (decided.formats[0], *decided.rivals)))
            raise DataError(
                f"[{self.place}] {role}: {formats_text} read column {column.get_name()!r} equally well, and mean "
                f"different days; set [{self.place}] time_format to the one that is right"
            )
        return decided

    def read(self, column: ibis.Value, role: str) -> ibis.Value:
        """A column of times as naive timestamps in the business's zone; null where a time cannot be read.

        If the clocks of all values show midnight, these are days too. Times before 1970 or from 2200 on are mistakes.

        Args:
            column: Timestamps, dates, text, or numbers.
            role: The key of the section that names the column.

        Returns:
            The timestamps.

        Raises:
            DataError: Some texts have an offset and some do not, and the config names no zone for these; or nothing
                shows in which order day and month are written.
            UsageError: The column is of another type.
        """
        times = self._written(column, role)
        if times.has_clock is False or self._holds_only_days(column, role):
            return times.written
        moment = self._to_business_zone(times.written)
        if times.offset is not None:
            utc = times.written - times.offset.as_interval("m")
            moment = times.offset.notnull().ifelse(self._from_utc(utc), moment)
        return moment if times.has_clock is True else times.has_clock.ifelse(moment, times.written)

    def means_never(self, column: ibis.Value, role: str) -> ibis.Value:
        """Whether each value is a date such as 9999-12-31, by which databases say that something does not end."""
        written = self.layout(column, role).read(column, self.engine).written
        return (written >= ibis.literal(LAST_TIME).cast("timestamp")).fill_null(False)

    def _written(self, column: ibis.Value, role: str) -> WrittenTimes:
        """A column of times as they are written, null if they are in no possible year."""
        times = self.layout(column, role).read(column, self.engine)
        first = FIRST_BIRTHDAY if role == ATTRIBUTES else FIRST_TIME
        possible = is_possible_time(times.written, first).ifelse(times.written, ibis.null("timestamp"))
        return WrittenTimes(possible, times.has_clock, times.offset)

    def advice(self, column: ibis.Value, role: str) -> str:
        """What to do about unreadable times of a column, by how they are written."""
        key, query = f"[{self.place}] time_format", f"[{self.place}] query"
        own = decide_time_layout(column, self.engine)
        if own.kind == "iso":
            if self.section.time_formats:
                return f"remove {key}, since most are written as 2024-01-31 is"
            return f"repair those that are not written as 2024-01-31 is, or turn them into times in {query}"
        if own.also:
            return f"the column is written in several ways: set {key} = {[own.formats[0], own.also]}"
        if own.formats and 2 * own.readable >= own.given:
            return f"set {key} to {' or '.join(map(repr, (own.formats[0], *own.rivals)))}"
        if days := self._advice_on_days(column, own):
            return days
        lengths = {"#6": "'%y%m%d', '%d%m%y' or '%m%d%y'", "#8": "'%d%m%Y' or '%m%d%Y'"}
        outline = own.outlines[0] if own.outlines else ""
        return f"set {key} to {lengths[outline]}" if outline in lengths else f"set {key}, such as '%d/%m/%Y %H:%M'"

    def _advice_on_days(self, column: ibis.Value, layout: TimeLayout, before: str = "") -> str:
        """What to do about a column that is like a spreadsheet's numbers of days; empty for others."""
        if not (layout.outlines and layout.outlines[0].rstrip(".") == "#5"):
            return ""
        return (
            f"{before}if these are a spreadsheet's numbers of days, turn them into dates in [{self.place}] query: "
            f"DATE '1899-12-30' + CAST({column.get_name()} AS INTEGER)"
        )

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
        times = self._written(rows[0], role)
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


def zone_notes(events: TableSection, zone: str, has_clock: bool) -> tuple[str, ...]:
    """A note if events are read on other clocks than those by which days begin: one of the two may have been forgotten.

    Args:
        events: The section of the events.
        zone: The zone in which days begin ([task] timezone).
        has_clock: Whether the times of the events have hours.

    Returns:
        One sentence, or none.
    """
    if not has_clock or events.timezone in ("", zone):
        return ()
    return (
        f"times without an offset are read on the clocks of {events.timezone} ([events] timezone), and days begin in "
        f"{zone} ([task] timezone): if the business is in {events.timezone}, set [task] timezone too",
    )
