"""Times are read by patterns, so that all engines read them alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import pytest

from features.config.table_sections import Events
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.times import as_utc_timestamp, refuse_mixed_zones
from tests.features.intake.column_values import compute_values

EVENTS = Events(source="log.csv", customer="customer", time="time")


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
    (moment,) = compute_values(engine, values, lambda x: as_utc_timestamp(x, EVENTS, engine, "time"))
    assert moment == (None if hour is None else datetime(2024, 3, 1, hour))


def test_a_zone_moves_local_times_only(engine: DuckDBEngine) -> None:
    section = EVENTS.model_copy(update={"timezone": "Europe/Berlin"})
    values = ["2024-07-01 10:00", "2024-07-01 10:00:00Z"]
    moments = compute_values(engine, values, lambda x: as_utc_timestamp(x, section, engine, "time"))
    assert moments == [datetime(2024, 7, 1, 8), datetime(2024, 7, 1, 10)]


def test_other_types_are_no_times(engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=r"\[events\] time: column 'x' holds boolean"):
        compute_values(engine, [True], lambda x: as_utc_timestamp(x, EVENTS, engine, "time"))


def test_times_with_and_without_an_offset_are_refused_together(engine: DuckDBEngine) -> None:
    rows = ibis.memtable({"customer": ["a", "b"], "time": ["2024-03-01 10:00Z", "2024-03-01 10:00"]})
    with pytest.raises(DataError, match="mixes 1 times with an offset and 1 without one; set .events. timezone"):
        refuse_mixed_zones(rows, EVENTS, engine)
    refuse_mixed_zones(rows, EVENTS.model_copy(update={"timezone": "UTC"}), engine)
