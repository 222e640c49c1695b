"""Checks how a log was delivered, against the previous run: cut off, delivered twice, or with its last days missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from features.audit.audit import Audit
from features.config.table_sections import Events
from features.intake.log import Log
from features.task import UTC_ZONE, Window

SILENCE_WINDOW = Window(90)  # the last days of a log, which show how long it is usually silent
MIN_REPEATED_SHARE = 0.4  # of the new rows; from this share on, repeated rows count as a second delivery
MIN_NEW_ROWS = 20  # with fewer, repeated rows prove nothing
MIN_REMAINING_SHARE = 0.9  # of the rows of the previous run; a log with fewer counts as cut off


@dataclass(frozen=True)
class DeliveryRecord:
    """What a run stores about a log, for the next run to compare with.

    Attributes:
        rows: How many.
        repeated: How many equal another row in every column and are kept.
        first, last: Days of the first and the last event.
        complete_until: First day about which nothing is known.
        fingerprint: Of the whole log.
        timezone: The zone in which its days begin.
    """

    rows: int
    repeated: int
    first: date
    last: date
    complete_until: date
    fingerprint: str
    timezone: str = UTC_ZONE

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values, dates as ISO text."""
        return {name: str(value) if isinstance(value, date) else value for name, value in asdict(self).items()}


def delivery_record(events: Events, audit: Audit, timezone: str = UTC_ZONE) -> DeliveryRecord:
    """The record of the log that an audit looked at.

    With [events] id no row counts as repeated: rows that repeat an event id are set aside.

    Args:
        events: The section of the config.
        audit: The audit.
        timezone: The zone in which days begin.

    Returns:
        The record.
    """
    rows = audit.rows_read - audit.duplicates_dropped
    repeated = 0 if events.id else audit.duplicate_rows
    return DeliveryRecord(rows, repeated, audit.first, audit.last, audit.complete_until, audit.fingerprint, timezone)


def parse_delivery_record(record: Mapping[str, Any]) -> DeliveryRecord:
    """The record behind the output of `DeliveryRecord.to_dict`."""
    days = {name: date.fromisoformat(record[name]) for name in ("first", "last", "complete_until")}
    fingerprint, timezone = str(record["fingerprint"]), str(record.get("timezone", UTC_ZONE))
    return DeliveryRecord(
        int(record["rows"]), int(record["repeated"]), **days, fingerprint=fingerprint, timezone=timezone
    )


def delivery_faults(
    now: DeliveryRecord, before: DeliveryRecord | None, cutoff: date, silence: Callable[[], int]
) -> list[str]:
    """What is wrong with how a log was delivered, in words; empty if nothing is.

    Args:
        now: The log.
        before: The log at the previous run; None if there was none.
        cutoff: The log should reach up to it.
        silence: Returns the longest run of days without events lately; called only when days are missing.

    Returns:
        One message a fault.

    >>> before = DeliveryRecord(1000, 4, date(2024, 1, 1), date(2024, 3, 8), date(2024, 3, 9), "a")
    >>> twice = DeliveryRecord(1100, 52, date(2024, 1, 1), date(2024, 3, 9), date(2024, 3, 10), "b")
    >>> delivery_faults(twice, before, date(2024, 3, 10), lambda: 0)[0][:60]
    'a delivery came twice: of 100 rows added since the previous '
    """
    problems = [_cut_off(now, before), _twice(now, before), _late(now, cutoff, silence)]
    return [text for text in problems if text]


def _cut_off(now: DeliveryRecord, before: DeliveryRecord | None) -> str:
    """A log that is older or much shorter than at the previous run."""
    if before is None:
        return ""
    if now.last < before.last and now.timezone == before.timezone:
        return (
            f"the log ends on {now.last}, but at the previous run it ended on {before.last}: is this an older file, or "
            "was it cut off? Replace it with the complete log"
        )
    if now.rows < MIN_REMAINING_SHARE * before.rows and now.first <= before.first:
        return (
            f"the log has {now.rows:,} rows, but at the previous run it had {before.rows:,} from the same first day "
            "on: was it cut off? Replace it with the complete log"
        )
    return ""


def _twice(now: DeliveryRecord, before: DeliveryRecord | None) -> str:
    """A delivery of which many rows repeat others."""
    rows, repeated = (before.rows, before.repeated) if before else (0, 0)
    new_rows, new_repeats = now.rows - rows, now.repeated - repeated
    usual = repeated / rows if rows else 0.0
    if new_rows < MIN_NEW_ROWS or new_repeats < max(MIN_REPEATED_SHARE, 2 * usual) * new_rows:
        return ""
    since = "added since the previous run" if before else "of the log"
    return (
        f"a delivery came twice: of {new_rows:,} rows {since}, {new_repeats:,} equal another row in every column. "
        'Remove the second copy, set [events] id, or set [events] duplicates = "drop"'
    )


def _late(now: DeliveryRecord, cutoff: date, silence: Callable[[], int]) -> str:
    """Days missing before the cutoff, more than the log is usually silent."""
    reached = max(now.complete_until, now.last + Window(1).delta)
    missing = (cutoff - reached).days
    if missing <= 0 or missing <= (usual := silence()):
        return ""
    days = "the day before it is" if missing == 1 else f"{missing} days before it are"
    return (
        f"the log ends on {now.last}: for cutoff {cutoff} {days} missing, and in its last {SILENCE_WINDOW.days} days "
        f"it was never without events for more than {usual} in a row. Have the missing days delivered and run this "
        "again; without --cutoff the run uses the last complete day of the log"
    )


def longest_silence(log: Log) -> int:
    """The longest run of days without events in the last days of a log (`SILENCE_WINDOW`).

    Raises:
        DataError: The log breaks its contract.
    """
    with log.stages() as (engine, tables):
        events = tables.events
        days = engine.to_arrow(events.select("day").distinct().order_by("day"))["day"].to_pylist()
    lately = [day for day in days if day >= days[-1] - SILENCE_WINDOW.delta]
    return max(((after - day).days - 1 for day, after in zip(lately, lately[1:], strict=False)), default=0)
