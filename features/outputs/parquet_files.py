"""Parquet files of the output: read whole or by row groups, and one message if a file is missing or damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import DataError
from features.outputs.manifests import rewriting_advice
from features.storage.json_files import file_digest


@contextmanager
def open_parquet(path: Path, columns: Sequence[str] = (), sha256: str = "") -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file of the output for a block of reading.

    Args:
        path: The file.
        columns: Columns that it must have.
        sha256: The checksum that its manifest records; empty: none is recorded.

    Yields:
        The file.

    Raises:
        DataError: It is missing, damaged, was changed, or lacks a column.
    """
    try:
        if sha256 and file_digest(path) != sha256:
            raise DataError(_message(path, "is not the file that was written: its checksum differs"))
        with pq.ParquetFile(path) as file:
            if missing := [name for name in columns if name not in file.schema_arrow.names]:
                raise DataError(_message(path, f"has no column {', '.join(missing)}: another version wrote it"))
            yield file
    except FileNotFoundError:
        raise DataError(_message(path, "is missing")) from None
    except (pa.ArrowException, OSError):
        raise DataError(_message(path, "is not a complete Parquet file")) from None


def read_parquet(path: Path, columns: Sequence[str] | None = None, sha256: str = "") -> pa.Table:
    """Reads a Parquet file of the output.

    Args:
        path: The file.
        columns: Which columns, which must be there; None: all.
        sha256: The checksum that its manifest records; empty: none is recorded.

    Returns:
        The rows.

    Raises:
        DataError: It is missing, damaged, was changed, or lacks a column.
    """
    with open_parquet(path, columns or (), sha256) as file:
        return file.read(None if columns is None else list(columns))


def _message(path: Path, problem: str) -> str:
    return f"{path} {problem}; {rewriting_advice(path)}"
