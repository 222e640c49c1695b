"""The monitor night by night: what it finds, raises once, and does with faulty logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from features.config.load import Config
from features.config.monitor import MonitorConfig
from features.errors import DataError, UsageError
from regulars import cli
from serving.monitoring import delivery, inputs
from serving.monitoring.monitor import MonitoringResult, monitor_scores
from serving.monitoring.text import monitoring_text
from tests.nights import CUTOFF, make_nights, rows, score
from tests.receivers import web

PAST = [CUTOFF - timedelta(days) for days in (62, 31)]
KEYS = {"cutoff", "language", "data", "drift", "performance", "calibration", "segments", "alerts"}


@dataclass
class _Bundle:
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Champion:
    bundle: _Bundle


@pytest.fixture(autouse=True, scope="module")
def _learned() -> Iterator[None]:
    """A champion that learned from a few cutoffs; MLflow is not asked."""
    cutoffs = [str(CUTOFF - timedelta(days)) for days in (90, 60, 30)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inputs, "load_champion", lambda *_: _Champion(_Bundle({"cutoffs": cutoffs})))
        patched.setattr(delivery, "PAUSES", (0.0,))
        yield


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, MonitoringResult]:
    """A business in which nothing changes, scored three times and monitored at the last."""
    config = make_nights(tmp_path_factory.mktemp("steady"))
    for cutoff in (*PAST, CUTOFF):
        score(config, cutoff)
    return config, monitor_scores(config)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Config]:
    """The steady business anew, with another log or other sections."""

    def make(log: Any = None, **sections: Any) -> Config:
        config = make_nights(tmp_path, sections, log)
        for cutoff in (*PAST, CUTOFF):
            score(config, cutoff)
        return config

    return make


def titles(result: MonitoringResult) -> set[str]:
    return {alert.title for alert in result.alerts}


def unusual(result: MonitoringResult) -> set[str]:
    return {check["name"] for check in result.facts["data"] if not check["ok"]}


def test_without_changes_there_are_no_alerts(steady: tuple[Config, MonitoringResult]) -> None:
    _, result = steady
    assert result.alerts == () and result.new == () and result.undelivered == ()
    facts = json.loads((result.folder / "monitor.json").read_text())
    assert facts.pop("checksum") and KEYS <= set(facts) and facts == result.facts
    assert {row["what"] for row in facts["drift"]} == {"feature", "score"} and len(facts["drift"]) > 50
    assert all(row["reference"].startswith(("training cutoffs", "cutoffs scored")) for row in facts["drift"])
    mature = [row for row in facts["performance"] if row["realised"] is not None]
    assert {row["cutoff"] for row in mature} == {str(c) for c in PAST}
    assert {row["metric"] for row in mature} == {"auc", "brier", "churn"}
    assert [row["cutoff"] for row in facts["calibration"]] == [str(c) for c in PAST]
    assert {row["segment"] for row in facts["segments"]} == {"all", "save first", "keep", "let go", "low", "active"}
    assert facts["segments"][0]["churn_before"] is not None
    assert "secret-" not in (result.folder / "monitor.json").read_text()


def test_the_first_night_says_what_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "load_champion", lambda *_: None)
    config = make_nights(tmp_path)
    score(config, CUTOFF)
    result = monitor_scores(config)
    assert result.alerts == () and result.facts["drift"] == [] and result.facts["calibration"] == []
    notes = " ".join(result.facts["notes"])
    assert "Features cannot be compared yet" in notes and "Scores cannot be compared yet" in notes
    assert "note: " in monitoring_text(result)


def test_an_alert_is_raised_once_closed_and_raised_again(fresh: Callable[..., Config]) -> None:
    with web() as server:
        sections = {"webhook": f"http://127.0.0.1:{server.port}"}
        calm = fresh(monitor=sections)
        wary = calm.model_copy(update={"monitor": MonitorConfig(**sections, churn={"all": 0.01})})
        first = monitor_scores(wary)
        text = (first.folder / "monitor.json").read_bytes()
        second = monitor_scores(wary)
        assert len(first.new) == len(first.alerts) == 1 and second.new == () and second.alerts == first.alerts
        assert (second.folder / "monitor.json").read_bytes() == text
        assert monitor_scores(calm).alerts == ()
        assert len(monitor_scores(wary).new) == 1
    alerts = [json.loads(line) for line in (calm.output / "monitor" / "alerts.jsonl").read_text().splitlines()]
    assert [alert["id"] for alert in alerts] == [first.alerts[0].id]
    assert [got["alerts"][0]["id"] for got in server.got] == [first.alerts[0].id] * 2


def test_a_drift_of_what_drives_the_model(fresh: Callable[..., Config]) -> None:
    log = rows()
    result = monitor_scores(fresh([*log[:2200], *({**row, "amount": row["amount"] * 3} for row in log[2200:])]))
    assert "amount_sum_30d" in {row["name"] for row in result.facts["drift"] if row["moved"]}
    (alert,) = (alert for alert in result.alerts if alert.action == "retrain")
    assert alert.severity == "critical" and "net spend in the last 30 days: higher by" in alert.text


def test_yesterday_missing(fresh: Callable[..., Config]) -> None:
    config = fresh([row for row in rows() if row["time"].date() < CUTOFF - timedelta(2)])
    result = monitor_scores(config)
    assert "The newest days are missing from the log" in titles(result)
    assert result.alerts[0].severity == "critical" and result.alerts[0].action == "data"


def test_a_week_delivered_twice(fresh: Callable[..., Config]) -> None:
    log = rows()
    result = monitor_scores(fresh(log + [row for row in log if row["time"].date() >= CUTOFF - timedelta(4)]))
    assert "Rows arrived twice" in titles(result)


def test_a_log_that_arrived_empty(fresh: Callable[..., Config]) -> None:
    config = fresh([])
    result = monitor_scores(config)
    assert titles(result) == {"The log arrived empty"} and result.facts["data"] == [] and result.facts["segments"]
    assert "could not be checked" in monitoring_text(result)
    (config.folder / "log.parquet").unlink()
    assert titles(monitor_scores(config)) == {"The log cannot be used"}


def test_the_same_log_for_the_next_cutoff(fresh: Callable[..., Config]) -> None:
    config = fresh()
    monitor_scores(config)
    later = CUTOFF + timedelta(9)
    score(config, later)
    result = monitor_scores(config)
    assert result.cutoff == later and unusual(result) >= {"new_rows", "silent_days"}
    assert "The same log was delivered again" in titles(result)
    assert "is after the end of the log" in " ".join(result.facts["notes"])


def test_an_earlier_cutoff_raises_and_closes_nothing(fresh: Callable[..., Config]) -> None:
    config = fresh(monitor={"churn": {"all": 0.01}})
    first = monitor_scores(config)
    state = (config.output / "monitor" / "state.json").read_bytes()
    earlier = monitor_scores(config, PAST[1])
    assert len(first.new) == 1 and len(earlier.alerts) == 1 and earlier.new == ()
    assert {row["cutoff"] for row in earlier.facts["calibration"]} == {str(PAST[0])}  # labels since are not used
    assert (config.output / "monitor" / "state.json").read_bytes() == state


def test_more_leave_than_predicted(fresh: Callable[..., Config]) -> None:
    log = [row for row in rows() if not (row["customer"] < "secret-060" and row["time"].date() >= PAST[1])]
    result = monitor_scores(fresh(log))
    (alert,) = (alert for alert in result.alerts if alert.action == "recalibrate")
    assert alert.title == "More customers leave than predicted"
    last = result.facts["calibration"][-1]
    assert last["came"] > 0.4 > last["said"] and last["low"] < last["came"] < last["high"]


def test_drifted_scores(fresh: Callable[..., Config]) -> None:
    config = fresh()
    score(config, CUTOFF, churn=np.linspace(0.3, 0.9, 120))
    assert "The scores have drifted: risk of leaving" in titles(monitor_scores(config))


def test_the_command_prints_lines_of_json_and_exits_1(fresh: Callable[..., Config]) -> None:
    config = fresh()
    text = """config_version = 1
name = "nights"
[events]
source = "log.parquet"
customer = "customer"
time = "time"
amount = "amount"
order = "order"
kinds = ["channel"]
[task]
horizon = "30d"
every = "30d"
windows = ["30d"]
"""
    path = config.folder / "regulars.toml"
    path.write_text(text)
    path.write_text(text + "[monitor.churn]\nall = 0.01\n[monitor]\nwebhook = 'http://127.0.0.1:9/x'\n")
    first = CliRunner().invoke(cli, ["-c", str(path), "monitor"])
    path.write_text(text)
    calm = CliRunner().invoke(cli, ["-c", str(path), "monitor"])
    assert calm.exit_code == 0 and calm.stdout == "" and "alerts         none" in calm.stderr
    (line,) = first.stdout.splitlines()
    assert json.loads(line)["action"] == "contact" and first.exit_code == 1
    assert "NOT DELIVERED: webhook: 127.0.0.1:9 cannot be reached" in first.stderr and "secret-" not in first.output
    assert "1 alert(s) open, 1 of them new" in first.stderr
    assert "[monitor] webhook is no longer in the config" in calm.stderr


def test_what_was_not_scored_cannot_be_monitored(tmp_path: Path) -> None:
    config = make_nights(tmp_path)
    with pytest.raises(UsageError, match="regulars score"):
        monitor_scores(config)


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    config = make_nights(tmp_path)
    score(config, CUTOFF)
    place = config.output / "monitor" / f"cutoff={PAST[1]}"
    place.mkdir(parents=True)
    (place / "monitor.json").write_text("{")
    with pytest.raises(DataError, match="half-written or was changed; run `regulars monitor"):
        monitor_scores(config)
