"""Computes an expression of one column, for tests of how columns are read."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from features.engines.duckdb import DuckDBEngine


def compute_values(engine: DuckDBEngine, values: list[Any], expression: Any) -> list[Any]:
    """The values of an expression of a column x."""
    table = ibis.memtable(pa.table({"x": values}))
    return engine.to_arrow(table.select(value=expression(table.x)))["value"].to_pylist()
