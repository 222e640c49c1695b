"""Second orders of first-time buyers, counted by group, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.audit.second_orders import EVERYBODY, SIZES, SecondOrders, count_second_orders
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.task import Task

CUTOFF = date(2024, 6, 1)
# first day before the cutoff, days to later orders, amount of the first one, kind of the first one
BUYERS = {
    "quick": (500, (10, 400), 5.0, "a"),
    "on the last day of the horizon": (500, (29,), 6.0, "a"),
    "a day too late": (500, (30,), 50.0, "b"),
    "never again": (500, (), 60.0, "b"),
    "too young": (29, (3,), 500.0, "a"),
    "just old enough": (30, (), 600.0, "b"),
}


def _rows() -> list[dict[str, Any]]:
    rows = []
    for name, (age, later, amount, kind) in BUYERS.items():
        first = datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day, 9) - timedelta(days=age)
        rows.append({"customer": name, "time": first, "amount": amount, "kind_what": kind})
        rows += [{"customer": name, "time": first + timedelta(days=d), "amount": 7.0, "kind_what": "z"} for d in later]
    return rows


def _by(counts: list[SecondOrders], by: str) -> dict[str, tuple[int, int]]:
    return {row.group: (row.customers, row.again) for row in counts if row.by == by}


def test_who_ordered_again_in_time_is_counted_by_group(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    counts = count_second_orders(make_log(_rows()), make_task(horizon=30), CUTOFF, engine)
    assert counts[0].by == EVERYBODY and (counts[0].customers, counts[0].again, counts[0].days) == (5, 2, 39)
    assert (counts[0].year_customers, counts[0].year_sum, counts[0].year_squares) == (4, 21.0, 147.0)
    assert _by(counts, "kind_what") == {"b": (3, 0), "a": (2, 2)}
    assert _by(counts, "first amount") == {SIZES[0]: (2, 2), SIZES[1]: (2, 0), SIZES[2]: (1, 0)}
    assert sum(customers for customers, _ in _by(counts, "weekday").values()) == 5


def test_nothing_at_or_after_the_cutoff_is_seen(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    later = {"customer": "never again", "time": datetime(2024, 6, 1), "amount": 1.0, "kind_what": "z"}
    task, both = make_task(horizon=30), (_rows(), [*_rows(), later])
    counts = [count_second_orders(make_log(rows), task, CUTOFF, engine) for rows in both]
    assert counts[0] == counts[1]


@pytest.mark.long
def test_spark_counts_the_same(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task], spark: Any,
    make_config: Callable[..., Config], tmp_path: Path,
) -> None:  # fmt: skip
    task = make_task(horizon=30)
    expected = count_second_orders(make_log(_rows()), task, CUTOFF, engine)
    config = make_config({"engine": {"kind": "spark", "threads": 2}}, amount="amount", kinds=["kind_what"])
    with open_engine(config.engine, tmp_path) as other:
        assert count_second_orders(read_tables(config, other), task, CUTOFF, other) == expected
