"""Problems of the log, drift and segments become findings with a key, a severity and an action."""

from __future__ import annotations

from datetime import date, timedelta

from features.config.monitor import MonitorConfig
from serving.language.messages import get_language
from serving.monitoring.alerts import AlertState, Finding, raise_alerts
from serving.monitoring.findings import (
    advise_when_to_train,
    data_findings,
    drift_findings,
    segment_findings,
    unusable_log_finding,
    value_at_risk_findings,
)
from serving.monitoring.log_health import LogCheck
from serving.statistics.population_drift import Drift

TR = get_language("en")


NIGHTS = [date(2024, 1, d) for d in (1, 2, 3, 4)]


def drift(name: str, moved: bool = True, what: str = "feature", change: float | None = 1.5) -> Drift:
    return Drift(what, name, f"phrase of {name}", 0.5, 0.1, 1.0, change, 0.0, False, None, "then", moved)


def test_drifted_features_are_one_finding_by_their_importance() -> None:
    drivers = {"weak": 1.0, "strong": 9.0, "still": 90.0}
    (finding,) = drift_findings([drift("weak"), drift("strong"), drift("still", False)], drivers, TR)
    assert (finding.key, finding.severity, finding.action) == ("drift:features", "warning", "retrain")
    assert finding.title == "2 features have drifted" and finding.text.startswith(
        "Features with 10% of the model's importance"
    )
    assert finding.text.index("phrase of strong: higher by 1.50") < finding.text.index("phrase of weak")
    assert list(drift_findings([drift("weak")], drivers, TR)) == []
    (critical,) = drift_findings([drift("still", change=None)], drivers, TR)
    assert critical.severity == "critical" and "the shares of its values have changed" in critical.text


def test_each_drifted_score_is_a_finding() -> None:
    assert [f.key for f in drift_findings([drift("value", what="score")], {}, TR)] == ["drift:value"]


def test_a_silence_speaks_for_the_counts_that_it_empties() -> None:
    checks = [
        LogCheck("silent_days", "days of silence", 3, 0.0, 0.0, False),
        LogCheck("events_day", "events", 0, 40.0, 60.0, False),
        LogCheck("missing:channel", "without channel", 0.5, 0.0, 0.1, False, share=True),
        LogCheck("repeated", "twice", 0.0, 0.0, 0.1, True, share=True),
    ]
    by_key = {f.key: f for f in data_findings(checks, TR)}
    assert list(by_key) == ["data:silent_days", "data:missing:channel"]
    assert "50.0%, usually at most 10.0%" in by_key["data:missing:channel"].text
    assert "events_day" in {f.key.removeprefix("data:") for f in data_findings(checks[1:], TR)}


def test_groups_beyond_their_thresholds_are_to_be_contacted() -> None:
    rules = MonitorConfig(churn={"save first": 0.7}, value={"all": 50})
    rows = [
        {"segment": "all", "customers": 1000, "churn": 0.9, "value": 40.0, "churn_before": 0.2, "value_before": 60.0},
        {
            "segment": "save first",
            "customers": 10,
            "churn": 0.8,
            "value": 1.0,
            "churn_before": None,
            "value_before": None,
        },
        {"segment": "keep", "customers": 10, "churn": 0.9, "value": None, "churn_before": None, "value_before": None},
    ]
    low, high = segment_findings(rows, rules, date(2023, 12, 1), TR)
    assert (low.key, low.segment, low.action) == ("value:all", "all", "contact")
    assert "of 1,000 customers: 40.00 (60.00 at 2023-12-01); the lower limit is 50.00" in low.text
    assert (high.key, high.segment) == ("churn:save first", "save first") and "80%; the limit is 70%" in high.text


def test_value_at_risk_above_its_limit_is_a_finding() -> None:
    rows = [
        {"segment": "all", "customers": 9, "value_at_risk": 900.0, "value_at_risk_before": 100.0},
        {"segment": "keep", "customers": 5, "value_at_risk": 100.0},
        {"segment": "grow", "customers": 5, "value_at_risk": None},
    ]
    limits = {"all": 500.0, "keep": 100.0, "grow": 1.0}
    (finding,) = value_at_risk_findings(rows, limits, date(2023, 12, 1), TR)
    assert (finding.key, finding.action, finding.segment) == ("value_at_risk:all", "contact", "all")
    assert finding.text == "Value at risk of 9 customers: 900.00 (100.00 at 2023-12-01); the limit is 500.00."


def test_alerts_in_chinese() -> None:
    zh, rules = get_language("zh"), MonitorConfig(churn={"all": 0.1})
    row = {"segment": "all", "customers": 9, "churn": 0.9, "value": None, "churn_before": None, "value_before": None}
    (alert,) = raise_alerts(list(segment_findings([row], rules, None, zh)), AlertState(), NIGHTS[0], zh)
    assert alert.title == "流失风险偏高：全部客户" and alert.text.endswith("自 2024-01-01 起持续。")


def test_a_log_that_cannot_be_used_is_a_finding_in_either_case() -> None:
    assert {unusable_log_finding(empty, TR).title for empty in (True, False)} == {
        "The log arrived empty",
        "The log cannot be used",
    }


def test_nothing_advises_training_while_there_is_nothing_new_to_learn() -> None:
    found = [
        Finding(f"k{n}", "warning", "t", "x", action) for n, action in enumerate(("retrain", "recalibrate", "data"))
    ]
    month, day = timedelta(30), date(2024, 5, 1)

    def actions(cutoff: date, learned: date | None) -> list[str]:
        return [finding.action for finding in advise_when_to_train(found, cutoff, learned, month)]

    assert actions(day, day) == actions(day + timedelta(29), day) == ["wait", "wait", "data"]
    assert actions(day + month, day) == actions(day, None) == ["retrain", "recalibrate", "data"]
