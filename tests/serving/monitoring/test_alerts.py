"""Alerts are raised once, stay the same while nothing changes, and may be raised again once they were closed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

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
