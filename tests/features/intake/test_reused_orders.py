"""An order id that is used again after a long pause is another order, and no row belongs to what was known later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.reused_orders import split_reused_orders
from features.intake.tables import Tables
from features.snapshots.build import snapshots_from_tables

START = date(2024, 1, 1)
Row = tuple[int, int, float]  # the day of a row, the day on which it was known, and its amount
CASES: dict[str, tuple[list[Row], list[int | None]]] = {
    "months later": ([(0, 0, 10.0), (151, 151, 20.0)], [None, 151]),
    "within the pause": ([(0, 0, 10.0), (30, 30, 1.0), (60, 60, 1.0)], [None, None, None]),
    "a refund is no new use": ([(0, 0, 10.0), (90, 90, -10.0)], [None, None]),
    "a refund of the second use": ([(0, 0, 10.0), (90, 90, 5.0), (130, 130, -5.0)], [None, 90, 90]),
    "three uses": ([(0, 0, 1.0), (40, 40, 1.0), (90, 90, 1.0), (91, 91, 1.0)], [None, 40, 90, 90]),
    "known late": ([(0, 0, 1.0), (40, 40, 1.0), (20, 60, 1.0), (41, 61, 1.0)], [None, 40, None, None]),
    "nothing bought before": ([(0, 0, -1.0), (5, 5, 3.0), (80, 80, 4.0)], [None, None, 80]),
}


def events(rows: Sequence[Row]) -> pa.Table:
    days = [START + timedelta(day) for day, _, _ in rows]
    return pa.table(
        {
            "customer_id": ["a"] * len(rows),
            "order_id": ["7"] * len(rows),
            "day": days,
            "seen": [START + timedelta(seen) for _, seen, _ in rows],
            "amount": [int(amount * 10_000) for _, _, amount in rows],
            "reason": pa.nulls(len(rows), pa.string()),
            "place": range(len(rows)),
        }
    )


def test_uses(each_engine: Engine) -> None:
    for name, (rows, starts) in CASES.items():
        split, count = split_reused_orders(each_engine.store_arrow("events", events(rows)), True, each_engine)
        ids = each_engine.to_arrow(split.select("place", "order_id").order_by("place"))["order_id"].to_pylist()
        assert ids == ["7" if start is None else f"7 @{START + timedelta(start)}" for start in starts], name
        assert count == (max((day for day, _, amount in rows if amount > 0), default=0) > 30), name


def test_without_amounts_every_row_is_a_use(engine: DuckDBEngine) -> None:
    rows = engine.store_arrow("events", events([(0, 0, 0.0), (90, 90, 0.0)]))
    assert split_reused_orders(rows, False, engine)[1] == 1
    assert split_reused_orders(rows, True, engine)[1] == 0


@pytest.mark.parametrize(("cutoff", "recency", "orders"), [("2024-05-30", 150, 1), ("2024-06-11", 11, 2)])
def test_features_and_labels_agree_on_a_reused_order(
    cutoff: str,
    recency: int,
    orders: int,
    make_log: Callable[..., Tables],
    make_task: Callable[..., Any],
    engine: DuckDBEngine,
) -> None:
    times = [datetime(2024, 1, 1), datetime(2024, 5, 31), datetime(2024, 7, 30)]
    log = [{"customer": "a", "time": time, "order": "1", "amount": 10.0} for time in times]
    tables = make_log([*log, {"customer": "b", "time": datetime(2024, 8, 30), "order": "2", "amount": 1.0}])
    task = make_task(horizon=30, windows=(30, 365))
    (row,) = snapshots_from_tables(tables, task, [date.fromisoformat(cutoff)], engine).rows.to_pylist()
    assert (row["recency_days"], row["orders_count_ever"]) == (recency, orders)
    assert row["churned"] == (0 if cutoff == "2024-05-30" else 1)
    assert tables.reused_orders == 1
