"""The log that is handed along: opened once, closed by whoever opened it, and the same however often it is used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.config.load import Config
from features.intake.log import Log, opened
from features.snapshots.build import build_snapshots, checked_log, snapshot_query
from tests.counted import count_engines

TASK = {"horizon": "7d", "every": "7d", "windows": ["7d", "28d"]}
CUTOFFS = [date(2024, 3, 1), date(2024, 3, 8)]


@pytest.fixture
def config(tmp_path: Path, make_config: Callable[..., Config]) -> Config:
    """A small log with visits beside the orders."""
    first = datetime(2024, 1, 1)
    orders = [{"customer": f"c{n % 9}", "time": first + timedelta(days=n % 83), "amount": 1.0 + n} for n in range(300)]
    visits = [{"who": f"c{n % 7}", "at": first + timedelta(days=n % 80)} for n in range(100)]
    pq.write_table(pa.Table.from_pylist(orders), tmp_path / "log.parquet")
    pq.write_table(pa.Table.from_pylist(visits), tmp_path / "visits.parquet")
    sections: dict[str, Any] = {
        "task": TASK,
        "features": {"cache": "off"},
        "activities": {"visits": {"source": "visits.parquet", "customer": "who", "time": "at"}},
    }
    return make_config(sections, amount="amount")


def test_a_log_is_closed_by_whoever_opened_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = count_engines(monkeypatch)
    with opened(config) as log:
        assert engines == []  # nothing is read before it is needed
        with opened(log) as same:
            assert same is log and same.tables is log.tables
        assert "engine" in vars(log)
    assert "engine" not in vars(log) and engines == ["duckdb"]


def test_calls_on_one_log_read_it_once_and_equal_calls_on_logs_of_their_own(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[Config | Log], Any]] = [
        lambda log: build_snapshots(log, CUTOFFS).rows,
        lambda log: check_log(log)[0],
        lambda log: build_snapshots(log, CUTOFFS[:1], with_labels=False).rows,
        lambda log: build_snapshots(log).rows,
        lambda log: build_snapshots(log, CUTOFFS).rows,
    ]
    apart = [call(config) for call in calls]
    engines = count_engines(monkeypatch)
    with opened(config) as log:
        together = [call(log) for call in calls]
        stored = set(log.engine.connection.list_tables())  # type: ignore[attr-defined]
    assert engines == ["duckdb"]
    assert all(mine == theirs for mine, theirs in zip(together, apart, strict=True))
    assert "intake" in stored and not stored & {"orders", "orders 2", "days", "cutoffs"}  # dropped after each call


def test_a_query_that_waits_is_not_changed_by_another_of_the_same_log(config: Config) -> None:
    with opened(config) as log:
        alone = build_snapshots(log, CUTOFFS[:1], with_labels=False).rows
        with checked_log(log) as (engine, tables, _):
            task = config.task.to_task()
            waiting = snapshot_query(tables, task, CUTOFFS[:1], engine, with_labels=False)
            build_snapshots(log, CUTOFFS[1:])
            snapshot_query(tables, task, CUTOFFS[1:], engine)  # stores all stages of the same names
            assert engine.to_arrow(waiting.rows).equals(alone)
