"""Stretches of rows in Parquet, across row groups and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.scoring.parquet_rows import ParquetRows, open_parquet_rows

ROWS = pa.table({"a": np.arange(1000), "b": [str(i) for i in range(1000)]})


@pytest.fixture(params=["file", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ParquetRows:
    """The rows in one file, or in parts, of several row groups."""
    if request.param == "file":
        pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=96)
        return open_parquet_rows(tmp_path / "rows.parquet")
    for number in range(3):
        part = ROWS.slice(number * 400, 400)
        pq.write_table(part, tmp_path / f"part-{number}.parquet", row_group_size=150)
    return open_parquet_rows(tmp_path)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (90, 410), (990, 2000), (0, 1000), (96, 192), (500, 500)])
def test_a_stretch_is_a_slice(place: ParquetRows, start: int, stop: int) -> None:
    found = place.rows_between(start, stop)
    assert place.num_rows == 1000 and found.equals(ROWS.slice(start, stop - start)) and found["a"].num_chunks <= 1


def test_few_row_groups_are_kept(place: ParquetRows) -> None:
    for start in (0, 900, 300, 0, 600):
        assert place.rows_between(start, start + 120).equals(ROWS.slice(start, 120))
        assert len(place._cached) <= 3


def test_places_and_columns(place: ParquetRows) -> None:
    places = np.array([0, 95, 96, 500, 999])
    assert place.take(places).equals(ROWS.take(pa.array(places)))
    assert place.column("b").to_pylist() == ROWS["b"].to_pylist()
