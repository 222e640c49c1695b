"""Which cutoffs are judged, and what is told of those that were off."""

from __future__ import annotations

from datetime import date

from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.performance import PerformanceFigure, calibration_rows, performance_findings, weekly_cutoffs
from serving.statistics.proportions import Estimate

TR, RULES = get_language("en"), MonitorConfig()


def judged(
    month: int, metric: str, said: float, came: float | None, *, segment: str = "all", room: float = 0.03
) -> PerformanceFigure:
    """A figure of a month's first day, whose estimate is unsure by a share of it."""
    figure = Estimate(said, said * (1 - room), said * (1 + room))
    outcome = None if came is None else Estimate(came, came, came)
    return PerformanceFigure(date(2024, month, 1), metric, segment, figure, outcome, 100)


def test_of_each_week_the_last_scored_cutoff_stands_for_all() -> None:
    days = [date.fromordinal(n) for n in range(date(2023, 1, 1).toordinal(), date(2024, 1, 1).toordinal())]
    found = weekly_cutoffs(days, date(2024, 1, 1))
    assert len(found) == 24 and found[-1] == date(2023, 12, 31)
    assert {(b - a).days for a, b in zip(found, found[1:-1], strict=False)} == {7}
    assert set(found[1:-1]) <= set(weekly_cutoffs(days[:-1], date(2024, 1, 1)))  # another night judges the same ones


def test_what_came_as_expected_is_no_finding() -> None:
    rows = [judged(1, "churn", 0.5, 0.51), judged(1, "auc", 0.8, 0.79), judged(2, "churn", 0.5, None)]
    assert list(performance_findings(rows, RULES, TR)) == []


def test_beyond_the_estimate_but_too_little_to_matter_is_no_finding() -> None:
    assert list(performance_findings([judged(1, "churn", 0.5, 0.54)], RULES, TR)) == []  # 8% of what was said


def test_more_leave_than_was_said_since_when_and_where() -> None:
    rows = [
        judged(1, "churn", 0.5, 0.5),
        judged(2, "churn", 0.5, 0.6),
        judged(3, "churn", 0.5, 0.7),
        judged(3, "churn", 0.4, 0.45, segment="keep"),
        judged(3, "churn", 0.4, 0.9, segment="save first"),
        judged(4, "churn", 0.5, None),
    ]
    (found,) = performance_findings(rows, RULES, TR)
    assert (found.key, found.action, found.title) == (
        "performance:churn",
        "recalibrate",
        "More customers leave than was said",
    )
    assert "of 2024-03-01: 50% expected (48% to 52%), 70% came. Off since the scores of 2024-02-01" in found.text
    assert "'save first': 40% expected, 90% came" in found.text


def test_less_value_than_was_said() -> None:
    (found,) = performance_findings([judged(1, "value", 1000, 700)], RULES, TR)
    assert (found.action, found.title) == ("recalibrate", "Customers bring less than was said")


def test_a_worse_auc_asks_for_training_and_a_better_one_for_nothing() -> None:
    (found,) = performance_findings([judged(1, "auc", 0.8, 0.7)], RULES, TR)
    assert (found.severity, found.action) == ("critical", "retrain")
    assert list(performance_findings([judged(1, "auc", 0.8, 0.9)], RULES, TR)) == []


def test_newest_scores_that_promise_less() -> None:
    rows = [judged(1, "auc", 0.8, 0.8), judged(2, "auc", 0.7, None)]
    assert [found.key for found in performance_findings(rows, RULES, TR)] == ["estimate:auc"]


def test_calibration_over_time_has_the_cutoffs_with_an_outcome() -> None:
    rows = [judged(1, "churn", 0.5, 0.6), judged(2, "churn", 0.5, None), judged(1, "churn", 0.1, 0.1, segment="keep")]
    (row,) = calibration_rows(rows)
    assert row == {"cutoff": "2024-01-01", "said": 0.5, "came": 0.6, "low": 0.6, "high": 0.6, "customers": 100}
