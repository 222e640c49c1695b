"""Days and hours in which nobody is contacted ([plan] quiet_days, quiet_hours)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
OF_EVERY_YEAR = re.compile(r"\d\d-\d\d")
LONGEST = 366  # days ahead in which an open day is looked for


def check_quiet_times(days: Sequence[str], hours: str) -> None:
    """Check that quiet days and hours can be read and leave some time open.

    Args:
        days: Weekdays, dates, or days of every year.
        hours: Empty, or two times of a day with a hyphen between.

    Raises:
        ValueError: One cannot be read, every weekday is quiet, or the whole day is.
    """
    for day in days:
        of_every_year = OF_EVERY_YEAR.fullmatch(day) and _is_date(f"2024-{day}")
        if not (day.lower() in WEEKDAYS or _is_date(day) or of_every_year):
            raise ValueError(
                f"quiet_days: expected a weekday such as 'sunday', a date such as '2024-12-25' or a day of every year "
                f"such as '12-25', found {day!r}"
            )
    if set(WEEKDAYS) <= {day.lower() for day in days}:
        raise ValueError("quiet_days names every weekday, so nobody could ever be contacted; leave one out")
    if hours and (not HOURS.fullmatch(hours) or hours[:5] == hours[6:]):
        raise ValueError(f"quiet_hours: expected two different times such as '20:00-08:00', found {hours!r}")


def first_open_day(day: date, quiet: Sequence[str]) -> date:
    """Return the first day from `day` on that is not quiet, as far as a year ahead.

    >>> str(first_open_day(date(2024, 12, 24), ["12-24", "2024-12-25", "thursday"]))
    '2024-12-27'
    """
    names = {each.lower() for each in quiet}
    days = (day + timedelta(ahead) for ahead in range(LONGEST))
    return next((each for each in days if not names & _names(each)), day + timedelta(LONGEST))


def open_hours(quiet: str) -> tuple[str, str] | None:
    """Return the times from which and until which customers may be contacted; None if all hours are open.

    >>> open_hours("20:00-08:00"), open_hours("")
    (('08:00', '20:00'), None)
    """
    return (quiet[6:], quiet[:5]) if quiet else None


def _names(day: date) -> set[str]:
    """The names by which a quiet day may be given."""
    return {WEEKDAYS[day.weekday()], str(day), str(day)[5:]}


def _is_date(text: str) -> bool:
    try:
        return str(date.fromisoformat(text)) == text
    except ValueError:
        return False
