"""The usual ranges of counts and shares, and the checks of a log that is not as usual."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from features.audit.log_profile import LogProfile, WeeklyCounts
from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.log_health import LogCheck, check_log_health, health_record, usual_range, usual_share_range

CUTOFF, TR, RULES = date(2024, 7, 1), get_language("en"), MonitorConfig()


def vitals(days: np.ndarray, repeated: float = 0.0, **changes: Any) -> LogProfile:
    weeks = len(days) // 7
    rows = days[: weeks * 7].reshape(-1, 7).sum(axis=1)
    last = CUTOFF - timedelta(1 + int(np.flatnonzero(days)[0]))
    shown = np.zeros(weeks)
    shown[0] = repeated * rows[0]
    fields: dict[str, Any] = {
        "cutoff": CUTOFF, "days": {"events": days}, "missing": {}, "repeated": WeeklyCounts(rows, shown), "new": {},
        "late": None, "rows_read": int(days.sum()), "set_aside": {}, "dropped": 0, "last": last, "fingerprint": "f",
    }  # fmt: skip
    return LogProfile(**{**fields, **changes})


def steady(days: int = 120, level: float = 50, seed: int = 1) -> np.ndarray:
    """Days of a shop that is quiet on two days of the week."""
    calendar = level * np.where(np.arange(days) % 7 < 5, 1.0, 0.2)
    return np.random.default_rng(seed).poisson(calendar).astype(float)


def wrong(checks: list[LogCheck]) -> list[str]:
    return [check.name for check in checks if not check.ok]


def test_a_steady_log_seldom_alarms() -> None:
    alarms = [wrong(check_log_health(vitals(steady(seed=seed)), RULES, None, TR)) for seed in range(80)]
    assert sum(map(bool, alarms)) <= 2


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_week_of_another_size_is_told(factor: float) -> None:
    days = steady()
    days[:7] = np.round(days[7:14] * factor)
    assert "events_week" in wrong(check_log_health(vitals(days), RULES, None, TR))


def test_a_quiet_weekday_is_no_alarm_and_a_missing_busy_one_is() -> None:
    days = steady()
    assert wrong(check_log_health(vitals(days[5:]), RULES, None, TR)) == []  # the last day is a quiet one
    days[0] = 0
    assert "silent_days" in wrong(check_log_health(vitals(days), RULES, None, TR))
    assert "events_day" in wrong(check_log_health(vitals(days), RULES, None, TR))


def test_a_growing_log_grows_on_as_usual() -> None:
    weekly = 100 * 1.05 ** np.arange(40)[::-1]
    low, high = usual_range(weekly, 1, 4.0) or (0, 0)
    assert low < weekly[0] < high
    assert not low < weekly[0] / 2 < high


def test_the_same_season_a_year_ago_widens_what_is_usual() -> None:
    weekly = np.full(80, 100.0)
    assert (usual_range(weekly, 1, 4.0) or (0, 0))[1] < 300
    weekly[52] = 300  # the same week a year ago was three times those before it
    low, high = usual_range(weekly, 1, 4.0) or (0, 0)
    assert low < 100 and high > 300


def test_a_short_history_says_so() -> None:
    checks = {check.name: check for check in check_log_health(vitals(steady(days=12)), RULES, None, TR)}
    assert checks["events_week"].ok and checks["events_week"].low is None
    assert "too little history" in checks["events_week"].note
    assert (
        usual_range(np.ones(4), 1, 4.0) is None
        and usual_share_range(WeeklyCounts(np.ones(4), np.ones(4)), 0.1, 4.0) is None
    )


def test_a_share_must_change_beyond_chance_and_by_what_matters() -> None:
    rows = np.full(20, 1_000_000.0)
    low, high = usual_share_range(WeeklyCounts(rows, rows * 0.1), 0.02, 4.0) or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.08, 0.12)
    few = np.full(20, 10.0)
    assert (usual_share_range(WeeklyCounts(few, few * 0.1), 0.02, 4.0) or (0, 0))[1] > 0.4


def test_rows_that_arrived_twice_are_told() -> None:
    assert wrong(check_log_health(vitals(steady(), repeated=0.3), RULES, None, TR)) == ["repeated"]
    doubled = vitals(steady())
    weekly = doubled.repeated
    doubled = replace(doubled, repeated=WeeklyCounts(weekly.rows, weekly.rows / 2))  # the whole log, in every week
    assert wrong(check_log_health(doubled, RULES, None, TR)) == ["repeated"]


def test_what_came_since_the_cutoff_before() -> None:
    days = steady()
    now = vitals(days, rows_read=1000, set_aside={"unreadable time": 60, "on or after until": 500})
    before = {"rows_read": 900, "set_aside": {"unreadable time": 10}, "fingerprint": "other", "days": 7}
    assert wrong(check_log_health(now, RULES, before, TR)) == ["set_aside"]  # 50 of 100 new rows
    assert wrong(check_log_health(replace(now, set_aside={}), RULES, before, TR)) == []
    assert wrong(check_log_health(replace(now, set_aside={}, rows_read=500), RULES, before, TR)) == ["rows_read"]


def test_the_same_log_again_is_told_only_if_nothing_of_it_is_new() -> None:
    days = steady()
    before = {**health_record(vitals(days)), "days": 1}
    assert wrong(check_log_health(vitals(days), RULES, before, TR)) == []  # an earlier cutoff of the same log
    days[0] = 0
    checks = check_log_health(vitals(days, rows_read=before["rows_read"]), RULES, before, TR)
    assert "new_rows" in wrong(checks)
    assert "delivered again" in next(check.note for check in checks if check.name == "new_rows")
