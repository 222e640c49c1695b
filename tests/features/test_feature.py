"""The small expressions that features are built from."""

from __future__ import annotations

import math
from typing import Any

import ibis
import pyarrow as pa
import pytest

from features.engines.duckdb import DuckDBEngine
from features.feature import (
    Feature,
    clipped_sqrt,
    count_or_zero,
    daily_rate,
    measure_ratio,
    measure_value,
    money,
    spread,
)
from features.task import Window

ORDERS = Feature(
    "orders", measure_value("orders"), "orders", "orders", "{value:#order}", "count", None, "never", "none"
)


def computed(engine: DuckDBEngine, expression: Any, **columns: list[Any]) -> list[Any]:
    """The values of an expression of a table."""
    table = ibis.memtable(pa.table(columns))
    return engine.to_arrow(table.select(value=expression(table)))["value"].to_pylist()


def test_measures_and_ratios(engine: DuckDBEngine) -> None:
    columns = {"a": [6.0, 1.0, None], "b": [3.0, 0.0, 2.0]}
    assert computed(engine, measure_value("a"), **columns) == [6.0, 1.0, None]
    assert computed(engine, measure_ratio("a", "b"), **columns) == [2.0, None, None]
    assert computed(engine, count_or_zero("a"), **columns) == [6.0, 1.0, 0.0]
    assert computed(engine, lambda m: money(m.n), n=[12_500]) == [1.25]


def test_the_coefficient_of_variation_is_null_for_one_value(engine: DuckDBEngine) -> None:
    values = computed(engine, lambda m: spread(m.n, m.total, m.squares), n=[2, 1], total=[6, 5], squares=[20, 25])
    assert values == [pytest.approx(math.sqrt(2) / 3), None]  # of 2 and 4; of 5


def test_a_variance_below_zero_by_rounding_counts_as_zero(engine: DuckDBEngine) -> None:
    assert computed(engine, lambda m: clipped_sqrt(m.v), v=[-1e-12, 4.0, None]) == [0.0, 2.0, None]


def test_a_newer_customer_has_fewer_days_in_the_window(engine: DuckDBEngine) -> None:
    columns = {"orders_30d": [6, 6], "tenure": [10, 400]}
    assert computed(engine, lambda m: daily_rate(m, "orders", Window(30)), **columns) == [0.6, 0.2]


def test_a_reading_has_its_own_texts_for_null_and_zero() -> None:
    assert [ORDERS.format_reading({"orders": n}) for n in (2.0, 0.0, None)] == ["2 orders", "none", "never"]
    assert ORDERS.dtype == "float64"
    level = Feature("tier", measure_value("tier"), "tier", "tier", "{value:level}", "level")
    assert level.dtype == "string"
