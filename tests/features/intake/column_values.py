"""Computes an expression of one column, for tests of how columns are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from features.engines.base import Engine


def compute_values(engine: Engine, values: list[Any], expression: Any) -> list[Any]:
    """The values of an expression of a column x."""
    table = engine.store_arrow("column", pa.table({"x": values}))
    return engine.to_arrow(table.select(value=expression(table.x)))["value"].to_pylist()
