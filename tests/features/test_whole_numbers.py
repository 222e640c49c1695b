"""Test whole numbers in columns of floats, on both engines."""

from __future__ import annotations

import pyarrow as pa

from features.engines.base import Engine
from features.whole_numbers import whole_number


def test_floats_that_are_no_exact_whole_number_are_null(each_engine: Engine) -> None:
    floats = [3.0, -0.0, -7.0, 2.5, 1e20, -1e300, float("inf"), float("nan"), None, float(2**53), float(2**53 - 1)]
    rows = each_engine.store_arrow("floats", pa.table({"place": range(len(floats)), "x": pa.array(floats)}))
    read = each_engine.to_arrow(rows.select("place", whole=whole_number(rows.x)).order_by("place"))
    assert read["whole"].to_pylist() == [3, 0, -7, *[None] * 7, 2**53 - 1]
