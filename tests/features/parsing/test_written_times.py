"""Times are read as they are written, with and without a clock and an offset."""

from __future__ import annotations

import pyarrow as pa
import pytest

from features.engines.duckdb import DuckDBEngine
from features.parsing.written_times import WrittenTimes, is_iso_text, read_epoch, read_formats, read_iso_text


def values(times: WrittenTimes, rows: object, engine: DuckDBEngine) -> list[tuple[str, object, object]]:
    offset = {} if times.offset is None else {"offset": times.offset}
    clock = {} if isinstance(times.has_clock, bool) else {"clock": times.has_clock}
    table = engine.to_arrow(rows.select("place", at=times.written, **offset, **clock).order_by("place"))  # type: ignore
    return [(str(r["at"]), r.get("offset"), r.get("clock", times.has_clock)) for r in table.to_pylist()]


@pytest.fixture
def texts(engine: DuckDBEngine) -> object:
    column = ["2024-01-05", "2024/1/5 10:00 -0400", "05.01.2024 10:00 +02:00", "05.01.2024", "x"]
    return engine.store_arrow("texts", pa.table({"place": range(5), "x": column}))


def test_iso_text(texts: object, engine: DuckDBEngine) -> None:
    assert values(read_iso_text(texts.x), texts, engine)[:2] == [  # type: ignore[attr-defined]
        ("2024-01-05 00:00:00", None, False),
        ("2024-01-05 10:00:00", -240, True),
    ]
    assert engine.to_arrow(texts.select(y=is_iso_text(texts.x)))["y"].to_pylist() == [True, True, False, False, False]  # type: ignore[attr-defined]


def test_several_formats_with_and_without_a_clock_and_an_offset(texts: object, engine: DuckDBEngine) -> None:
    times = read_formats(texts.x, ("%d.%m.%Y %H:%M %z", "%d.%m.%Y"), engine)  # type: ignore[attr-defined]
    assert values(times, texts, engine)[2:4] == [
        ("2024-01-05 10:00:00", 120, True),
        ("2024-01-05 00:00:00", None, False),
    ]


def test_numbers_since_1970_have_limits(engine: DuckDBEngine) -> None:
    rows = engine.store_arrow("numbers", pa.table({"place": range(3), "x": [0, -1, 10**18]}))
    assert [at for at, _, _ in values(read_epoch(rows.x, "s"), rows, engine)] == ["1970-01-01 00:00:00", "None", "None"]
