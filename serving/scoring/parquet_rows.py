"""Rows that lie in Parquet in a known order, of which any stretch can be read without the rest."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CACHED_GROUPS = 2  # row groups in memory: a stretch may begin in one and end in the next


@dataclass(frozen=True)
class ParquetRows:
    """A Parquet file, or the parts of a folder in the order of their names.

    Attributes:
        groups: File and number of each row group.
        starts: The first row of each, and after the last one the number of rows.
    """

    groups: tuple[tuple[Path, int], ...]
    starts: tuple[int, ...]
    _cached: dict[int, pa.Table] = field(default_factory=dict, repr=False)

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return self.starts[-1]

    def rows_between(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` up to `stop`, as far as they go; equal rows make equal tables, however they lie."""
        first = min(bisect_right(self.starts, start), len(self.groups)) - 1
        last = first
        pieces: list[pa.Table] = []
        while last < len(self.groups) and (self.starts[last] < stop or not pieces):
            offset = max(start - self.starts[last], 0)
            pieces.append(self._group(last).slice(offset, max(stop - self.starts[last] - offset, 0)))
            last += 1
        return pa.concat_tables(pieces).combine_chunks()

    def take(self, places: np.ndarray) -> pa.Table:
        """The rows at ascending places."""
        pieces: list[pa.Table] = []
        for number, start in enumerate(self.starts[:-1]):
            inside = places[(places >= start) & (places < self.starts[number + 1])]
            if len(inside) or not pieces:
                pieces.append(self._group(number).take(pa.array(inside - start)))
        return pa.concat_tables(pieces).combine_chunks()

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows."""
        return pa.chunked_array(
            [chunk for file, number in self.groups for chunk in _read(file, number, [name])[name].chunks]
        )

    def _group(self, number: int) -> pa.Table:
        if number not in self._cached:
            for old in sorted(self._cached)[: max(len(self._cached) - CACHED_GROUPS + 1, 0)]:
                del self._cached[old]
            self._cached[number] = _read(*self.groups[number])
        return self._cached[number]


def open_parquet_rows(place: Path) -> ParquetRows:
    """The rows of a Parquet file or of a folder of parts."""
    groups: list[tuple[Path, int]] = []
    starts = [0]
    for file in parquet_files(place):
        metadata = pq.read_metadata(file)
        for number in range(max(metadata.num_row_groups, 0)):
            groups.append((file, number))
            starts.append(starts[-1] + metadata.row_group(number).num_rows)
    return ParquetRows(tuple(groups), tuple(starts))


def parquet_files(place: Path) -> list[Path]:
    """The Parquet files behind a place, in order."""
    return sorted(place.glob("*.parquet")) if place.is_dir() else [place]


def _read(file: Path, number: int, columns: list[str] | None = None) -> pa.Table:
    with pq.ParquetFile(file) as opened:
        return opened.read_row_group(number, columns)
