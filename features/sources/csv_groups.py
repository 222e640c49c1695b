"""CSV files of one layout, which DuckDB reads in one go: thousands of files need a few statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from features.sources.csv_layout import CsvLayout, read_layout, total_rows
from features.sources.files import escape_glob
from features.sources.text_files import TextFile
from features.sql_text import quote_name, quote_text

REMEMBERED_LAYOUTS = 20
KEPT_TEXTS = 20  # of a group, from whose first lines the types of columns are guessed


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, its layout, and the totals at its end."""

    text: TextFile
    layout: CsvLayout
    totals: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CsvGroup:
    """Files of one layout and compression.

    Attributes:
        files: At least one file.
        keys: The columns that the names of folders give, such as `day` in `day=2024-01-05/`.
    """

    files: tuple[CsvFile, ...]
    keys: tuple[str, ...]

    @property
    def layout(self) -> CsvLayout:
        """The layout of all files."""
        return self.files[0].layout

    def scan(self, rejects: str = "", limit: int = 0, file_column: str = "") -> str:
        """Return SQL that reads all columns of the files as text; DuckDB guesses nothing.

        Args:
            rejects: The table that records lines that do not fit, which are left out; empty: they are errors. (With
                `ignore_errors` DuckDB 1.5 leaves out good lines, too.)
            limit: How many lines a file are recorded at most; 0: all.
            file_column: Add a column of this name with the path of each row's file.

        Returns:
            The SQL.
        """
        options = f", filename={quote_text(file_column)}" if file_column else ""
        if rejects:
            options += f", store_rejects=true, rejects_table='{rejects}', rejects_scan='{rejects}_files'"
            options += f", rejects_limit={limit}"
        dialect = self.layout.dialect
        paths = ", ".join(quote_text(escape_glob(file.text.path)) for file in self.files)
        columns = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in self.layout.columns)
        arguments = (
            f"[{paths}], auto_detect=false, header=false, skip={self.layout.skipped_rows}, "
            f"delim={quote_text(dialect.separator)}, quote={quote_text(dialect.quote)}, "
            f"escape={quote_text(dialect.escape)}, columns={{{columns}}}, "
            f"compression='{self.files[0].text.compression}', "
            f"hive_partitioning={str(bool(self.keys)).lower()}{options}"
        )
        return f"(SELECT * FROM read_csv({arguments}){self._without_totals()})"  # noqa: S608 (quoted)

    def _without_totals(self) -> str:
        """SQL that leaves out totals at the ends of files; empty if there are none."""
        rows = {row for file in self.files for row in file.totals}
        if not rows:
            return ""
        alike = (
            " AND ".join(
                f"coalesce({quote_name(column)}, '') = {quote_text(cell)}"
                for column, cell in zip(self.layout.columns, row, strict=True)
            )
            for row in sorted(rows)
        )
        return f" WHERE NOT ({' OR '.join(f'({row})' for row in alike)})"

    def is_empty_row(self) -> str:
        """Return SQL that is true for a row without any value; most rows are known by their first column."""
        columns = [quote_name(column) for column in self.layout.columns]
        values = ", ".join(f"nullif(trim({column}), '')" for column in columns)
        first = columns[0]
        return f"CASE WHEN {first} IS NULL OR {first} < '!' THEN coalesce({values}) IS NULL ELSE false END"


def group_files(texts: Iterable[TextFile], keys: tuple[str, ...], expected: Collection[str]) -> list[CsvGroup]:
    """Group files of one layout and compression, in the order of the first file of each group.

    Args:
        texts: The files.
        keys: The columns that the names of their folders give.
        expected: Names of columns that the files should have.

    Returns:
        The groups.
    """
    groups: dict[object, list[CsvFile]] = {}
    known: list[CsvLayout] = []
    for text in texts:
        layout = next((one for one in known if one.fits(text.head)), None)
        if layout is None:
            layout = read_layout(text.head, text.complete, expected)
            known = [layout, *known[: REMEMBERED_LAYOUTS - 1]]
        alike = (layout.dialect, layout.columns, layout.unnamed, layout.skipped_rows, text.compression)
        files, totals = groups.setdefault(alike, []), total_rows(layout, text.tail)
        known_text = text if len(files) < KEPT_TEXTS else replace(text, head="")  # there may be thousands of them
        files.append(CsvFile(replace(known_text, tail=""), layout, totals))
    return [CsvGroup(tuple(files), keys) for files in groups.values()]
