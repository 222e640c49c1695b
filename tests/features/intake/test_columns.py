"""Blank text is null, and the columns that a section names exist."""

from __future__ import annotations

import ibis
import pytest

from features.config.table_sections import Events
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.columns import blank_to_null, require_section_columns
from tests.features.intake.column_values import compute_values

EVENTS = Events(source="log.csv", customer="customer", time="time")


def test_blank_text_is_null(engine: DuckDBEngine) -> None:
    assert compute_values(engine, ["a", " \t", "", None], blank_to_null) == ["a", None, None, None]


def test_kinds_need_names_of_their_own() -> None:
    rows = ibis.memtable({"customer": ["a"], "time": ["2024-03-01"], "StockCode": ["x"], "stock code": ["x"]})
    section = EVENTS.model_copy(update={"kinds": ["StockCode", "stock code"]})
    with pytest.raises(
        UsageError,
        match=r"columns 'StockCode' and 'stock code' would give features of the same name \('stock_code'\); rename one",
    ):
        require_section_columns(rows, section, "events")
