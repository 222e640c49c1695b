"""Columns are read as ids, numbers and times by patterns, so that all engines read them alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import pyarrow as pa
import pytest

from features.config.table_sections import Events
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.column_types import (
    as_identifier,
    as_number,
    as_ticks,
    as_utc_timestamp,
    blank_to_null,
    count_set_aside,
    mask_text,
    refuse_mixed_zones,
    require_section_columns,
)

EVENTS = Events(source="log.csv", customer="customer", time="time")


def computed(engine: DuckDBEngine, values: list[Any], expression: Any) -> list[Any]:
    """The values of an expression of a column x."""
    table = ibis.memtable(pa.table({"x": values}))
    return engine.to_arrow(table.select(value=expression(table.x)))["value"].to_pylist()


def test_blank_text_is_null(engine: DuckDBEngine) -> None:
    assert computed(engine, ["a", " \t", "", None], blank_to_null) == ["a", None, None, None]


@pytest.mark.parametrize(
    ("values", "ids"),
    [([17850.0, 2.5, None], ["17850", "2.5", None]), ([17850], ["17850"]), (["C-1", " "], ["C-1", None])],
)
def test_ids(engine: DuckDBEngine, values: list[Any], ids: list[Any]) -> None:
    assert computed(engine, values, as_identifier) == ids


def test_numbers(engine: DuckDBEngine) -> None:
    texts = ["1", " -2.5 ", ".5e1", "1,000", "0x10", "", "inf"]
    assert computed(engine, texts, as_number) == [1.0, -2.5, 5.0, None, None, None, float("inf")]


def test_ticks_are_whole_and_null_where_a_number_is_unusable(engine: DuckDBEngine) -> None:
    no_reason = ibis.null("string")
    values = [1.25, 0.00004, float("nan"), float("inf"), None]
    assert computed(engine, values, lambda x: as_ticks(x, no_reason)) == [12_500, 0, None, None, None]
    assert computed(engine, [1.25], lambda x: as_ticks(x, ibis.literal("missing customer"))) == [None]


@pytest.mark.parametrize(
    ("values", "hour"),
    [
        (["2024-03-01T10:00:00Z"], 10),
        (["2024/3/1 12:00:00+02:00"], 10),
        (["2024-03-01 10:00"], 10),
        (["2024-03-01"], 0),
        ([20240301], 0),
        (["01.03.2024"], None),
        (["2024-03-01 25:00"], None),
    ],
)
def test_times(engine: DuckDBEngine, values: list[Any], hour: int | None) -> None:
    (moment,) = computed(engine, values, lambda x: as_utc_timestamp(x, EVENTS, engine, "time"))
    assert moment == (None if hour is None else datetime(2024, 3, 1, hour))


def test_a_zone_moves_local_times_only(engine: DuckDBEngine) -> None:
    section = EVENTS.model_copy(update={"timezone": "Europe/Berlin"})
    values = ["2024-07-01 10:00", "2024-07-01 10:00:00Z"]
    moments = computed(engine, values, lambda x: as_utc_timestamp(x, section, engine, "time"))
    assert moments == [datetime(2024, 7, 1, 8), datetime(2024, 7, 1, 10)]


def test_other_types_are_no_times(engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=r"\[events\] time: column 'x' holds boolean"):
        computed(engine, [True], lambda x: as_utc_timestamp(x, EVENTS, engine, "time"))


def test_times_with_and_without_an_offset_are_refused_together(engine: DuckDBEngine) -> None:
    rows = ibis.memtable({"customer": ["a", "b"], "time": ["2024-03-01 10:00Z", "2024-03-01 10:00"]})
    with pytest.raises(DataError, match="mixes 1 times with an offset and 1 without one; set .events. timezone"):
        refuse_mixed_zones(rows, EVENTS, engine)
    refuse_mixed_zones(rows, EVENTS.model_copy(update={"timezone": "UTC"}), engine)


def test_kinds_need_names_of_their_own() -> None:
    rows = ibis.memtable({"customer": ["a"], "time": ["2024-03-01"], "StockCode": ["x"], "stock code": ["x"]})
    section = EVENTS.model_copy(update={"kinds": ["StockCode", "stock code"]})
    with pytest.raises(UsageError, match="would give features of the same name or of no name"):
        require_section_columns(rows, section, "events")


def test_rows_set_aside_are_counted_by_reason(engine: DuckDBEngine) -> None:
    rows = pa.table({"customer_id": ["b", "a", None, "c"], "reason": ["missing time"] * 2 + ["missing customer", None]})
    missing_customer, missing_time = count_set_aside(ibis.memtable(rows), engine)
    assert (missing_customer.rows, missing_customer.customers) == (1, ())
    assert (missing_time.reason, missing_time.rows, missing_time.customers) == ("missing time", 2, ("a", "b"))


def test_masks_show_the_form_alone() -> None:
    assert mask_text("£12.50 Zoë") == "£99.99 aaa" and len(mask_text("x" * 100)) == 40
