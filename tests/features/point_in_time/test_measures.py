"""Measures over windows that nest and overlap, against sums by hand."""

from __future__ import annotations

from datetime import date

import ibis
import pyarrow as pa

from features.engines.duckdb import DuckDBEngine
from features.point_in_time.measures import Measure, by_window, earlier_spans, window_spans
from features.task import Window


def test_spans_before_a_window_and_a_year_ago() -> None:
    spans = [(span.name, span.start, span.end) for span in earlier_spans([Window(30), Window(365)])]
    assert spans == [("before_30d", 30, 60), ("year_ago_30d", 365, 395), ("before_365d", 365, 730)]


def test_sums_and_extremes_over_every_span(engine: DuckDBEngine) -> None:
    ages, amounts = [1, 30, 31, 80, 400], [1, 2, 4, 8, 16]
    cutoff = [date(2024, 6, 1)] * 5
    rows = pa.table({"customer_id": ["a"] * 4 + ["b"], "cutoff": cutoff, "age": ages, "amount": amounts})
    measures = (Measure("sum", lambda r: r.amount.sum()), Measure("top", lambda r: r.amount.max(), merge="max"))
    spans = (*window_spans([Window(30), Window(90)]), *earlier_spans([Window(30)]))
    table = engine.to_arrow(by_window(ibis.memtable(rows), measures, spans).order_by("customer_id")).to_pylist()
    names = ("30d", "90d", "ever", "before_30d", "year_ago_30d")
    assert [[row[f"sum_{name}"] for name in names] for row in table] == [[3, 15, 15, 4, 0], [0, 0, 16, 0, 0]]
    assert [[row[f"top_{name}"] for name in names] for row in table] == [
        [2, 8, 8, 4, None],
        [None, None, 16, None, None],
    ]
