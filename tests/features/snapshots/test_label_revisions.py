"""Labels as known at an earlier cutoff, against the oracle and on both engines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.point_in_time.history import cutoff_table, order_days
from features.snapshots.label_revisions import find_revisions, labels_as_known
from features.snapshots.outcomes import add_labels
from features.task import Task, Window
from tests.features import oracle

HORIZON, LONGER = 28, 60
CUTOFFS = [date(2024, 1, 1) + timedelta(28 * n) for n in range(6)]
SETTING = oracle.Setting((30,), HORIZON, 365, value_horizons=(LONGER,))


@pytest.fixture
def task(make_task: Callable[..., Task]) -> Task:
    return replace(make_task(horizon=HORIZON), value_horizons=(Window(LONGER),))


def late_lines() -> list[dict[str, Any]]:
    """Purchases and refunds, of which a third become known up to 100 days later, some at a cutoff to the day."""
    rng, lines = random.Random(5), []  # noqa: S311
    for n in range(900):
        time = datetime(2023, 12, 1, tzinfo=UTC) + timedelta(hours=rng.randrange(24 * 230))
        edge = datetime(*rng.choice(CUTOFFS).timetuple()[:3], tzinfo=UTC)
        known = rng.choice((time, time, time + timedelta(rng.randrange(100)), edge, edge - timedelta(hours=1)))
        amount = float(rng.choice((-20, 0, 5, 10, 10, 40)))
        lines.append(
            {"customer": f"c{n % 90}", "time": time, "amount": amount, "order": str(n // 2), "known_at": known}
        )
    return lines


def labels_of(tables: Tables, task: Task, engine: Engine) -> tuple[pa.Table, tuple[pa.Table, ...]]:
    """The final labels of every customer at every cutoff, and their revisions."""
    names = sorted(engine.to_arrow(tables.events.select("customer_id").distinct())["customer_id"].to_pylist())
    pairs = [(name, datetime(c.year, c.month, c.day)) for c in CUTOFFS for name in names]  # noqa: DTZ001
    keys = pa.table({"customer_id": [name for name, _ in pairs], "cutoff": pa.array([c for _, c in pairs])})
    orders = engine.store("orders", order_days(tables))
    moments = engine.store_arrow("moments", cutoff_table(CUTOFFS))
    labelled = add_labels(engine.store_arrow("keys", keys), orders, tables, task, moments)
    return engine.to_arrow(labelled), find_revisions(orders, tables, task, CUTOFFS, engine)


def test_labels_are_those_of_a_log_that_ended_at_the_cutoff(
    make_config: Callable[..., Config], tmp_path: Path, each_engine: Engine, task: Task
) -> None:
    lines = late_lines()
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "log.parquet")
    config = make_config({"task": {"label_delay": "none"}}, amount="amount", order="order", known_at="known_at")
    rows, revisions = labels_of(read_tables(config, each_engine), task, each_engine)
    changed = 0
    for day in CUTOFFS[1:]:
        known = {
            (r["customer_id"], r["cutoff"].date()): r for r in labels_as_known(rows, revisions, task, day).to_pylist()
        }
        expected = oracle.labels_as_known(lines, known, day, SETTING)
        for key, values in expected.items():
            assert {name: known[key][name] for name in values} == pytest.approx(values), (key, day)
        final = {(r["customer_id"], r["cutoff"].date()): r["churned"] for r in rows.to_pylist()}
        changed += sum(v["churned"] not in (None, final[key]) for key, v in expected.items())
    assert changed > 50


def test_a_log_that_is_known_at_once_keeps_no_revisions(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    tables = make_log([{**line, "known_at": line["time"]} for line in late_lines()])
    rows, revisions = labels_of(tables, task, engine)
    assert revisions == ()
    mature = labels_as_known(rows, revisions, task, CUTOFFS[-1]).filter(pa.compute.field("cutoff") < CUTOFFS[3])
    assert mature.equals(rows.filter(pa.compute.field("cutoff") < CUTOFFS[3]))
