"""Alerts are raised once, stay the same while nothing changes, and may be raised again once they were closed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from features.config.monitor import MonitorConfig
from features.errors import DataError
from serving.language.messages import get_language
from serving.monitoring.alerts import (
    Alert,
    AlertState,
    Finding,
    append_alerts,
    next_state,
    raise_alerts,
    read_alert_state,
    write_alert_state,
)
from serving.monitoring.findings import data_findings, drift_findings, segment_findings, unusable_log_finding
from serving.monitoring.log_health import LogCheck
from serving.statistics.population_drift import Drift

TR = get_language("en")
FINDING = Finding("data:silent_days", "critical", "Days are missing", "The last 2 days.", "data")
NIGHTS = [date(2024, 1, d) for d in (1, 2, 3, 4)]


def night(state: AlertState, cutoff: date, *findings: Finding) -> tuple[list[Alert], AlertState]:
    return raise_alerts(findings, state, cutoff, TR), next_state(findings, state, cutoff)


def test_an_alert_stays_the_same_while_it_is_open_and_is_another_one_later() -> None:
    first, state = night(AlertState(), NIGHTS[0], FINDING)
    second, state = night(state, NIGHTS[1], FINDING)
    assert first == second and second[0].id in state.ids
    assert second[0].since == "2024-01-01" and "Open since 2024-01-01" in second[0].text
    closed, state = night(state, NIGHTS[2])
    assert closed == [] and state.ids == set()
    again, _ = night(state, NIGHTS[3], FINDING)
    assert again[0].id != first[0].id and again[0].since == "2024-01-04"


def test_what_could_not_be_checked_stays_open() -> None:
    moved = Finding("drift:features", "warning", "t", "x.", "retrain")
    first, state = night(AlertState(), NIGHTS[0], moved)
    state = next_state([FINDING], state, NIGHTS[1], ("drift:",))
    again, _ = night(state, NIGHTS[2], moved)
    assert again == first and again[0].id in state.ids
    assert "drift:features" not in next_state([FINDING], state, NIGHTS[1], ()).open


def test_a_finding_that_became_more_severe_is_a_new_alert() -> None:
    mild = Finding(FINDING.key, "warning", "t", "x.", "data")
    first, state = night(AlertState(), NIGHTS[0], mild)
    severe, _ = night(state, NIGHTS[1], FINDING)
    assert severe[0].id not in state.ids and severe[0].since == "2024-01-02"


def test_other_words_for_the_same_are_no_other_alert() -> None:
    first, state = night(AlertState(), NIGHTS[0], FINDING)
    second, _ = night(state, NIGHTS[1], Finding(FINDING.key, "critical", "other", "words.", "data"))
    assert second[0].id == first[0].id


def test_the_most_severe_come_first() -> None:
    low = Finding("a", "info", "a", "x.", "data")
    alerts, _ = night(AlertState(), NIGHTS[0], low, FINDING)
    assert [alert.severity for alert in alerts] == ["critical", "info"]


def test_the_state_is_read_back_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert read_alert_state(tmp_path) == AlertState()
    _, state = night(AlertState(), NIGHTS[0], FINDING)
    write_alert_state(tmp_path, state)
    assert read_alert_state(tmp_path) == state
    for broken in ("{", "[]", '{"cutoff": "x", "open": {}}', '{"cutoff": "2024-01-01", "open": []}'):
        (tmp_path / "state.json").write_text(broken)
        with pytest.raises(DataError, match="remove it"):
            read_alert_state(tmp_path)


def test_every_alert_stands_once_in_the_file(tmp_path: Path) -> None:
    alerts, _ = night(AlertState(), NIGHTS[0], FINDING)
    append_alerts(tmp_path, alerts, NIGHTS[0])
    append_alerts(tmp_path, alerts, NIGHTS[0])  # a run that died before it had kept its state
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line) == {**alerts[0].to_dict(), "raised": "2024-01-01"}


def test_what_comes_from_the_data_is_one_line_without_controls() -> None:
    bad = Finding("data:missing:x", "warning", "a\r\nBcc: b@c.example", "x\x00\x1b[31m\u2028y.", "data")
    (alert,), _ = night(AlertState(), NIGHTS[0], bad)
    assert alert.title == "a Bcc: b@c.example" and alert.text.startswith("x [31m y.")


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
