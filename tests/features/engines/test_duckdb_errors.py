"""Errors of DuckDB say what to do, and a damaged file is named."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from features.engines.duckdb_errors import explain_damage, failed
from features.sources.parquet_files import read_footers


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        (duckdb.OutOfMemoryException("Out of Memory Error: x"), "raise [engine] memory"),
        (duckdb.IOException("failed to offload block"), "scratch"),
        (duckdb.ConversionException("Could not convert 'x' to INT32"), "try_cast gives null"),
        (duckdb.InvalidInputException("Bad format specifier %Q"), "correct time_format"),
        (duckdb.BinderException("no column x"), "check the columns"),
    ],
)
def test_each_sort_of_error_has_its_advice(problem: Exception, advice: str) -> None:
    message = str(failed("[events] query", problem))
    assert message.startswith("[events] query: ") and advice in message and "\n" not in message


def test_the_damaged_file_of_several_is_named(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        for name in ("a", "b"):
            connection.execute(
                f"COPY (SELECT range AS x, 'text ' || range AS y FROM range(5000)) TO '{tmp_path}/{name}.parquet'"
            )
        files = sorted(tmp_path.glob("*.parquet"))
        footers = read_footers(files, ".", tmp_path)
        reading = duckdb.IOException("corrupt")
        assert explain_damage([footers], reading, connection) is None
        content = bytearray(files[1].read_bytes())
        content[8:400] = b"\xff" * 392
        files[1].write_bytes(content)
        damage = explain_damage([footers], reading, connection)
        assert damage is not None and "b.parquet" in str(damage)
        assert explain_damage([footers], duckdb.BinderException("no column"), connection) is None
