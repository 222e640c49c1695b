"""Data files: finding them, their format, and the encoding of their text."""

from __future__ import annotations

import codecs
import glob
import gzip
from pathlib import Path

from features.errors import DataError, EmptyError

FILE_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv"}


def find_files(source: str, folder: Path) -> list[Path]:
    """Return the files of a file, glob or folder, sorted.

    Raises:
        DataError: There are no files.
    """
    path = folder / Path(source).expanduser()
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if _suffix(f) in FILE_FORMATS)
    elif path.exists():
        files = [path]
    else:
        files = sorted(Path(f) for f in glob.glob(str(path), recursive=True))
    if not files:
        raise DataError(
            f"{source}: no such file, folder or glob (looked in {path.parent}); "
            "set [events] source to Parquet, CSV or CSV.gz, or to the URL of a database"
        )
    return files


def file_format(files: list[Path], source: str) -> str:
    """Return the format of files: 'parquet' or 'csv'.

    Raises:
        DataError: The files have another format or different formats.
        EmptyError: A file is empty.
    """
    kinds = {FILE_FORMATS.get(_suffix(f), f.suffix or "no extension") for f in files}
    if len(kinds) != 1 or not kinds <= set(FILE_FORMATS.values()):
        raise DataError(
            f"{source}: expected Parquet (.parquet) or CSV (.csv, .csv.gz, .tsv), all of one format, "
            f"found {', '.join(sorted(kinds))}"
        )
    empty = [f.name for f in files if f.stat().st_size == 0]
    if empty:
        raise EmptyError(f"{source}: {empty[0]} is empty (0 bytes); expected a table with a header and rows")
    return kinds.pop()


def require_utf8(files: list[Path]) -> None:
    """Check that CSV files are UTF-8, because DuckDB would drop other lines or fail.

    Raises:
        DataError: A file is not UTF-8; the message names the line.
    """
    for file in files:
        decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
        with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as problem:
                    line += problem.object[: problem.start].count(b"\n")
                    raise DataError(
                        f"{file.name}: line {line:,} is not UTF-8 (byte 0x{problem.object[problem.start]:02x}); "
                        f"if it is Latin-1, convert it: iconv -f latin1 -t utf-8"
                    ) from None
                line += chunk.count(b"\n")


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
