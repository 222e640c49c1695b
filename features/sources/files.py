"""Data files: finding them, their format, and what reading them left out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from features.errors import DataError, EmptyError, sample
from features.sources.source import Source, describe_columns
from features.storage.user_paths import user_path

FILE_FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
}  # fmt: skip
OTHER_FORMATS = {
    frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"}): "save the sheet as CSV (UTF-8)",
    frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".zst"}): "unpack it first",
    frozenset({".txt", ".dat", ".tab", ".gz"}): "if it is a table with a header, rename it to .csv or .csv.gz",
    frozenset({".json", ".jsonl", ".ndjson"}): (
        "convert it once: duckdb -c \"COPY (FROM read_json_auto('FILE')) TO 'log.parquet'\""
    ),
}
FOLDERS_OF_OTHER_PROGRAMS = ("_temporary", "_delta_log")  # which Spark keeps beside its Parquet files
SIDE_FILES = re.compile(r"_.*|.*\.(crc|md|toml|sql|py|sh|log)", re.IGNORECASE)  # of no interest in a folder of data
MOST_NAMED = 3
DAMAGE_ADVICE = "write or copy it again"  # what to do about a damaged file
NUMBERED_COLUMN = re.compile(r"column0+")  # the first, of a CSV file without a header
SELECT_ALL = "SELECT * FROM source"
PARTITION = re.compile(r"([^=/\\]+)=[^/\\]*")


@dataclass(frozen=True)
class FileRead:
    """One file as it was read.

    Attributes:
        name: The file, relative to the config.
        columns: The names of its columns.
        rows: The rows that could be split into columns, without empty ones.
        malformed: Lines that could not.
        line: The number of the first of them; 0 if it is not known.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    malformed: int = 0
    line: int = 0

    @property
    def malformed_text(self) -> str:
        """The malformed lines in words.

        >>> FileRead("in/feb.csv", ("id",), 9, 1, 4).malformed_text
        'in/feb.csv (1 of 10, line 4)'
        """
        where = f", {'line' if self.malformed == 1 else 'the first is line'} {self.line:,}" if self.line else ""
        return f"{self.name} ({self.malformed:,} of {self.malformed + self.rows:,}{where})"


@dataclass(frozen=True)
class FilesRead:
    """The files that were read as one table.

    Attributes:
        source: The file, folder or glob.
        files: Each file.
        empty_rows: Rows without any value, which were ignored.
        empty_columns: Columns without a name and without any value, which were ignored.
        totals: Rows of totals at the ends of files, which were left out.
        notes: What else was ignored.
        thousands: Columns of CSV files in which every point may separate thousands, as in 1.234; they are text.
    """

    source: str
    files: tuple[FileRead, ...]
    empty_rows: int = 0
    empty_columns: int = 0
    totals: int = 0
    notes: tuple[str, ...] = ()
    thousands: tuple[str, ...] = ()

    @property
    def malformed(self) -> int:
        """The number of malformed lines of all files."""
        return sum(file.malformed for file in self.files)

    @property
    def rows(self) -> int:
        """The number of rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def malformed_text(self) -> str:
        """The files with malformed lines in words, the worst first; empty if there are none."""
        worst = sorted((f for f in self.files if f.malformed), key=lambda f: (-f.malformed, f.name))
        return name_files([file.malformed_text for file in worst])


def find_files(source: str, folder: Path) -> list[Path]:
    """Return the files of a file, glob or folder, sorted; a folder that a glob names stands for the files in it.

    Raises:
        DataError: There are no files.
    """
    path = user_path(source, folder)
    if path.is_dir():
        files = sorted(_data_files(path))
    elif os.path.lexists(path):
        files = [path]
    else:
        matches = (Path(match) for match in glob.glob(str(path), recursive=True))
        files = sorted({file for match in matches for file in (_data_files(match) if match.is_dir() else [match])})
    if not files:
        raise DataError(
            f"{source}: no such file, folder or glob (looked in {path.parent}); expected Parquet, CSV or CSV.gz, by a "
            "path relative to the config (or, as source, the URL of a database)"
        )
    return files


def _data_files(folder: Path) -> Iterator[Path]:
    """The data files in a folder and its folders, whether these are links or not; hidden ones are left out."""
    return (file for file in _files_below(folder) if _suffix(file) in FILE_FORMATS)


def _files_below(folder: Path) -> Iterator[Path]:
    visited = set[str]()
    for place, folders, files in os.walk(folder, followlinks=True):
        known = os.path.realpath(place) in visited
        visited.add(os.path.realpath(place))
        folders[:] = [] if known else [f for f in folders if f[0] != "." and f not in FOLDERS_OF_OTHER_PROGRAMS]
        yield from (Path(place, file) for file in files if file[0] != "." and not known)


def files_not_read(source: str, folder: Path) -> list[str]:
    """Return the names of files in a folder that have none of our formats; none for a file or a glob."""
    path = user_path(source, folder)
    others = (f for f in _files_below(path) if _suffix(f) not in FILE_FORMATS) if path.is_dir() else ()
    return sorted(file.name for file in others if not SIDE_FILES.fullmatch(file.name))


def note_files_not_read(source: str, folder: Path, read: FilesRead) -> FilesRead:
    """Return what is known about files, with a note on those in their folder that have none of our formats.

    Args:
        source: The file, folder or glob.
        folder: The folder of the config.
        read: What is known about the files of our formats.

    Returns:
        The same, with the note if there are others.
    """
    others = files_not_read(source, folder)
    note = (
        f"{name_files(others)} in {source}: not read, since {'it is' if len(others) == 1 else 'they are'} neither CSV"
    )
    return replace(read, notes=(*read.notes, f"{note} nor Parquet")) if others else read


def distinct_files(files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return files without links to others of them, and a note on each link that is left out."""
    by_target = dict[str, Path]()
    for file in sorted(files, key=lambda f: (f.is_symlink(), f)):
        by_target.setdefault(os.path.realpath(file), file)
    kept = set(by_target.values())
    links = [f for f in files if f not in kept]
    notes = [f"{f.name} is a link to {by_target[os.path.realpath(f)].name}, which is read once" for f in links]
    return [file for file in files if file in kept], notes


def display_name(file: Path, folder: Path) -> str:
    """Return the name of a file for messages: relative to the folder of the config if it lies there."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)


def data_format(path: str) -> str:
    """Return the format of a file, by its name: 'parquet' or 'csv'; '' if it is another.

    >>> data_format("in/2024.CSV.gz"), data_format("notes.txt")
    ('csv', '')
    """
    return FILE_FORMATS.get(_suffix(Path(path)), "")


def name_files(names: Sequence[str]) -> str:
    """Return the first few names of files as text.

    >>> name_files(["a.csv", "b.csv", "c.csv", "d.csv", "e.csv"])
    'a.csv, b.csv, c.csv and 2 more files'
    """
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more file{'s' if more > 1 else ''}" if more > 0 else "")


def file_format(files: Sequence[Path], source: str) -> str:
    """Return the format of files: 'parquet' or 'csv'.

    Raises:
        DataError: The files have another format or different formats, or one of them is no file.
        EmptyError: The only file is empty.
    """
    for file in files:
        _require_regular(file, source)
    examples = {FILE_FORMATS.get(_suffix(f), f.suffix or "no extension"): f.name for f in reversed(files)}
    if len(examples) != 1 or not examples.keys() <= set(FILE_FORMATS.values()):
        kinds = ", ".join(sorted(examples))
        names = f" ({', '.join(examples[kind] for kind in sorted(examples))})" if len(files) > 1 else ""
        raise DataError(
            f"{source}: expected Parquet (.parquet) or CSV (.csv, .csv.gz, .tsv), all of one format, "
            f"found {kinds}{names}{_advice_on(examples)}"
        )
    return next(iter(examples))


def _advice_on(kinds: Collection[str]) -> str:
    """What to do about files of another format; empty if it is of a kind that we do not know."""
    for suffixes, advice in OTHER_FORMATS.items():
        if len(kinds) == 1 and not suffixes.isdisjoint(kinds):
            return f"; {advice}"
    return ""


def _require_regular(file: Path, source: str) -> None:
    """Refuse what is no file that can be read.

    Raises:
        DataError: It is a link to nothing, a device or a pipe.
    """
    if file.is_symlink() and not file.exists():
        raise DataError(
            f"{source}: {file.name} is a link to {os.readlink(file)}, which is not there; restore it or remove the link"
        )
    if not file.exists():
        raise DataError(f"{source}: {file.name} is not there any more; was it moved while it was read? Run this again")
    if not file.is_file():
        raise DataError(f"{source}: {file.name} is not a regular file; expected Parquet or CSV")


def all_empty(source: str, files: Sequence[str]) -> EmptyError:
    """Return the error for files that are all empty."""
    which = f"{files[0]} is empty" if len(files) == 1 else f"all {len(files):,} files are empty"
    return EmptyError(f"{source}: {which} (0 bytes); expected a table with a header and rows")


def partition_keys(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the columns that the names of folders give, as `day` in `day=2024-01-05/`, if all files have the same.

    >>> partition_keys([Path("log/year=2024/a.csv"), Path("log/year=2025/b.csv")]), partition_keys([Path("log/a.csv")])
    (('year',), ())
    """
    keys = {tuple(m[1] for part in file.parent.parts if (m := PARTITION.fullmatch(part))) for file in files}
    return keys.pop() if len(keys) == 1 else ()


def escape_glob(path: Path) -> str:
    """Return a path in which DuckDB finds no glob.

    >>> escape_glob(Path("orders [1]*.csv"))
    'orders [[]1][*].csv'
    """
    return re.sub(r"([*?[])", r"[\1]", str(path))


def require_columns_of_files(source: Source, roles: Mapping[str, str], read: FilesRead) -> None:
    """Check that each file has the columns that a section names. What no file has is not checked here.

    Args:
        source: The section's source.
        roles: The named columns by role.
        read: The files.

    Raises:
        DataError: Some of the files lack a named column, which others have.
    """
    for role, lacking, example in _missing_columns(roles, read):
        column, file = roles[role], lacking[0]
        others = f" and {len(lacking) - 1:,} more files" if len(lacking) > 1 else ""
        hint = describe_columns(column, file.columns)
        if NUMBERED_COLUMN.fullmatch(file.columns[0]):
            hint = "it seems to have no header"
        raise DataError(
            f"{source.source}: {file.name}{others} of {len(read.files):,} files: no column {column!r} "
            f"([{source.section}] {role}), which {example} has; {hint}. Add it; or allow it to be missing, with "
            f"[{source.section}] query = {SELECT_ALL!r}"
        )


def missing_column_notes(roles: Mapping[str, str], read: FilesRead) -> list[str]:
    """Return a note for each named column that only some of the files have."""
    return [
        f"{sample([file.name for file in lacking], MOST_NAMED)} of {len(read.files):,} files: no column "
        f"{roles[role]!r}, so it is null in their rows"
        for role, lacking, _ in _missing_columns(roles, read)
    ]


def _missing_columns(roles: Mapping[str, str], read: FilesRead) -> Iterator[tuple[str, list[FileRead], str]]:
    """The roles whose column only some files have, with those that lack it and one that has it."""
    folded: dict[tuple[str, ...], set[str]] = {}
    for file in read.files:
        folded.setdefault(file.columns, {name.casefold() for name in file.columns})
    for role, column in roles.items():
        lacking = [f for f in read.files if column and column.casefold() not in folded[f.columns]]
        if lacking and len(lacking) < len(read.files):
            missing = {f.name for f in lacking}
            yield role, lacking, next(f.name for f in read.files if f.name not in missing)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
