"""All values of a column decide how its times are read; what could be either is not decided."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.parsing.time_layouts import TimeLayout, decide_time_layout, formats_of_outline

COLUMNS: dict[str, tuple[list[Any], list[str | None]]] = {
    "month first, years of two digits": (
        ["01/05/22 12:50", "12/31/22 01:00"],
        ["2022-01-05 12:50:00", "2022-12-31 01:00:00"],
    ),
    "day first": (["13.02.2024", "05.01.2024 10:00"], ["2024-02-13 00:00:00", "2024-01-05 10:00:00"]),
    "year first, two digits": (
        ["22/01/05", "22/12/31", "23/05/17"],
        ["2022-01-05 00:00:00", "2022-12-31 00:00:00", "2023-05-17 00:00:00"],
    ),
    "names of months": (["5 Jan 2024", "12 February 2024"], ["2024-01-05 00:00:00", "2024-02-12 00:00:00"]),
    "Chinese": (["2024\u5e741\u67085\u65e5"], ["2024-01-05 00:00:00"]),
    "ISO": (["2024-01-05", "2024/1/6 10:00"], ["2024-01-05 00:00:00", "2024-01-06 10:00:00"]),
    "digits as text": (["202401151230", "202312010000"], ["2024-01-15 12:30:00", "2023-12-01 00:00:00"]),
    "digits": ([20240115123000], ["2024-01-15 12:30:00"]),
    "days as floats": ([20240115.0, None], ["2024-01-15 00:00:00", None]),
    "hours, not seconds": ([2022010512, 2022123123], ["2022-01-05 12:00:00", "2022-12-31 23:00:00"]),
    "seconds": ([1641387028, 1641465931], ["2022-01-05 12:50:28", "2022-01-06 10:45:31"]),
    "parts of seconds": (["1641387028.5"], ["2022-01-05 12:50:28.500000"]),
    "milliseconds": (["1641387028123"], ["2022-01-05 12:50:28.123000"]),
    "weekdays": (
        ["Fri, 05 Jan 2024 12:50:00 +0100", "Sat, 6 Jan 2024 10:00:00 GMT"],
        ["2024-01-05 12:50:00", "2024-01-06 10:00:00"],
    ),
    "weekdays of days": (["Fri 05/01/2024", "Saturday 13/01/2024"], ["2024-01-05 00:00:00", "2024-01-13 00:00:00"]),
    "ISO without separators": (["20240105T125028Z"], ["2024-01-05 12:50:28"]),
    "nanoseconds": ([1641387028000000000], ["2022-01-05 12:50:28"]),
}
UNKNOWN: list[list[Any]] = [
    ["soon"],
    [44567],
    [44567.25],
    ["240115"],
    [5551234567],
    [31012024],
    ["12:30"],
    [True],
    [""],
    [1e20, -1e300],
]


def values_of(column: list[Any], engine: Engine) -> tuple[TimeLayout, list[str | None]]:
    rows = engine.store_arrow("times", pa.table({"place": range(len(column)), "x": column}))
    layout = decide_time_layout(rows.x, engine)
    values = engine.to_arrow(rows.select("place", value=layout.read(rows.x, engine).written).order_by("place"))
    return layout, [None if value is None else str(value) for value in values["value"].to_pylist()]


def test_columns_are_read_as_people_and_programs_write_them(each_engine: Engine) -> None:
    for name, (column, expected) in COLUMNS.items():
        layout, values = values_of(column, each_engine)
        assert (values, layout.rivals) == (expected, ()), name


def test_what_is_no_time_has_no_layout(engine: DuckDBEngine) -> None:
    for column in UNKNOWN:
        layout, values = values_of(column, engine)
        assert (layout.kind, values) == ("", [None] * len(column)), column
    assert values_of(["#", "#", "#12"], engine)[0].kind == ""


@pytest.mark.parametrize(
    ("column", "rivals"),
    [
        (["01/05/2024", "02/06/2024"], ("%m/%d/%Y",)),
        (["01/05/24", "02/06/24"], ("%m/%d/%y",)),
        (["01/05/2024", "13/06/2024"], ()),
        (["01/05/2024", "06/13/2024"], ()),
    ],
)
def test_orders_that_read_as_much_are_rivals(column: list[str], rivals: tuple[str, ...], engine: DuckDBEngine) -> None:
    assert values_of(column, engine)[0].rivals == rivals


@pytest.mark.parametrize("days", [range(13, 23), range(13, 18)])
def test_a_column_that_is_written_in_two_ways_is_described_by_both(days: range, engine: DuckDBEngine) -> None:
    column = [f"2024-01-{day} 10:00:00" for day in days] + [f"{day}/01/2024 10:00" for day in range(12, 23)]
    layout = values_of(column, engine)[0]
    assert (layout.formats, layout.also, layout.rivals) == (("%d/%m/%Y %H:%M",), "%Y-%m-%d %H:%M:%S", ())
    assert not values_of(["01/05/2024", "02/06/2024"], engine)[0].also


def test_one_mistake_among_many_values_decides_nothing(engine: DuckDBEngine) -> None:
    ambiguous = [f"0{n % 9 + 1}/0{n % 7 + 1}/2024" for n in range(300)]
    assert values_of([*ambiguous, "13/13/2024", "13/01/2024"], engine)[0].rivals
    assert not values_of([*ambiguous, "13/01/2024"], engine)[0].rivals


def test_layouts_of_the_user_come_first_unless_the_column_shows_another(engine: DuckDBEngine) -> None:
    def decided(column: list[str], *formats: str) -> TimeLayout:
        rows = engine.store_arrow("times", pa.table({"x": column}))
        return decide_time_layout(rows.x, engine, formats)

    assert decided(["01/05/2024"], "%m/%d/%Y").formats == ("%m/%d/%Y",)
    assert decided(["2024-01-05"], "%m/%d/%Y").kind == "iso"
    assert decided(["13/05/2024"], "%m/%d/%Y").formats == ("%d/%m/%Y",)


def test_attributes_need_years_of_four_digits(engine: DuckDBEngine) -> None:
    rows = engine.store_arrow("facts", pa.table({"version": ["10.11.2", "9.8.13"], "code": ["20240101"] * 2}))
    assert [decide_time_layout(rows[name], engine, only_dates=True).kind for name in ("version", "code")] == ["", ""]


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        ("9/9/Y 9:9:9 a", "%d/%m/%Y %I:%M:%S %p"),
        ("9.9.Ya9:9", "%d.%m.%YT%H:%M"),
        ("9-a-9", "%d-%b-%y"),
        ("9/9/Y, 9:9:9.9", "%d/%m/%Y, %H:%M:%S.%f"),
        ("9/9/Y 9:9 +Y", "%d/%m/%Y %H:%M %z"),
    ],
)
def test_outlines_give_formats(outline: str, expected: str) -> None:
    assert expected in formats_of_outline(outline)["day first"]


def test_typed_times_are_left_as_they_are(engine: DuckDBEngine) -> None:
    rows = engine.store_arrow("typed", pa.table({"at": [datetime(2024, 1, 5, 10)], "on": [date(2024, 1, 5)]}))
    assert [decide_time_layout(rows[name], engine).kind for name in ("at", "on")] == ["typed", "typed"]
    assert decide_time_layout(rows.on, engine).read(rows.on, engine).has_clock is False
