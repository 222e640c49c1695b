"""One column of a small file, such as a list of ids, read by the same rules as the files of tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import DataError, UsageError
from features.sources.csv_layout import read_layout
from features.sources.files import DAMAGE_ADVICE, data_format
from features.sources.text_files import read_text_file


def read_listed_values(path: Path, where: str, column: str) -> list[object]:
    """Read one column of a file into memory.

    Args:
        path: A CSV or Parquet file.
        where: The key of the config that names it, with its value, for messages.
        column: The column.

    Returns:
        Its values, in the order of the file: of CSV as text, '' where there is none; of Parquet as they are.

    Raises:
        DataError: The file is damaged, of another format, or a line does not have the columns of the header.
        UsageError: There is no such file or column.
    """
    if not path.is_file():
        raise UsageError(f"{where}: there is no such file; expected CSV or Parquet with a column {column}")
    if data_format(path.name) == "parquet":
        return _from_parquet(path, where, column)
    with tempfile.TemporaryDirectory(prefix="regulars-") as scratch:
        text = read_text_file(path, where, Path(scratch) / "text.csv")
        if text is None:
            return []
        content = text.read()
    layout = read_layout(text.head, text.complete, (column,))
    if column not in layout.columns:
        raise _no_column(where, column)
    position, values = layout.columns.index(column), list[object]()
    for number, (line, row) in enumerate(layout.dialect.rows(content)):
        if number < layout.skipped_rows or not any(map(str.strip, row)):
            continue
        if len(row) != len(layout.columns):
            raise DataError(
                f"{where}: line {line:,} has {len(row):,} columns, and the header {len(layout.columns):,} (a stray "
                "separator or quote?); repair it, since whoever is in it would be missed"
            )
        values.append(row[position])
    return values


def _from_parquet(path: Path, where: str, column: str) -> list[object]:
    try:
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise _no_column(where, column)
            return list(file.read(columns=[column])[column].to_pylist())
    except (pa.ArrowException, OSError) as problem:
        raise DataError(
            f"{where}: cannot be read as parquet: {str(problem).splitlines()[0]}; {DAMAGE_ADVICE}"
        ) from None


def _no_column(where: str, column: str) -> UsageError:
    """The error for a file without the column; it lists no other names, since they may be ids."""
    return UsageError(f"{where}: no column {column} can be read; expected CSV with a header, or Parquet")
