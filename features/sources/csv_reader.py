"""Reads CSV files through DuckDB: each with its own layout, all with the same types; counts malformed lines by file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from features.errors import DataError
from features.sources.csv_counts import CsvCounts, columns_of_thousands, confirm_types, count_files, guess_types
from features.sources.csv_groups import CsvGroup, group_files
from features.sources.csv_types import TEXT, as_type
from features.sources.files import (
    FileRead,
    FilesRead,
    all_empty,
    display_name,
    distinct_files,
    name_files,
    partition_keys,
)
from features.sources.text_files import TextFile, read_text_file
from features.sql_text import quote_name, quote_text
from features.storage.system_errors import explain_system_error

IGNORED = "regulars_ignored"  # where scans of files with malformed lines record one of them; to be dropped after each


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


@dataclass(frozen=True)
class CsvColumns:
    """What is wanted of the columns of CSV files.

    Attributes:
        expected: Names of columns that the files should have; they tell headers from title lines.
        as_written: Columns of ids, which stay text if a number would not keep how they are written.
        file: The name of a column to add, with the file of each row; empty: none.
    """

    expected: Collection[str] = ()
    as_written: Collection[str] = ()
    file: str = ""


def read_csv_files(
    paths: Sequence[Path],
    source: str,
    place: CsvPlace,
    columns: CsvColumns = CsvColumns(),  # noqa: B008 (frozen)
) -> CsvRows:
    """Read CSV files to their end, once, and return how their rows are selected.

    Args:
        paths: The files.
        source: What the config calls them.
        place: Where they are read.
        columns: What is wanted of their columns.

    Returns:
        The rows and the files. Columns are united by name, and have one type in all files.

    Raises:
        DataError: A file is no CSV, is damaged, or cannot be read.
        EmptyError: All files are empty.
    """
    distinct, notes = distinct_files([path.absolute() for path in paths])
    names = [display_name(path, place.folder.absolute()) for path in distinct]
    empty = list[str]()
    texts = _filled_texts(zip(distinct, names, strict=True), place.scratch, empty)
    groups = group_files(texts, partition_keys(distinct), columns.expected)
    if not groups:
        raise all_empty(source, names)
    notes += [f"{name_files(empty)} {'is' if len(empty) == 1 else 'are'} empty and not read"] if empty else []
    guesses = guess_types(groups)
    ids = frozenset(map(str.casefold, columns.as_written))
    try:
        counts = {
            name: each for group in groups for name, each in count_files(group, guesses, ids, place.connection).items()
        }
        types = confirm_types(groups, guesses, counts, ids, place.connection)
        thousands = columns_of_thousands(groups, types, place.connection)
    except duckdb.Error as problem:
        raise DataError(_explanation(groups, source, place.connection, problem)) from None
    spelling = _spelling(groups, columns.expected)
    types |= dict.fromkeys(thousands, TEXT)
    parts = [_select(group, types, spelling, counts, columns.file) for group in groups]
    read = _files_read(source, groups, counts, (*notes, *_layout_notes(groups)))
    spelled = tuple(sorted(spelling[column] for column in thousands))
    return CsvRows("\nUNION ALL BY NAME\n".join(parts), replace(read, thousands=spelled))


def _filled_texts(files: Iterable[tuple[Path, str]], scratch: Path, empty: list[str]) -> Iterator[TextFile]:
    """Each file that is not empty, when it is asked for; adds the names of the others to `empty`."""
    for number, (path, name) in enumerate(files):
        text = read_text_file(path, name, scratch / f"text-{number}.csv")
        if text is None:
            empty.append(name)
        else:
            yield text


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
    file_column: str,
) -> str:
    """SQL that selects the rows of a group.

    Args:
        group: The files.
        types: The type of each column, in lower case.
        spelling: The name of each column, by that in lower case.
        counts: The counts by file.
        file_column: The name of a column for the file of each row, or empty.

    Returns:
        The SQL.
    """
    ignored = {*_empty_columns(group, counts), *(c for c in group.layout.columns if c in group.keys)}
    columns = [
        f"{as_type(quote_name(c), types[c.casefold()])} AS {quote_name(spelling[c.casefold()])}"
        for c in group.layout.columns
        if c not in ignored
    ]
    columns += map(quote_name, group.keys)
    if file_column:
        columns.append(_original_file(group, file_column))
    is_malformed = any(counts[file.text.name].malformed for file in group.files)
    scan = group.scan(IGNORED if is_malformed else "", 1, file_column)
    has_empty = any(counts[file.text.name].empty for file in group.files)
    condition = f" WHERE NOT ({group.is_empty_row()})" if has_empty else ""
    return f"SELECT {', '.join(columns)} FROM {scan}{condition}"  # noqa: S608 (quoted)


def _original_file(group: CsvGroup, column: str) -> str:
    """SQL of the column with the file of each row; a copy stands for the file that it was made from."""
    name = quote_name(column)
    copies = [file.text for file in group.files if file.text.path != file.text.origin]
    cases = " ".join(f"WHEN {quote_text(str(text.path))} THEN {quote_text(str(text.origin))}" for text in copies)
    return f"CASE {name} {cases} ELSE {name} END AS {name}" if copies else name


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
        columns = tuple(column for column in (*group.layout.columns, *group.keys) if column not in ignored)
        for file in group.files:
            each = counts[file.text.name]
            files.append(FileRead(file.text.name, columns, each.rows - each.empty, each.malformed, each.line))
    return FilesRead(
        source,
        tuple(sorted(files, key=lambda file: file.name)),
        sum(each.empty for each in counts.values()),
        max(len(_empty_columns(group, counts)) for group in groups),
        sum(len(file.totals) for group in groups for file in group.files),
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
    if summed := [file.text.name for group in groups for file in group.files if file.totals]:
        notes.append(f"totals at the end left out: {name_files(summed)}")
    bare = [file for group in groups for file in group.files if not file.layout.has_header]
    if bare:
        columns = ", ".join(bare[0].layout.columns[:2])
        notes.append(f"no header, so the columns are {columns} and so on: {name_files([f.text.name for f in bare])}")
    return notes


def _explanation(
    groups: Sequence[CsvGroup], source: str, connection: duckdb.DuckDBPyConnection, problem: duckdb.Error
) -> str:
    """Why files cannot be read, with the name of the first that cannot."""
    if known := explain_system_error(problem):
        return f"{source}: {known}"
    for file, keys in [(file, group.keys) for group in groups for file in group.files]:
        alone = CsvGroup((file,), keys)
        try:
            connection.execute(f"SELECT count(*) FROM {alone.scan(IGNORED, 1)}").fetchall()  # noqa: S608 (quoted)
        except duckdb.Error as why:
            return f"{file.text.name}: cannot be read as csv: {_first_line(why)}"
    return f"{source}: cannot be read as csv: {_first_line(problem)}"


def _first_line(problem: duckdb.Error) -> str:
    return str(problem).strip().splitlines()[0]
