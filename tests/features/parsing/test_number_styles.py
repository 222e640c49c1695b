"""All values of a column decide how its numbers are read; a value by itself decides nothing."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.parsing.number_styles import (
    NumberCount,
    NumberStyle,
    NumberSurvey,
    decide_number_style,
    is_given,
    parse_number_form,
    rough_number,
    survey_numbers,
)

THIN, NARROW, HARD = "\u2009", "\u202f", "\u00a0"  # spaces between thousands
COLUMNS: dict[str, tuple[list[str | None], list[float | None]]] = {
    "thousands with commas": (["1,234.00", "12.50", "7", "-1,000,000"], [1234.0, 12.5, 7.0, -1e6]),
    "decimal commas": (["1.234", "12,50", "1.234.567,8", "-3"], [1234.0, 12.5, 1234567.8, -3.0]),
    "spaces": ([f"1{NARROW}234,5", f"2{THIN}000,00", f"3{HARD}000", "4 000"], [1234.5, 2000.0, 3000.0, 4000.0]),
    "apostrophes": (["1'234.50", "12’000.00", "9"], [1234.5, 12000.0, 9.0]),
    "India": (["1,23,456.50", "12,34,567", "5.00"], [123456.5, 1234567.0, 5.0]),
    "negatives": (["(12.50)", "12.50-", "\u221212.50", "$-12.50", "($12.50)", "+12.50"], [-12.5] * 5 + [12.5]),
    "currencies": (["€ 12,50", "12,50 €", "EUR 12,50", "eur12,50", "(12,50 EUR)"], [12.5] * 4 + [-12.5]),
    "percentages": (["10%", "12.5 %", "-7%"], [0.1, 0.125, -0.07]),
    "gaps": (["1,000.00", "", " ", "n/a", "NULL", "-", "#N/A", None], [1000.0] + [None] * 7),
    "programs": (["1e3", ".5", "5.", "$7", "inf"], [1000.0, 0.5, 5.0, 7.0, float("inf")]),
    "no numbers": (["2024-01-05", "2 pcs", "12 34", "1/2", "abc", "1.2.3", "0x1F", "5,-", "12 cup"], [None] * 9),
}


def style_of(texts: list[str | None], engine: Engine, decimal: str = "") -> tuple[NumberStyle, list[float | None]]:
    rows = engine.store_arrow("texts", pa.table({"place": range(len(texts)), "x": pa.array(texts, pa.string())}))
    style = decide_number_style(survey_numbers(rows.x, engine), decimal)
    values = engine.to_arrow(rows.select("place", value=style.read(rows.x)).order_by("place"))
    return style, values["value"].to_pylist()


def test_columns_are_read_as_people_write_them(each_engine: Engine) -> None:
    for name, (texts, expected) in COLUMNS.items():
        style, values = style_of(texts, each_engine)
        assert values == expected, name
        assert style.readable == sum(value is not None for value in expected), name


@pytest.mark.parametrize("texts", [["1,234"], ["1.234", "5"], ["$1,234", "12"], ["1,234", "1.234"]])
def test_what_may_be_thousands_or_decimals_is_not_decided(texts: list[str | None], engine: DuckDBEngine) -> None:
    assert style_of(texts, engine)[0].undecided == sum(len(text or "") >= 5 for text in texts)
    assert style_of(texts, engine, ".")[0].undecided == 0


@pytest.mark.parametrize(
    ("other", "value"), [("0,5", 1234.0), ("12,5", 1234.0), ("1.234,5", 1234.0), ("1.234.567", 1234.0)]
)
def test_one_value_shows_it_for_all(other: str, value: float, engine: DuckDBEngine) -> None:
    assert style_of(["1.234", other], engine)[1][0] == value
    assert style_of(["1.234", "0.5"], engine)[1][0] == 1.234


def test_in_a_mixed_column_the_more_frequent_style_is_read_and_nothing_that_could_be_either(
    engine: DuckDBEngine,
) -> None:
    style, values = style_of(["12.50", "13.50", "12,50", "1,234", "1.234"], engine)
    assert style.mixed and values == [12.5, 13.5, None, None, None]


def test_plain_numbers_and_codes_are_told_from_others() -> None:
    whole = decide_number_style(NumberSurvey(5, 5, (NumberCount("9", "plain", 5),)))
    cents = decide_number_style(NumberSurvey(5, 5, (NumberCount("9", "plain", 4), NumberCount("9", "point", 1))))
    assert (whole.plain, whole.whole, cents.plain, cents.whole) == (True, True, True, False)


@pytest.mark.parametrize("form", ["9-9", "--9", "(9", "9)", "-9-", "(-9)", "%", "", "9%€", "€9$", "9+", "a9"])
def test_forms_that_are_no_numbers(form: str) -> None:
    assert parse_number_form(form) is None


def test_money_at_stake_is_estimated_from_what_is_like_a_number(engine: DuckDBEngine) -> None:
    texts = ["1.234,50 pcs", "12 x", "about 7.5", "2024-01-05", "no number at all 5", "", None]
    rows = ibis.memtable(pa.table({"x": pa.array(texts, pa.string())}))
    values = engine.to_arrow(rows.select(rough=rough_number(rows.x), given=is_given(rows.x)))
    assert values["rough"].to_pylist() == [1234.5, 12.0, 7.5, None, None, None, None]
    assert values["given"].to_pylist() == [True] * 5 + [False] * 2
