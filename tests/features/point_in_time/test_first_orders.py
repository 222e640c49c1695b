"""First orders: the kind that the first day's lines hold most often, and rare values as one group."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from features.engines.duckdb import DuckDBEngine
from features.intake.tables import Tables
from features.point_in_time.first_orders import OTHER, find_first_orders, first_kinds, frequent_values
from features.point_in_time.history import build_history
from features.task import Task


def test_the_first_day_gives_kind_weekday_and_gap(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    monday = datetime(2024, 1, 1, 9)
    rows = [{"customer": "c", "time": monday, "amount": 2.0, "kind_what": what} for what in ("b", "a", "a", "b", "c")]
    rows.append({"customer": "c", "time": datetime(2024, 1, 4), "amount": 5.0, "kind_what": "z"})
    past = build_history(make_log(rows), make_task(), [date(2024, 3, 1)], engine, engine.store)
    first = engine.store("first", find_first_orders(past))
    (row,) = engine.to_arrow(first).to_pylist()
    assert (row["age"], row["again"], row["weekday"]) == (60, 3, "Monday")
    assert (row["spend"], row["year_spend"]) == (100_000, None)
    kinds = first_kinds(past, first, past.tables.contract.kinds[0])
    assert engine.to_arrow(kinds).to_pylist() == [{"customer_id": "c", "value": "a"}]
    assert engine.to_arrow(frequent_values(kinds, ["b"]))["value"].to_pylist() == [OTHER]
