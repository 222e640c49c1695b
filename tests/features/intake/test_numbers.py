"""Numbers are read by a pattern, so that all engines read them alike."""

from __future__ import annotations

import ibis

from features.engines.duckdb import DuckDBEngine
from features.intake.numbers import as_number, as_ticks
from tests.features.intake.column_values import compute_values


def test_numbers(engine: DuckDBEngine) -> None:
    texts = ["1", " -2.5 ", ".5e1", "1,000", "0x10", "", "inf"]
    assert compute_values(engine, texts, as_number) == [1.0, -2.5, 5.0, None, None, None, float("inf")]


def test_ticks_are_whole_and_null_where_a_number_is_unusable(engine: DuckDBEngine) -> None:
    no_reason = ibis.null("string")
    values = [1.25, 0.00004, float("nan"), float("inf"), None]
    assert compute_values(engine, values, lambda x: as_ticks(x, no_reason)) == [12_500, 0, None, None, None]
    assert compute_values(engine, [1.25], lambda x: as_ticks(x, ibis.literal("missing customer"))) == [None]
