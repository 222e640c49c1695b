"""Counts of the rows, malformed lines and types of CSV files: one pass over their rows, and a second only if needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from features.sources.csv_groups import CsvGroup
from features.sources.csv_layout import sample_rows
from features.sources.csv_types import (
    FLOAT,
    MAYBE_THOUSANDS,
    TEXT,
    common_type,
    counts_of_points,
    decide_type,
    detailed_counts,
    exceptions_test,
    guess_type,
)
from features.sources.text_files import count_blank_lines
from features.sql_text import quote_name

SAMPLED_ROWS = 200  # of a file, from which the types of columns are guessed; all rows confirm them
FILE, REJECTS = "regulars file", "regulars_rejects"


@dataclass(frozen=True)
class CsvCounts:
    """What one file holds.

    Attributes:
        rows: Rows that could be split into columns, empty ones included.
        empty: Rows without any value.
        malformed: Lines that could not be split into columns.
        line: The number of the first of them; 0 if it is not known.
        exceptions: By column, the values that may not be of the guessed type.
        values: By column without a name, its values.
    """

    rows: int = 0
    empty: int = 0
    malformed: int = 0
    line: int = 0
    exceptions: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)


def guess_types(groups: Sequence[CsvGroup]) -> dict[str, str]:
    """Return a type for each column (in lower case), from the first rows of some files; '' if these are blank."""
    guesses: dict[str, str] = {}
    for group in groups:
        files = [file for file in group.files if file.text.head]
        samples = ((file, row) for file in files for row in sample_rows(file.layout, file.text.head, SAMPLED_ROWS))
        rows = [row for file, row in samples if tuple(row) not in file.totals]
        for position, column in enumerate(map(str.casefold, group.layout.columns)):
            guess = guess_type(row[position] for row in rows)
            guesses[column] = common_type(guesses.get(column, ""), guess)
    return guesses


def count_files(
    group: CsvGroup, guesses: Mapping[str, str], ids: Collection[str], connection: duckdb.DuckDBPyConnection
) -> dict[str, CsvCounts]:
    """Read the files of a group to their end and count what they hold.

    Args:
        group: The files.
        guesses: The guessed type of each column, in lower case.
        ids: Columns, in lower case, that must keep how their values are written.
        connection: Where DuckDB runs.

    Returns:
        The counts by the name of each file.
    """
    tested = {c: guesses[c.casefold()] for c in group.layout.columns if guesses[c.casefold()] != TEXT}
    unnamed = [c for c in group.layout.columns if c in group.layout.unnamed]
    tests = [f"count_if({exceptions_test(quote_name(c), kind, c.casefold() in ids)})" for c, kind in tested.items()]
    filled = [f"count({quote_name(c)})" for c in unnamed]
    facts = ["count(*)", f"count_if({group.is_empty_row()})", *tests, *filled]
    by_path = _facts_by_file(group, facts, connection)
    rejected = _take_rejects(connection)
    counts = {}
    for file in group.files:
        rows, empty, *numbers = by_path.get(str(file.text.path), [0] * len(facts))
        exceptions = dict(zip(tested, numbers, strict=False))
        values = dict(zip(unnamed, numbers[len(tested) :], strict=True))
        malformed, line = rejected.get(str(file.text.path), (0, 0))
        counts[file.text.name] = CsvCounts(rows, empty, malformed, line, exceptions, values)
    return _with_lost_lines(group, counts, connection)


def _facts_by_file(
    group: CsvGroup, facts: Sequence[str], connection: duckdb.DuckDBPyConnection
) -> dict[str, list[Any]]:
    """SQL aggregates over the rows of each file, by path; a file without rows is not there."""
    scan = group.scan(REJECTS, file_column=FILE)
    sql = f"SELECT {quote_name(FILE)}, {', '.join(facts)} FROM {scan} GROUP BY 1"  # noqa: S608 (quoted)
    return {path: [number or 0 for number in numbers] for path, *numbers in connection.execute(sql).fetchall()}


def _take_rejects(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    """By path, how many lines of the last scan did not fit, and the number of the first; forgets them."""
    rows = connection.execute(
        f"SELECT file_path, count(DISTINCT line), min(line) FROM {REJECTS} "  # noqa: S608 (our own name)
        f"JOIN {REJECTS}_files USING (scan_id, file_id) GROUP BY 1"
    ).fetchall()
    drop_rejects(REJECTS, connection)
    return {path: (lines, first) for path, lines, first in rows}


def drop_rejects(table: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Forget the lines that did not fit, since they may hold personal values."""
    for name in (table, f"{table}_files"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")


def _with_lost_lines(
    group: CsvGroup, counts: dict[str, CsvCounts], connection: duckdb.DuckDBPyConnection
) -> dict[str, CsvCounts]:
    """The counts with the lines that an open quote swallowed: DuckDB records them as one line, and not in full.

    Lines that are neither rows nor recorded are blank, are parts of values with line breaks, or are lost.
    """
    remaining = {}
    for file in group.files:
        each = counts[file.text.name]
        lines = file.text.lines - file.layout.skipped_lines - len(file.totals) - each.rows
        if lines != each.malformed:
            remaining[file] = lines
    if not remaining:
        return counts
    breaks = [_line_breaks(quote_name(column)) for column in group.layout.columns]
    inside = _facts_by_file(replace(group, files=tuple(remaining)), [f"sum({' + '.join(breaks)})"], connection)
    _take_rejects(connection)
    for file, lines in remaining.items():
        blank = count_blank_lines(file.text, file.layout.skipped_lines)
        lost = lines - blank - int(inside.get(str(file.text.path), [0])[0])
        before = counts[file.text.name]
        counts[file.text.name] = replace(before, malformed=max(before.malformed, lost))
    return counts


def _line_breaks(column: str) -> str:
    feeds, returns = (f"length({column}) - length(replace({column}, chr({code}), ''))" for code in (10, 13))
    return f"coalesce(greatest({feeds}, {returns}), 0)"


def confirm_types(
    groups: Sequence[CsvGroup],
    guesses: Mapping[str, str],
    counts: Mapping[str, CsvCounts],
    ids: Collection[str],
    connection: duckdb.DuckDBPyConnection,
) -> dict[str, str]:
    """Return the type of each column (in lower case): the guess, if all values of all files are of it.

    Args:
        groups: All files.
        guesses: The guessed types.
        counts: The counts by the name of each file.
        ids: Columns, in lower case, that must keep how their values are written.
        connection: Where DuckDB runs.

    Returns:
        The types.
    """
    exceptions: Counter[str] = Counter()
    for each in counts.values():
        exceptions.update({column.casefold(): number for column, number in each.exceptions.items()})
    doubtful = {column for column, number in exceptions.items() if number}
    totals: dict[str, Counter[str]] = {column: Counter() for column in doubtful}
    for group in groups:
        columns = [c for c in group.layout.columns if c.casefold() in doubtful]
        facts = [(c.casefold(), *fact) for c in columns for fact in detailed_counts(quote_name(c)).items()]
        by_file = _facts_by_file(group, [sql for *_, sql in facts], connection) if facts else {}
        for numbers in by_file.values():
            for (column, name, _), number in zip(facts, numbers, strict=True):
                totals[column][name] += number
        if facts:
            _take_rejects(connection)
    decided = {column: decide_type(totals[column], column in ids) for column in doubtful}
    return {column: decided.get(column, guess or TEXT) for column, guess in guesses.items()}


def columns_of_thousands(
    groups: Sequence[CsvGroup], types: Mapping[str, str], connection: duckdb.DuckDBPyConnection
) -> frozenset[str]:
    """Return the columns of floats (in lower case) in which every point may separate thousands, as in 1.234.

    Args:
        groups: All files.
        types: The type of each column.
        connection: Where DuckDB runs.

    Returns:
        The columns; one other number with a point, such as 0.5, shows that points separate decimals.
    """
    likely = {column for column, kind in types.items() if kind == FLOAT} - _with_decimals(groups)
    thousands, others = Counter[str](), Counter[str]()
    for group in groups:
        columns = [c for c in group.layout.columns if c.casefold() in likely]
        facts = [fact for c in columns for fact in counts_of_points(quote_name(c))]
        by_file = _facts_by_file(group, facts, connection) if facts else {}
        for numbers in by_file.values():
            for i, column in enumerate(map(str.casefold, columns)):
                thousands[column] += numbers[2 * i]
                others[column] += numbers[2 * i + 1]
        if facts:
            _take_rejects(connection)
    return frozenset(column for column in likely if thousands[column] and not others[column])


def _with_decimals(groups: Sequence[CsvGroup]) -> set[str]:
    """The columns (in lower case) of which the first rows show that points separate decimals."""
    columns = set()
    for group in groups:
        for file in group.files:
            for row in sample_rows(file.layout, file.text.head, SAMPLED_ROWS):
                pairs = zip(group.layout.columns, row, strict=False)
                columns |= {c.casefold() for c, v in pairs if "." in v and not MAYBE_THOUSANDS.match(v.strip())}
    return columns
