"""A log is opened from a config, its path, or a table in memory, once; calls on one log are the same as on several."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.config.load import Config
from features.errors import UsageError
from features.intake.log import LOG_FILE, Log, arrow_table, as_date, config_of, open_log, opened
from features.snapshots.build import build_snapshots, checked_log, snapshot_query
from tests.counted import count_engines

ROWS = pa.table({"who": ["ann", "bob"], "day": [date(2024, 1, 5), date(2024, 2, 9)], "paid": [10.0, 5.0]})
TASK = {"horizon": "7d", "every": "7d", "windows": ["7d", "28d"]}
CUTOFFS = [date(2024, 3, 1), date(2024, 3, 8)]


def test_a_table_in_memory_is_a_log(tmp_path: Path) -> None:
    with open_log(ROWS, folder=tmp_path, name="shop", customer="who", time="day", amount="paid") as log:
        assert log.config.name == "shop" and (tmp_path / LOG_FILE).exists()
        assert log.to_pandas()[["customer_id", "amount"]].values.tolist() == [["ann", 100_000], ["bob", 50_000]]
    assert log.tables.rows == 2  # opened again
    log.close()


def test_a_config_and_an_opened_log_are_taken_unchanged(make_config: Callable[..., Config]) -> None:
    config = make_config()
    log = open_log(config)
    assert open_log(log) is log and config_of(log) is config and config_of(config) is config


@pytest.mark.parametrize("source", [ROWS, ROWS.to_pandas()])
def test_tables_of_other_libraries(source: Any) -> None:
    assert arrow_table(source)["who"].to_pylist() == ["ann", "bob"]
    assert isinstance(source, pa.Table | pd.DataFrame)


def test_what_is_no_table_or_no_date_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a config, its path, or a pandas, .* table; found int"):
        arrow_table(7)
    assert as_date("2024-06-01") == as_date(date(2024, 6, 1)) == date(2024, 6, 1)
    with pytest.raises(UsageError, match="'June' is no date: expected one such as 2024-06-01"):
        as_date("June")


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
