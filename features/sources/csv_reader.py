"""Reads CSV files through DuckDB: each with its own layout, all with the same types, malformed lines counted by file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.errors import DataError
from features.sources.csv_counts import CsvCounts, confirm_types, count_files, guess_types
from features.sources.csv_groups import CsvGroup, group_files, quote_column, quote_text
from features.sources.csv_types import as_type
from features.sources.files import (
    FileRead,
    FilesRead,
    all_empty,
    display_name,
    distinct_files,
    name_files,
    partition_keys,
)
from features.sources.text_files import read_text_file

IGNORED = "regulars_ignored"  # where DuckDB records lines that were counted before: one a file and scan


@dataclass(frozen=True)
class CsvRows:
    """The rows of CSV files: SQL that selects them, and what is known about the files."""

    sql: str
    read: FilesRead


@dataclass(frozen=True)
class CsvPlace:
    """Where CSV files are read.

    Attributes:
        connection: DuckDB's, where the SQL will run.
        scratch: An empty folder for copies of files that DuckDB cannot read as they are.
        folder: The folder of the config, for names in messages.
    """

    connection: duckdb.DuckDBPyConnection
    scratch: Path
    folder: Path


def read_csv_files(
    paths: Sequence[Path], source: str, place: CsvPlace, expected: Collection[str] = (), file_column: str = ""
) -> CsvRows:
    """Read CSV files to their end, once, and return how their rows are selected.

    Args:
        paths: The files.
        source: What the config calls them.
        place: Where they are read.
        expected: Names of columns that the files should have; they tell headers from title lines.
        file_column: Add a column of this name with the file of each row.

    Returns:
        The rows and the files. Columns are united by name, and have one type in all files.

    Raises:
        DataError: A file is no CSV, is damaged, or cannot be read.
        EmptyError: All files are empty.
    """
    distinct, notes = distinct_files([path.absolute() for path in paths])
    names = [display_name(path, place.folder.absolute()) for path in distinct]
    texts = [
        read_text_file(path, name, place.scratch / f"text-{number}.csv")
        for number, (path, name) in enumerate(zip(distinct, names, strict=True))
    ]
    empty = [name for name, text in zip(names, texts, strict=True) if text is None]
    if len(empty) == len(texts):
        raise all_empty(source, names)
    notes += [f"{name_files(empty)} {'is' if len(empty) == 1 else 'are'} empty and not read"] if empty else []
    keys = partition_keys(distinct)
    groups = group_files([text for text in texts if text is not None], bool(keys), expected)
    guesses = guess_types(groups)
    try:
        counts = {name: each for group in groups for name, each in count_files(group, guesses, place.connection).items()}
        types = confirm_types(groups, guesses, counts, place.connection)
    except duckdb.Error as problem:
        raise DataError(_explanation(groups, source, place.connection, problem)) from None
    spelling = _spelling(groups, expected)
    parts = [_select(group, types, spelling, counts, keys, file_column) for group in groups]
    read = _files_read(source, groups, counts, (*notes, *_layout_notes(groups)))
    return CsvRows("\nUNION ALL BY NAME\n".join(parts), read)


def _spelling(groups: Sequence[CsvGroup], expected: Collection[str]) -> dict[str, str]:
    """How each column is spelled, by its name in lower case: as expected, or as in the first file."""
    names = [*expected, *(column for group in groups for column in group.layout.columns)]
    exact = {name for name in expected if any(name in group.layout.columns for group in groups)}
    return {name.casefold(): name for name in reversed(names) if name in exact or name not in expected}


def _select(
    group: CsvGroup,
    types: Mapping[str, str],
    spelling: Mapping[str, str],
    counts: Mapping[str, CsvCounts],
    keys: Sequence[str],
    file_column: str,
) -> str:
    """SQL that selects the rows of a group.

    Args:
        group: The files.
        types: The type of each column, in lower case.
        spelling: The name of each column, by that in lower case.
        counts: The counts by file.
        keys: The columns that the names of folders give.
        file_column: The name of a column for the file of each row, or empty.

    Returns:
        The SQL.
    """
    ignored = {*_empty_columns(group, counts), *(c for c in group.layout.columns if c in keys)}
    columns = [
        f"{as_type(quote_column(c), types[c.casefold()])} AS {quote_column(spelling[c.casefold()])}"
        for c in group.layout.columns
        if c not in ignored
    ]
    names = [*keys, file_column] if file_column else keys
    options = f"rejects_table='{IGNORED}', rejects_scan='{IGNORED}_files', rejects_limit=1"
    scan = group.scan(f"filename={quote_text(file_column)}, {options}" if file_column else options)
    has_empty = any(counts[file.text.name].empty for file in group.files)
    condition = f" WHERE NOT ({group.is_empty_row()})" if has_empty else ""
    return f"SELECT {', '.join([*columns, *map(quote_column, names)])} FROM {scan}{condition}"  # noqa: S608 (quoted)


def _empty_columns(group: CsvGroup, counts: Mapping[str, CsvCounts]) -> list[str]:
    """The columns without a name that are empty in all files of a group."""
    unnamed = group.layout.unnamed
    return [c for c in unnamed if not any(counts[file.text.name].values[c] for file in group.files)]


def _files_read(
    source: str, groups: Sequence[CsvGroup], counts: Mapping[str, CsvCounts], notes: tuple[str, ...]
) -> FilesRead:
    """What is known about the files, in the order of their names."""
    files = []
    for group in groups:
        ignored = set(_empty_columns(group, counts))
        columns = tuple(column for column in group.layout.columns if column not in ignored)
        for file in group.files:
            each = counts[file.text.name]
            files.append(FileRead(file.text.name, columns, each.rows - each.empty, each.malformed, each.line))
    return FilesRead(
        source,
        tuple(sorted(files, key=lambda file: file.name)),
        sum(each.empty for each in counts.values()),
        max(len(_empty_columns(group, counts)) for group in groups),
        notes,
    )


def _layout_notes(groups: Sequence[CsvGroup]) -> list[str]:
    """Notes on lines above headers, and on files without a header."""
    notes = []
    titled = [file for group in groups for file in group.files if file.layout.titles]
    if titled:
        lines = max(file.layout.titles for file in titled)
        what = "1 line" if lines == 1 else f"up to {lines} lines" if len(titled) > 1 else f"{lines} lines"
        notes.append(f"{what} above the header left out: {name_files([file.text.name for file in titled])}")
    bare = [file for group in groups for file in group.files if not file.layout.has_header]
    if bare:
        columns = ", ".join(bare[0].layout.columns[:2])
        notes.append(f"no header, so the columns are {columns} and so on: {name_files([f.text.name for f in bare])}")
    return notes


def _explanation(
    groups: Sequence[CsvGroup], source: str, connection: duckdb.DuckDBPyConnection, problem: duckdb.Error
) -> str:
    """Why files cannot be read, with the name of the first that cannot."""
    for file, group in ((file, group) for group in groups for file in group.files):
        alone = CsvGroup((file,), group.has_partitions)
        try:
            connection.execute(f"SELECT count(*) FROM {alone.scan('rejects_limit=1')}").fetchall()  # noqa: S608 (quoted)
        except duckdb.Error as why:
            return f"{file.text.name}: cannot be read as csv: {_first_line(why)}"
    return f"{source}: cannot be read as csv: {_first_line(problem)}"


def _first_line(problem: duckdb.Error) -> str:
    return str(problem).strip().splitlines()[0]
