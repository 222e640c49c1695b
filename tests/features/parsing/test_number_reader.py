"""Numbers are read by a pattern, so that all engines read them alike."""

from __future__ import annotations

from typing import Any

import ibis
import pytest

from features.config.table_sections import Events
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError
from features.parsing.number_reader import NumberReader, as_ticks
from tests.features.intake.column_values import compute_values

EVENTS = Events(source="log.csv", customer="customer", time="time")


def reader(engine: DuckDBEngine, **keys: Any) -> NumberReader:
    return NumberReader(EVENTS.model_copy(update=keys), engine)


def test_numbers_of_programs(engine: DuckDBEngine) -> None:
    texts = ["1", " -2.5 ", ".5e1", "0x10", "", "inf", "nan"]
    numbers = compute_values(engine, texts, lambda x: reader(engine).read(x, "amount"))
    assert numbers[:6] == [1.0, -2.5, 5.0, None, None, float("inf")]


@pytest.mark.parametrize(("role", "expected"), [("measure", [0.45, 0.1]), ("amount", [None, None])])
def test_percentages_are_numbers_but_no_money(role: str, expected: list[float | None], engine: DuckDBEngine) -> None:
    assert compute_values(engine, ["45%", "10 %"], lambda x: reader(engine).read(x, role)) == expected


def test_the_config_decides_what_a_column_does_not_show(engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match="no other value shows whether the sign separates thousands or decimals"):
        compute_values(engine, ["1.234"], lambda x: reader(engine).read(x, "quantity"))
    assert compute_values(engine, ["1.234"], lambda x: reader(engine, decimal_separator=",").read(x, "quantity")) == [
        1234.0
    ]


def test_reasons_tell_missing_from_unreadable(engine: DuckDBEngine) -> None:
    texts = ["1", "", "-", "two", "inf", "2e12"]

    def reason(x: ibis.Value) -> ibis.Value:
        checks = reader(engine).checks(x, "amount", required=True)
        return ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))

    assert compute_values(engine, texts, reason) == [
        None,
        "missing amount",
        "missing amount",
        "unreadable amount",
        "infinite amount",
        "amount beyond 1e12",
    ]


def test_ticks_are_whole_and_null_where_a_number_is_unusable(engine: DuckDBEngine) -> None:
    no_reason = ibis.null("string")
    values = [1.25, 0.00004, float("nan"), float("inf"), None]
    assert compute_values(engine, values, lambda x: as_ticks(x, no_reason)) == [12_500, 0, None, None, None]
    assert compute_values(engine, [1.25], lambda x: as_ticks(x, ibis.literal("missing customer"))) == [None]
