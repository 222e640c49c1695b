"""The layout of a CSV file: its separator and quotes, the lines above its header, and its columns."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

SEPARATORS = (",", ";", "\t", "|")
MOST_TITLE_LINES = 100
MIN_FULL_CELLS = 0.6  # of a header, of the cells that rows usually fill
MIN_SHARE_OF_ROWS = 0.5  # with the same number of columns; fewer: the separator is not one
MIN_SHARE_OF_VALUES = 0.8  # of a column, that are numbers or times
TOTAL = re.compile(
    r"\s*(grand |sub-?)?(totale?s?|sum|summe|gesamt(summe)?|zwischensumme|somme|suma|итого|всего"
    r"|合计|总计|小计|合計|総計)\b",
    re.IGNORECASE,
)
DIGITS, LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
SEVERAL_SORTS = re.compile(r"9[^9]|[^9]9|@")  # digits beside something else: ids, times, addresses
SURE_VALUE = re.compile(r"\d{3}|@")
VALUE = re.compile(r"\s*(?:[-+(€$£¥]?\s*\d[\d.,' ]*\s*[)€$£¥%]?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b.*)\s*")


@dataclass(frozen=True)
class CsvDialect:
    """How the columns of a line are separated and quoted; no quote: quotes are ordinary characters."""

    separator: str = ","
    quote: str = '"'
    escape: str = '"'

    def rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row of a text, with the number of lines up to its end; a blank line is a row without columns."""
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.separator,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            doublequote=self.escape == self.quote,
            escapechar=self.escape if self.escape not in ("", self.quote) else None,
        )
        for row in reader:
            yield reader.line_num, row


@dataclass(frozen=True)
class CsvLayout:
    """Where the columns of a CSV file are.

    Attributes:
        dialect: Its separator and quotes.
        columns: The names of all columns; those without a name are `column` with a number.
        unnamed: Those of the columns to which the header gives no name.
        skipped_rows: Rows before the data: title lines, blank lines, the header.
        skipped_lines: The lines of these rows.
        titles: Rows above the header that are not blank.
        has_header: Whether there is one; without, the columns have numbers.
        prefix: The text before the data.
    """

    dialect: CsvDialect
    columns: tuple[str, ...]
    unnamed: frozenset[str]
    skipped_rows: int
    skipped_lines: int
    titles: int
    has_header: bool
    prefix: str

    def fits(self, head: str) -> bool:
        """Whether another file begins with the same text, and its first rows have as many columns."""
        if not self.prefix or not head.startswith(self.prefix):
            return False
        following = itertools.islice(self.dialect.rows(head[len(self.prefix) :]), 3)
        return all(not row or len(row) == len(self.columns) for _, row in following)


def read_layout(head: str, complete: bool, expected: Collection[str] = ()) -> CsvLayout:
    r"""Find out the layout of a CSV file from its first lines.

    Args:
        head: The beginning of the file.
        complete: Whether it is all of the file; otherwise its last line may be cut off.
        expected: Names of columns that the file should have; they tell the header from titles.

    Returns:
        The layout.

    >>> layout = read_layout("Sales report;;\n\nid;day;paid\n1;2024-01-05;1,50\n2;2024-01-06;2,50\n", True)
    >>> layout.dialect.separator, layout.columns, layout.skipped_rows, layout.titles
    (';', ('id', 'day', 'paid'), 3, 1)
    """
    text = head if complete else head[: max(head.rfind("\n"), head.rfind("\r")) + 1] or head
    dialect, is_separated = _guess_dialect(text, expected)
    ends, rows = zip(*dialect.rows(text), strict=True)
    width = _usual_width([len(row) for row in rows]) if is_separated else 1
    position = _header_position(rows, width, expected)
    below = rows[position + 1 :]
    header = [cell.strip() for cell in rows[position]]
    has_header = bool(set(header) & set(expected)) or not _is_data(header, below)
    names = (_with_usual_width(header, width, below) if has_header else [""] * width) or [""]
    columns = _column_names(names)
    skipped_rows = position + has_header
    skipped_lines = ends[skipped_rows - 1] if skipped_rows else 0
    return CsvLayout(
        dialect,
        columns,
        frozenset(column for column, name in zip(columns, names, strict=True) if has_header and not name),
        skipped_rows,
        skipped_lines,
        sum(any(cell.strip() for cell in row) for row in rows[:position]),
        has_header,
        "".join(itertools.islice(io.StringIO(text, newline=""), skipped_lines)),
    )


def sample_rows(layout: CsvLayout, head: str, limit: int) -> list[list[str]]:
    """Return the first rows of the data that have all columns.

    Args:
        layout: The layout of a file.
        head: Its first lines.
        limit: How many rows.

    Returns:
        The cells of each.
    """
    rows = itertools.islice(layout.dialect.rows(head), layout.skipped_rows, layout.skipped_rows + limit)
    return [row for _, row in rows if len(row) == len(layout.columns)]


def total_rows(layout: CsvLayout, tail: str) -> tuple[tuple[str, ...], ...]:
    r"""Return the rows at the end of a file that are totals: at most half full, and called so.

    Args:
        layout: The layout of the file.
        tail: Its last lines, the first of which may be cut off.

    Returns:
        The cells of each.

    >>> layout = read_layout("id;day;paid\n1;2024-01-05;2\n2;2024-01-06;3\nTotal;;5\n;;\n", True)
    >>> total_rows(layout, "2;2024-01-06;3\nTotal;;5\n;;\n")
    (('Total', '', '5'),)
    """
    totals = []
    for _, row in reversed(list(layout.dialect.rows(tail))):
        filled = [cell for cell in row if cell.strip()]
        if len(row) != len(layout.columns) or len(filled) > 2 * len(row) / 3 or (filled and not _is_total(filled)):
            break
        if filled:
            totals.append(tuple(row))
    return tuple(totals)


def _is_total(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and bool(TOTAL.match(cells[0]))


def _guess_dialect(text: str, expected: Collection[str]) -> tuple[CsvDialect, bool]:
    """The separator and quotes with which most rows have the same number of columns; whether anything is separated."""
    scores = {separator: _score(CsvDialect(separator), text, expected) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: scores[separator])
    lines = [line for line in text.splitlines() if line.strip()]
    cells = [cell.strip() for line in lines for cell in line.split(best)]
    in_quotes = {q: sum(len(c) > 1 and c[0] == c[-1] == q for c in cells) for q in ("'", '"')}
    dialects = [CsvDialect(best)]
    if '\\"' in text:
        dialects.append(CsvDialect(best, '"', "\\"))
    if '"' in text and not in_quotes['"']:
        dialects.append(CsvDialect(best, "", ""))
    if "'" in text and not in_quotes['"'] and in_quotes["'"] >= len(lines) / 2:
        dialects.insert(0, CsvDialect(best, "'", "'"))
    return max(dialects, key=lambda dialect: _fitting_rows(dialect, text)), scores[best][1] > 0


def _fitting_rows(dialect: CsvDialect, text: str) -> int:
    """How many rows have the usual number of columns."""
    widths = [len(row) for _, row in dialect.rows(text)]
    return widths.count(_usual_width(widths))


def _score(dialect: CsvDialect, text: str, expected: Collection[str]) -> tuple[int, float]:
    """How well a separator fits: names of columns that it gives, then how many columns most rows have."""
    rows = [row for _, row in dialect.rows(text) if row]
    named = max((len(set(map(str.strip, row)) & set(expected)) for row in rows[:MOST_TITLE_LINES]), default=0)
    widths = [len(row) for row in rows]
    width = _usual_width(widths)
    if width < 2:
        return named, 0.0
    pairs = zip(widths, widths[1:] or [width], strict=False)
    start = next((i for i, pair in enumerate(pairs) if pair == (width, width)), widths.index(width))
    share = widths[start:].count(width) / len(widths[start:])
    if share < MIN_SHARE_OF_ROWS and widths[0] < 2:
        return named, 0.0
    return named, share * (0.7 if start else 1.0) * (1 + math.log2(width))


def _usual_width(widths: Sequence[int]) -> int:
    """The most common number of columns, of those above 1 if there are any; of equally common ones the first."""
    several = [width for width in widths if width > 1]
    counts = Counter(several or [width for width in widths if width])
    return counts.most_common(1)[0][0] if counts else 0


def _header_position(rows: Sequence[Sequence[str]], width: int, expected: Collection[str]) -> int:
    """The position of the header: the row with most of the expected names, or the first that is as full as the data."""
    beginning = rows[:MOST_TITLE_LINES]
    named = [len({cell.strip() for cell in row} & set(expected)) for row in beginning]
    if any(named):
        return named.index(max(named))
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    usual = median([n for n, row in zip(filled, rows, strict=True) if len(row) == width] or [1])
    full = [
        position
        for position, row in enumerate(beginning)
        if len(row) >= min(width, 2)
        and (filled[position] >= MIN_FULL_CELLS * usual or (position == 0 and filled[0] >= usual - 1 > 0))
    ]
    if not full:
        return next((i for i, count in enumerate(filled) if count), 0)
    first, below = full[0], rows[full[0] + 1 :]
    if len(_with_usual_width([cell.strip() for cell in rows[first]], width, below)) == width:
        return first
    others = (p for p in full[1:] if len(rows[p]) == width and not _is_data(rows[p], rows[p + 1 :]))
    return next(others, first)


def _is_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a row is like the rows below it: it has numbers or times where they do, or texts of the same form."""
    below = [row for row in rows if len(row) == len(header)]
    values, forms = list[bool](), list[tuple[str, bool]]()
    for i, cell in enumerate(header):
        cells = [row[i] for row in below if row[i].strip()]
        if cell.strip() and (not below or _are_mostly(map(_is_value, cells), len(cells))):
            values.append(_is_value(cell))
        form = Counter(map(_form, cells)).most_common(1)[0][0] if cells else ""
        if cell.strip() and SEVERAL_SORTS.search(form) and _are_mostly((_form(c) == form for c in cells), len(cells)):
            forms.append((cell, _form(cell) == form))
    return _are_of_rows(forms, values) or (any(values) and (not below or all(values)))


def _are_of_rows(forms: Sequence[tuple[str, bool]], values: Sequence[bool]) -> bool:
    """Whether cells are surely no names: a number or time as below it, or, beside no number, ids as below them."""
    if any(is_alike and _is_value(cell) for cell, is_alike in forms):
        return True
    sure = len(forms) > 1 or any(SURE_VALUE.search(cell) for cell, _ in forms)
    return sure and not values and all(is_alike for _, is_alike in forms)


def _are_mostly(facts: Iterable[bool], count: int) -> bool:
    return count > 0 and sum(facts) >= MIN_SHARE_OF_VALUES * count


def _form(cell: str) -> str:
    """How a cell is written: a run of digits as 9, one of letters as a.

    >>> _form("C-1042"), _form("5 Jan 2024")
    ('a-9', '9 a 9')
    """
    return LETTERS.sub("a", DIGITS.sub("9", cell.strip()))


def _is_value(cell: str) -> bool:
    return bool(VALUE.fullmatch(cell))


def _with_usual_width(header: list[str], width: int, rows: Sequence[Sequence[str]]) -> list[str]:
    """The header with as many columns as the rows, where the difference is only empty columns at the end."""
    extra = header[width:]
    if extra and not any(extra):
        return header[:width]
    missing = width - len(header)
    if missing > 0 and not any(cell.strip() for row in rows if len(row) == width for cell in row[len(header) :]):
        return header + [""] * missing
    return header


def _column_names(header: Sequence[str]) -> tuple[str, ...]:
    """Distinct names: one without a text is `column` with its number, a repeated one gets a number (as in DuckDB).

    >>> _column_names(["id", "", "ID", "id"])
    ('id', 'column1', 'ID_1', 'id_2')
    """
    digits, used, names = len(str(len(header))), Counter[str](), list[str]()
    for number, text in enumerate(header):
        name = text or f"column{number:0{digits}d}"
        while (repeats := used[name.casefold()]) > 0:
            used[name.casefold()] += 1
            name = f"{name}_{repeats}"
        used[name.casefold()] += 1
        names.append(name)
    return tuple(names)
