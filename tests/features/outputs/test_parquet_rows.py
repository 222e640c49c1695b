"""Ranges of rows in Parquet, across row groups and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.outputs.parquet_rows import ParquetRows, open_parquet_rows

ROWS = pa.table({"a": np.arange(1000), "b": [str(i) for i in range(1000)]})


@pytest.fixture(params=["file", "folder"])
def parquet_rows(request: pytest.FixtureRequest, tmp_path: Path) -> ParquetRows:
    """The rows in one file, or in parts, of several row groups."""
    if request.param == "file":
        pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=96)
        return open_parquet_rows(tmp_path / "rows.parquet")
    for number in range(3):
        part = ROWS.slice(number * 400, 400)
        pq.write_table(part, tmp_path / f"part-{number}.parquet", row_group_size=150)
    return open_parquet_rows(tmp_path)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (90, 410), (990, 2000), (0, 1000), (96, 192), (500, 500)])
def test_rows_between_equals_a_slice(parquet_rows: ParquetRows, start: int, stop: int) -> None:
    table = parquet_rows.rows_between(start, stop)
    assert (
        parquet_rows.num_rows == 1000 and table.equals(ROWS.slice(start, stop - start)) and table["a"].num_chunks <= 1
    )


def test_few_row_groups_stay_in_memory(parquet_rows: ParquetRows) -> None:
    for start in (0, 900, 300, 0, 600):
        assert parquet_rows.rows_between(start, start + 120).equals(ROWS.slice(start, 120))
        assert len(parquet_rows._cached) <= 3


def test_places_and_columns(parquet_rows: ParquetRows) -> None:
    places = np.array([0, 95, 96, 500, 999])
    assert parquet_rows.take(places).equals(ROWS.take(pa.array(places)))
    assert parquet_rows.column("b").to_pylist() == ROWS["b"].to_pylist()
