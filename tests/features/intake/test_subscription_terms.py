"""Starts and ends of terms are joined to one row each."""

from __future__ import annotations

from datetime import date

import ibis
import pyarrow as pa

from features.engines.duckdb import DuckDBEngine
from features.intake.subscription_terms import one_row_per_term


def test_a_running_term_has_no_end_and_is_not_cancelled(engine: DuckDBEngine) -> None:
    d = [date(2024, 1, day) for day in range(1, 8)]
    rows = pa.table(
        {
            "customer_id": ["a", "a", "a"],
            "term": ["t1", "t1", "t2"],
            "part": ["start", "end", "start"],
            "day": [d[0], d[4], d[5]],
            "seen": [d[1], d[6], d[5]],
            "cancelled": pa.array([None, True, None], pa.bool_()),
            "price": pa.array([100, None, None], pa.int64()),
        }
    )
    terms = engine.to_arrow(one_row_per_term(ibis.memtable(rows)).order_by("term")).to_pylist()
    first, second = ({key: value for key, value in term.items() if key != "customer_id"} for term in terms)
    assert first == {
        "term": "t1", "start": d[0], "start_seen": d[1], "end": d[4], "end_seen": d[6], "cancelled": True, "price": 100,
    }  # fmt: skip
    assert second == {
        "term": "t2", "start": d[5], "start_seen": d[5], "end": None, "end_seen": None, "cancelled": False,
        "price": None,
    }  # fmt: skip
