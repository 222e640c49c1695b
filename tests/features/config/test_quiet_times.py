"""Quiet days and hours: what can be read, and the first day that is open."""

from __future__ import annotations

from datetime import date

import pytest

from features.config.quiet_times import WEEKDAYS, check_quiet_times, first_open_day, open_hours


@pytest.mark.parametrize(
    ("days", "hours", "words"),
    [
        (["someday"], "", "expected a weekday such as 'sunday'"),
        (["02-30"], "", "found '02-30'"),
        (["20241225"], "", "found '20241225'"),
        (list(WEEKDAYS), "", "every weekday"),
        ([], "8-20", "quiet_hours: expected two different times"),
        ([], "08:00-08:00", "two different times"),
        ([], "25:00-08:00", "found '25:00-08:00'"),
    ],
)
def test_what_cannot_be_read_is_refused(days: list[str], hours: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_quiet_times(days, hours)


def test_the_first_open_day() -> None:
    check_quiet_times(["Sunday", "12-25", "2024-12-26", "02-29"], "20:00-08:00")
    assert first_open_day(date(2024, 12, 25), ["12-25", "2024-12-26"]) == date(2024, 12, 27)
    assert first_open_day(date(2025, 12, 25), ["12-25", "2024-12-26"]) == date(2025, 12, 26)
    assert first_open_day(date(2024, 3, 3), ["Sunday"]) == date(2024, 3, 4)
    assert first_open_day(date(2024, 3, 3), []) == date(2024, 3, 3)
    assert open_hours("20:00-08:00") == ("08:00", "20:00")
