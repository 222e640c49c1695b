"""How a log arrived, beside how it was at the run before: empty, twice, cut off, or with its last days missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from features.audit.audit import Audit
from features.config.load import Config
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.task import Window

SILENCE_WINDOW = Window(90)  # in which a log shows how long it is usually silent
MIN_REPEATED_SHARE = (
    0.4  # of the rows that came: from this share of repeated ones on they are taken for a second delivery
)
MIN_NEW_ROWS = 20  # rows that are too few to say so
MIN_REMAINING_SHARE = 0.9  # of the rows of before: a log with fewer is taken for cut off


@dataclass(frozen=True)
class DeliveryRecord:
    """What a run remembers of a log for the next one.

    Attributes:
        rows: How many.
        repeated: How many equal another in every column and are kept all the same.
        first, last: Days of the first and the last event.
        complete_until: First day about which nothing is known.
        fingerprint: Of the whole log.
    """

    rows: int
    repeated: int
    first: date
    last: date
    complete_until: date
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: str(value) if isinstance(value, date) else value for name, value in asdict(self).items()}


def delivery_record(config: Config, audit: Audit) -> DeliveryRecord:
    """What an audit says of how the log came; rows that repeat an event id are set aside, so they are not repeated."""
    rows = audit.rows_read - audit.duplicates_dropped
    repeated = 0 if config.events.id else audit.duplicate_rows
    return DeliveryRecord(rows, repeated, audit.first, audit.last, audit.complete_until, audit.fingerprint)


def parse_delivery_record(told: Mapping[str, Any]) -> DeliveryRecord:
    """What `Arrived.to_dict` told."""
    days = {name: date.fromisoformat(told[name]) for name in ("first", "last", "complete_until")}
    return DeliveryRecord(int(told["rows"]), int(told["repeated"]), **days, fingerprint=str(told["fingerprint"]))


def delivery_faults(
    now: DeliveryRecord, before: DeliveryRecord | None, cutoff: date, silence: Callable[[], int]
) -> list[str]:
    """What is wrong with how a log arrived, in words; none where nothing is.

    Args:
        now: The log.
        before: At the run before, if there was one.
        cutoff: Up to which the log should reach.
        silence: Gives the most days in a row on which the log was without events lately; asked where days are missing.

    >>> before = Arrived(1000, 4, date(2024, 1, 1), date(2024, 3, 8), date(2024, 3, 9), "a")
    >>> twice = Arrived(1100, 52, date(2024, 1, 1), date(2024, 3, 9), date(2024, 3, 10), "b")
    >>> faults(twice, before, date(2024, 3, 10), lambda: 0)[0][:59]
    'a delivery came twice: of 100 rows that came since the run '
    """
    found = [_cut_off(now, before), _twice(now, before), _late(now, cutoff, silence)]
    return [text for text in found if text]


def _cut_off(now: DeliveryRecord, before: DeliveryRecord | None) -> str:
    if before is None:
        return ""
    if now.last < before.last:
        return (
            f"the log ends with {now.last}, and at the run before it ended with {before.last}: an older file, or one "
            "that was cut off? Put the whole log in its place"
        )
    if now.rows < MIN_REMAINING_SHARE * before.rows and now.first <= before.first:
        return (
            f"the log has {now.rows:,} rows, and at the run before it had {before.rows:,} from the same first day on: "
            "was it cut off? Put the whole log in its place"
        )
    return ""


def _twice(now: DeliveryRecord, before: DeliveryRecord | None) -> str:
    rows, repeated = (before.rows, before.repeated) if before else (0, 0)
    came, again = now.rows - rows, now.repeated - repeated
    usual = repeated / rows if rows else 0.0
    if came < MIN_NEW_ROWS or again < max(MIN_REPEATED_SHARE, 2 * usual) * came:
        return ""
    since = "that came since the run before" if before else "of the log"
    return (
        f"a delivery came twice: of {came:,} rows {since}, {again:,} equal another in every column. Take it out, name "
        '[events] id, or set [events] duplicates = "drop"'
    )


def _late(now: DeliveryRecord, cutoff: date, silence: Callable[[], int]) -> str:
    reached = max(now.complete_until, now.last + Window(1).delta)
    missing = (cutoff - reached).days
    if missing <= 0 or missing <= (usual := silence()):
        return ""
    days = "the day before it is" if missing == 1 else f"{missing} days before it are"
    return (
        f"the log ends on {now.last}: for cutoff {cutoff} {days} missing, and in its last {SILENCE_WINDOW.days} days it "
        f"was never without events for more than {usual} in a row. Have the missing days delivered and run this again; "
        "without --cutoff the run uses the last complete day of the log"
    )


def longest_silence(config: Config) -> int:
    """The most days in a row on which a log had no event, in its last days (`LATELY`); reads the log.

    Raises:
        DataError: The log breaks its contract.
    """
    with open_engine(config.engine, config.folder) as engine:
        events = read_tables(config, engine).events
        days = engine.arrow(events.select("day").distinct().order_by("day"))["day"].to_pylist()
    lately = [day for day in days if day >= days[-1] - SILENCE_WINDOW.delta]
    return max(((after - day).days - 1 for day, after in zip(lately, lately[1:], strict=False)), default=0)
