"""Times are read by patterns, so that all engines read them alike; days begin in the business's zone."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from features.config.table_sections import Events
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.times import TimeReader
from tests.features.intake.column_values import compute_values

EVENTS = Events(source="log.csv", customer="customer", time="time")
BERLIN, NEW_YORK, KOLKATA = "Europe/Berlin", "America/New_York", "Asia/Kolkata"


def read(engine: Engine, values: list[Any], zone: str = "UTC", role: str = "time", **keys: str) -> list[Any]:
    reader = TimeReader(EVENTS.model_copy(update=keys), engine, zone)
    return compute_values(engine, values, lambda x: reader.read(x, role))


@pytest.mark.parametrize(
    ("values", "hour"),
    [
        (["2024-03-01T10:00:00Z"], 10),
        (["2024/3/1 12:00:00+02:00"], 10),
        (["2024-03-01 10:00"], 10),
        (["2024-03-01"], 0),
        ([20240301], 0),
        (["1st of March"], None),
        (["2024-03-01 25:00"], None),
    ],
)
def test_times(engine: DuckDBEngine, values: list[Any], hour: int | None) -> None:
    assert read(engine, values) == [None if hour is None else datetime(2024, 3, 1, hour)]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-06-01 22:30:00 -0400", datetime(2024, 6, 2, 2, 30)),
        ("2024-06-01T22:30-04", datetime(2024, 6, 2, 2, 30)),
        ("2024-06-01 22:30:00 +05:30", datetime(2024, 6, 1, 17, 0)),
        ("2024-07-01 10:00Z", datetime(2024, 7, 1, 10)),
        ("2024-07-01 10:00 UTC", datetime(2024, 7, 1, 10)),
        (" 2024/7/1 10:00:00.250 GMT ", datetime(2024, 7, 1, 10, 0, 0, 250_000)),
        ("2024-07-01 10:00 -19:00", None),
        ("2024-07-01 10:00 EDT", None),
    ],
)
@pytest.mark.parametrize("timezone", ["", BERLIN])
def test_an_offset_comes_before_the_zone(engine: DuckDBEngine, text: str, utc: datetime | None, timezone: str) -> None:
    assert read(engine, [text], timezone=timezone) == [utc]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("%Y-%m-%d %H:%M:%S %z", "2024-06-01 22:30:00 -0400"),
        ("%d.%m.%Y %H:%M%z", "01.06.2024 22:30-04:00"),
        ("%Y-%m-%d %H:%M:%S %z", "2024-06-02 02:30:00 UTC"),
        ("%Y-%m-%dT%H:%M:%SZ", "2024-06-02T02:30:00Z"),
        ("%a %b %d %H:%M:%S %z %Y", "Sat Jun 01 22:30:00 -0400 2024"),
    ],
)
def test_an_offset_in_a_format_comes_before_the_zone(engine: DuckDBEngine, layout: str, text: str) -> None:
    assert read(engine, [text], timezone=BERLIN, time_format=layout) == [datetime(2024, 6, 2, 2, 30)]


def test_a_zone_moves_local_times_only(engine: DuckDBEngine) -> None:
    values = ["2024-07-01 10:00", "2024-07-01 10:00:00Z"]
    assert read(engine, values, timezone=BERLIN) == [datetime(2024, 7, 1, 8), datetime(2024, 7, 1, 10)]
    assert read(engine, values, BERLIN, timezone=BERLIN) == [datetime(2024, 7, 1, 10), datetime(2024, 7, 1, 12)]
    assert read(engine, values, KOLKATA, timezone=BERLIN) == [
        datetime(2024, 7, 1, 13, 30),
        datetime(2024, 7, 1, 15, 30),
    ]


def test_a_business_whose_days_begin_elsewhere(engine: DuckDBEngine) -> None:
    moments = [datetime(2024, 3, 10, 4, 30), datetime(2024, 3, 11, 3, 30)]  # clocks went forward in between
    assert read(engine, moments, NEW_YORK) == [datetime(2024, 3, 9, 23, 30), datetime(2024, 3, 10, 23, 30)]


@pytest.mark.parametrize(("timezone", "zone"), [(BERLIN, "UTC"), ("", NEW_YORK), (KOLKATA, "Africa/Cairo")])
@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ([date(2024, 4, 26), date(2024, 7, 2)], {}),
        (["2024-04-26", "2024/7/2"], {}),
        ([20240426, 20240702], {}),
        (["26.04.2024", "02.07.2024"], {"time_format": "%d.%m.%Y"}),
        ([datetime(2024, 4, 26), datetime(2024, 7, 2)], {}),
        (["2024-04-26 00:00:00", "2024-07-02T00:00"], {}),
        (["2024-04-26T00:00:00+02:00", "2024-07-02T00:00:00+02:00"], {}),
        (["2024-04-26T00:00:00Z", "2024-07-02T00:00:00Z"], {}),
        (["26.04.2024 00:00", "02.07.2024 00:00"], {"time_format": "%d.%m.%Y %H:%M"}),
    ],
)
def test_a_date_without_a_clock_is_a_day_in_every_zone(
    engine: DuckDBEngine, values: list[Any], keys: dict[str, str], timezone: str, zone: str
) -> None:
    read_days = read(engine, values, zone, timezone=timezone, **keys)
    assert read_days == [datetime(2024, 4, 26), datetime(2024, 7, 2)]


def test_one_clock_among_midnights_makes_all_of_them_times(engine: DuckDBEngine) -> None:
    moments = [datetime(2024, 7, 1), datetime(2024, 7, 2, 10)]
    assert read(engine, moments, NEW_YORK) == [datetime(2024, 6, 30, 20), datetime(2024, 7, 2, 6)]
    texts = ["2024-07-01", "2024-07-02 00:00", "2024-07-02 10:00"]  # the first is a day nevertheless
    assert read(engine, texts, NEW_YORK) == [datetime(2024, 7, 1), datetime(2024, 7, 1, 20), datetime(2024, 7, 2, 6)]


@pytest.mark.slow
def test_offsets_zones_and_days_are_the_same_on_spark(spark: Engine, engine: DuckDBEngine) -> None:
    for values, keys in (
        (["2024-06-01 22:30:00 -0400", "2024-07-01 10:00Z", "2024-07-01 10:00 GMT", "2024-07-01"], {}),
        (["2024-03-10 02:30", "2024-11-03 01:30:00.5", "2024/7/1"], {"timezone": NEW_YORK}),
        (["01.06.2024 22:30 -0400", "soon"], {"time_format": "%d.%m.%Y %H:%M %z", "timezone": BERLIN}),
        (["2024-07-01T00:00:00+02:00", "2024-07-02T00:00:00+02:00"], {}),
    ):
        assert set(read(spark, values, KOLKATA, **keys)) == set(read(engine, values, KOLKATA, **keys))


def test_other_types_are_no_times(engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=r"\[events\] time: column 'x' holds boolean"):
        read(engine, [True])


def test_times_with_and_without_an_offset_are_refused_together(engine: DuckDBEngine) -> None:
    values = ["2024-03-01 10:00Z", "2024-03-01 10:00"]
    with pytest.raises(DataError, match="mixes 1 times with an offset and 1 without one; set .events. timezone"):
        read(engine, values)
    assert read(engine, values, timezone="UTC") == [datetime(2024, 3, 1, 10)] * 2
