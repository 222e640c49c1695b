"""Reads any range of rows from Parquet files without reading the rest."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CACHED_GROUPS = 2  # row groups kept in memory: a range may begin in one and end in the next


@dataclass(frozen=True)
class ParquetRows:
    """The rows of a Parquet file, or of a folder's part files in the order of their names.

    Attributes:
        groups: File and number of each row group.
        starts: The first row of each row group, and at the end the number of all rows.
    """

    groups: tuple[tuple[Path, int], ...]
    starts: tuple[int, ...]
    _cached: dict[int, pa.Table] = field(default_factory=dict, repr=False)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self.starts[-1]

    def rows_between(self, start: int, stop: int) -> pa.Table:
        """Return the rows [start, stop), or fewer at the end; the result does not depend on how files are cut."""
        first = min(bisect_right(self.starts, start), len(self.groups)) - 1
        last = first
        pieces: list[pa.Table] = []
        while last < len(self.groups) and (self.starts[last] < stop or not pieces):
            offset = max(start - self.starts[last], 0)
            pieces.append(self._group(last).slice(offset, max(stop - self.starts[last] - offset, 0)))
            last += 1
        return pa.concat_tables(pieces).combine_chunks()

    def take(self, rows: np.ndarray) -> pa.Table:
        """Return the rows at ascending row numbers."""
        pieces: list[pa.Table] = []
        for number, start in enumerate(self.starts[:-1]):
            in_group = rows[(rows >= start) & (rows < self.starts[number + 1])]
            if len(in_group) or not pieces:
                pieces.append(self._group(number).take(pa.array(in_group - start)))
        return pa.concat_tables(pieces).combine_chunks()

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column of all rows."""
        return pa.chunked_array(
            [chunk for file, number in self.groups for chunk in _read_group(file, number, [name])[name].chunks]
        )

    def _group(self, number: int) -> pa.Table:
        if number not in self._cached:
            for old in sorted(self._cached)[: max(len(self._cached) - CACHED_GROUPS + 1, 0)]:
                del self._cached[old]
            self._cached[number] = _read_group(*self.groups[number])
        return self._cached[number]


def open_parquet_rows(path: Path) -> ParquetRows:
    """Open a Parquet file or a folder of part files; reads only their metadata."""
    groups: list[tuple[Path, int]] = []
    starts = [0]
    for file in parquet_paths(path):
        metadata = pq.read_metadata(file)
        for number in range(max(metadata.num_row_groups, 0)):
            groups.append((file, number))
            starts.append(starts[-1] + metadata.row_group(number).num_rows)
    return ParquetRows(tuple(groups), tuple(starts))


def parquet_paths(path: Path) -> list[Path]:
    """Return the Parquet files of a path, in order: the file itself, or the files of the folder."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _read_group(file: Path, number: int, columns: list[str] | None = None) -> pa.Table:
    with pq.ParquetFile(file) as opened:
        return opened.read_row_group(number, columns)
