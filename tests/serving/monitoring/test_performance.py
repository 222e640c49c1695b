"""Which cutoffs are evaluated, and the findings where expected and realised metrics differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np

from features.config.load import Config
from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.inputs import MonitorInputs
from serving.monitoring.performance import (
    PerformanceFigure,
    calibration_rows,
    performance_findings,
    performance_notes,
    waiting_notes,
    weekly_cutoffs,
)
from serving.statistics.proportions import Estimate

TR, RULES = get_language("en"), MonitorConfig()


def figure(
    month: int,
    metric: str,
    expected: float,
    realised: float | None,
    *,
    segment: str = "all",
    room: float = 0.03,
    learned: bool = False,
) -> PerformanceFigure:
    """A figure of a month's first day, whose estimate is unsure by a share of it."""
    estimate = Estimate(expected, expected * (1 - room), expected * (1 + room))
    outcome = None if realised is None else Estimate(realised, realised, realised)
    return PerformanceFigure(date(2024, month, 1), metric, segment, estimate, outcome, 100, learned)


def test_the_last_scored_cutoff_of_each_week_is_evaluated() -> None:
    days = [date.fromordinal(n) for n in range(date(2023, 1, 1).toordinal(), date(2024, 1, 1).toordinal())]
    cutoffs = weekly_cutoffs(days, date(2024, 1, 1))
    assert len(cutoffs) == 24 and cutoffs[-1] == date(2023, 12, 31)
    assert {(b - a).days for a, b in zip(cutoffs, cutoffs[1:-1], strict=False)} == {7}
    assert set(cutoffs[1:-1]) <= set(
        weekly_cutoffs(days[:-1], date(2024, 1, 1))
    )  # another night evaluates the same ones


def test_scores_whose_outcomes_wait_for_late_rows_are_named(make_config: Callable[..., Config]) -> None:
    config = make_config({"task": {"horizon": "28d"}})
    nothing: Any = None
    inputs = MonitorInputs(nothing, nothing, (), {}, date(2024, 3, 25), waits=6)
    cutoffs = [date(2024, 2, 26), date(2024, 2, 27), date(2024, 3, 3), date(2024, 3, 4)]
    (note,) = waiting_notes(config, inputs, cutoffs, TR)
    assert note.startswith("The scores of 2024-02-27, 2024-03-03 are not compared with outcomes yet: ")
    assert "count up to 2024-03-25, 6 days before the end of the log" in note
    assert list(waiting_notes(config, replace(inputs, waits=0), cutoffs, TR)) == []


def test_an_outcome_as_expected_is_no_finding() -> None:
    rows = [figure(1, "churn", 0.5, 0.51), figure(1, "auc", 0.8, 0.79), figure(2, "churn", 0.5, None)]
    assert list(performance_findings(rows, RULES, TR)) == []


def test_beyond_the_estimate_but_too_little_to_matter_is_no_finding() -> None:
    assert list(performance_findings([figure(1, "churn", 0.5, 0.54)], RULES, TR)) == []  # 8% of the estimate


def test_more_leave_than_predicted_since_when_and_where() -> None:
    rows = [
        figure(1, "churn", 0.5, 0.5),
        figure(2, "churn", 0.5, 0.6),
        figure(3, "churn", 0.5, 0.7),
        figure(3, "churn", 0.4, 0.45, segment="keep"),
        figure(3, "churn", 0.4, 0.9, segment="save first"),
        figure(4, "churn", 0.5, None),
    ]
    (finding,) = performance_findings(rows, RULES, TR)
    assert (finding.key, finding.action, finding.title) == (
        "performance:churn",
        "recalibrate",
        "More customers leave than predicted",
    )
    assert (
        "of 2024-03-01: expected 50% (48% to 52%), actual 70%. Outside the expected interval since the scores of "
        "2024-02-01" in finding.text
    )
    assert "'save first': expected 40%, actual 90%" in finding.text


def test_less_value_than_predicted() -> None:
    (finding,) = performance_findings([figure(1, "value", 1000, 700)], RULES, TR)
    assert (finding.action, finding.title) == ("recalibrate", "Customers spend less than predicted")


def test_a_worse_auc_asks_for_training_and_a_better_one_for_nothing() -> None:
    (finding,) = performance_findings([figure(1, "auc", 0.8, 0.7)], RULES, TR)
    assert (finding.severity, finding.action) == ("critical", "retrain")
    assert list(performance_findings([figure(1, "auc", 0.8, 0.9)], RULES, TR)) == []


def test_newest_scores_expected_to_be_less_accurate() -> None:
    rows = [figure(1, "auc", 0.8, 0.8), figure(2, "auc", 0.7, None)]
    assert [finding.key for finding in performance_findings(rows, RULES, TR)] == ["estimate:auc"]


def test_calibration_over_time_has_the_cutoffs_with_an_outcome() -> None:
    rows = [figure(1, "churn", 0.5, 0.6), figure(2, "churn", 0.5, None), figure(1, "churn", 0.1, 0.1, segment="keep")]
    (row,) = calibration_rows(rows)
    assert row == {"cutoff": "2024-01-01", "said": 0.5, "came": 0.6, "low": 0.6, "high": 0.6, "customers": 100}


def test_cutoffs_that_the_model_learned_from_are_marked_and_are_no_evidence() -> None:
    rows = [
        figure(1, "churn", 0.5, 0.7),
        figure(2, "churn", 0.5, 0.5, learned=True),
        figure(2, "auc", 0.8, 0.5, learned=True),
        figure(3, "churn", 0.5, None),
    ]
    assert [row.foresight for row in rows] == [True, False, False, False]
    assert rows[1].to_dict()["learned"] and rows[1].to_dict()["realised"] == 0.5
    assert [row["cutoff"] for row in calibration_rows(rows)] == ["2024-01-01"]
    (finding,) = performance_findings(rows, RULES, TR)  # of the newest cutoff that was new to the model
    assert finding.key == "performance:churn" and "of 2024-01-01" in finding.text
    learned, drift = performance_notes(rows, TR)
    assert "1 scored cutoff (2024-02-01)" in learned and "cannot see concept drift" in drift
    assert performance_notes(rows[:1], TR) == []


def test_a_model_that_is_right_raises_an_alert_as_rarely_as_the_config_says() -> None:
    rng, room, rules = np.random.default_rng(4), 0.2, MonitorConfig(false_alarms=0.06)
    deviation = room / 1.96
    drawn = {
        "churn": 0.5 * (1 + deviation * rng.normal(size=1_500)),
        "value": 900 * np.exp(deviation * rng.normal(size=1_500)),
    }
    for metric, values in drawn.items():
        rows = [figure(1, metric, {"churn": 0.5, "value": 900}[metric], float(value), room=room) for value in values]
        alerts = sum(bool(list(performance_findings([row], rules, TR))) for row in rows)
        assert 0.01 < alerts / len(rows) < 0.03, metric  # a third of the false alarms each; nominal is 0.02
    assert list(performance_findings([figure(1, "value", 900, 0.0, room=room)], rules, TR))
