"""Rows that are set aside are counted, and messages do not show their content."""

from __future__ import annotations

import ibis
import pyarrow as pa

from features.engines.duckdb import DuckDBEngine
from features.intake.set_aside import count_set_aside, mask_text


def test_rows_set_aside_are_counted_by_reason(engine: DuckDBEngine) -> None:
    rows = pa.table({"customer_id": ["b", "a", None, "c"], "reason": ["missing time"] * 2 + ["missing customer", None]})
    missing_customer, missing_time = count_set_aside(ibis.memtable(rows), engine)
    assert (missing_customer.rows, missing_customer.customers) == (1, ())
    assert (missing_time.reason, missing_time.rows, missing_time.customers) == ("missing time", 2, ("a", "b"))


def test_masks_show_the_form_alone() -> None:
    assert mask_text("£12.50 Zoë") == "£99.99 aaa" and len(mask_text("x" * 100)) == 40
