"""Reads columns of times, alike on every engine."""

from __future__ import annotations

import ibis
import ibis.expr.datatypes as dt

from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.intake.columns import BLANK_CHARACTERS

DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"([01]?[0-9]|2[0-3]):[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?"
OFFSET = r"( ?UTC|[Zz]|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)"
LOCAL_TIME = rf"^{BLANK_CHARACTERS}{DATE}([ T]{CLOCK})?{BLANK_CHARACTERS}$"
TIME_WITH_OFFSET = rf"^{BLANK_CHARACTERS}{DATE}[ T]{CLOCK}{OFFSET}{BLANK_CHARACTERS}$"


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
