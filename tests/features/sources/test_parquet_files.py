"""Parquet files: damaged and unlike files are named, types that differ become one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, EmptyError
from features.sources.parquet_files import by_schema, read_footers

DAY = datetime(2024, 1, 5)


def write(folder: Path, **files: dict[str, list[Any]]) -> list[Path]:
    """Write each dictionary of columns as a file."""
    for name, columns in files.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return [folder / f"{name}.parquet" for name in files]


def test_columns_and_rows_come_from_the_footers(tmp_path: Path) -> None:
    files = read_footers(write(tmp_path, a={"id": [1, 2]}, b={"id": [3], "n": [1.5]}), "in", tmp_path)
    assert [(file.name, file.columns, file.rows) for file in files.read.files] == [
        ("a.parquet", ("id",), 2),
        ("b.parquet", ("id", "n"), 1),
    ]
    assert (files.common, files.names, len(by_schema(files))) == ({}, {}, 1)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    paths = write(tmp_path, a={"id": [1]}, b={"id": [2]})
    content = paths[1].read_bytes()
    for damaged, error, says in (
        (content[:-6], DataError, "cannot be read as parquet.*write or copy it again"),
        (b"id\n1\n", DataError, "cannot be read as parquet"),
        (b"", EmptyError, r"is empty \(0 bytes\)"),
    ):
        paths[1].write_bytes(damaged)
        with pytest.raises(error, match=f"b.parquet:? {says}"):
            read_footers(paths, "in", tmp_path)


def test_damage_behind_an_intact_footer_is_named_when_rows_are_read(tmp_path: Path, engine: DuckDBEngine) -> None:
    paths = write(tmp_path, a={"id": ["x" * n for n in range(300)]}, b={"id": [f"{n * n}" for n in range(3000)]})
    content = bytearray(paths[1].read_bytes())
    content[40:400] = bytes(360)
    paths[1].write_bytes(content)
    with pytest.raises(DataError, match="^b.parquet: cannot be read as parquet: .*; write or copy it again"):
        engine.store("rows", engine.read_files("*.parquet", tmp_path))


def test_types_that_differ_become_one(tmp_path: Path, engine: DuckDBEngine) -> None:
    write(
        tmp_path,
        a={"ID": [1001], "n": pa.array([1], pa.int32()), "day": [date(2024, 1, 5)], "x": [1]},
        b={"id": ["A2"], "n": [2.5], "day": [DAY], "x": [None]},
        c={"id": [1003.0], "n": [3], "day": [DAY]},
        d={"id": [None], "n": [None], "x": [7]},
    )
    rows = engine.to_arrow(engine.read_files("*.parquet", tmp_path)).to_pylist()
    assert [row["ID"] for row in rows] == ["1001", "A2", "1003", None]
    assert [(row["n"], row["day"]) for row in rows] == [(1.0, DAY), (2.5, DAY), (3.0, DAY), (None, None)]
    assert [row["x"] for row in rows] == [1, None, None, 7]


def test_times_with_and_without_a_zone_are_refused_with_both_files(tmp_path: Path) -> None:
    paths = write(tmp_path, a={"day": [DAY]}, b={"day": [DAY.replace(tzinfo=UTC)]})
    with pytest.raises(DataError, match="a.parquet and b.parquet: column 'day' holds timestamp.* write both alike"):
        read_footers(paths, "in", tmp_path)


def test_names_of_files_are_no_globs(tmp_path: Path, engine: DuckDBEngine) -> None:
    write(tmp_path, **{"log [1]*": {"id": [1]}, "log 1": {"id": [2]}})
    assert engine.to_arrow(engine.read_files("log [[]1]*.parquet", tmp_path)).to_pylist() == [{"id": 1}]
    (tmp_path / "day=5").mkdir()
    write(tmp_path / "day=5", part={"id": [7]})
    assert engine.to_arrow(engine.read_files("day=5", tmp_path, file_column="f")).to_pylist() == [
        {"id": 7, "day": 5, "f": str(tmp_path / "day=5" / "part.parquet")}
    ]
