"""The interface of an engine: reading tables, running Ibis expressions and storing intermediate tables."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa

from features.config.load import EngineConfig
from features.config.table_sections import number_columns
from features.engines.window_spec import WindowSpec
from features.errors import UsageError
from features.sources.files import FilesRead, missing_column_notes, require_columns_of_files
from features.sources.source import Source, require_personal
from features.sql_text import quote_name
from features.storage.user_paths import user_path

# Engines differ in what they call blank, so patterns say it: \x09 to \x0d are tab, line feed, vertical tab, form feed
# and carriage return.
ASCII_BLANK = r"[\x09-\x0d ]*"
NOT_BLANK = r"[^\x09-\x0d ]"
CONVERSION_ERRORS = ("Conversion Error", "CAST_INVALID_INPUT", "CANNOT_PARSE")
HASH_DIGITS = 8  # of an MD5, by which customers are sampled
MEMORY_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", re.IGNORECASE)
MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
QUOTED_VALUE = r"""'[^']*'|"[^"]*\""""


class Engine(Protocol):
    """Reads tables, runs expressions, stores intermediate tables by name, and returns or writes rows.

    A stored table is never replaced: if its name was used before, the new table gets a number behind the name. So an
    expression always reads the rows that it was built on.

    Attributes:
        writes_folders: Whether `write_parquet` writes a folder of part files instead of one file.
        files_read: The files of the last section that was read, one entry for each table; empty for a database.
    """

    writes_folders: bool
    files_read: list[FilesRead]

    def read_source(
        self,
        source: Source,
        folder: Path,
        columns: Mapping[str, str] = MappingProxyType({}),
        ids: Sequence[str] = (),
        all_columns: bool = False,
        file_column: str = "",
    ) -> ibis.Table:
        """Read the rows of a section of the config and apply its query.

        Args:
            source: Where the section's rows are.
            folder: The folder of the config; paths are relative to it.
            columns: The named columns by role. Each file must have them if there is no query.
            ids: Columns of ids, which keep all their digits.
            all_columns: Read all columns of a database, not only the named ones (or all, if none is named).
            file_column: Add a column of this name with the file of each row, where rows come from files.

        Returns:
            The rows, without personal columns. `files_read` says which files were read.

        Raises:
            DataError: The files are missing, lack a column that others have, or cannot be read.
            UsageError: A table or column is missing, or the query is not valid.
        """

    def read_files(
        self,
        source: str,
        folder: Path,
        expected: Collection[str] = (),
        as_written: Sequence[str] = (),
        file_column: str = "",
    ) -> ibis.Table:
        """Read a table from files, and add it to `files_read`.

        Args:
            source: A file, glob or folder, relative to `folder`.
            folder: The folder of the config.
            expected: Names of columns that the files should have; they tell headers from title lines.
            as_written: Columns of ids, which stay text in CSV if a number would not keep how they are written.
            file_column: Add a column of this name with the file of each row.

        Returns:
            The rows of all files.

        Raises:
            DataError: There are no files, or they cannot be read.
        """

    def apply_query(self, table: ibis.Table, source: Source, folder: Path) -> ibis.Table:
        """Run the query of a section over its table.

        Args:
            table: The table, which the SQL calls `source`.
            source: The section, with its query: one SELECT in the engine's dialect.
            folder: The folder of the config; paths in the query are relative to it.

        Returns:
            The rows that the query selects.

        Raises:
            DataError: A file that the query names cannot be read.
            UsageError: The SQL is not valid, or more than one SELECT.
        """

    def temporary_stages(self) -> AbstractContextManager[None]:
        """At the end of the block, drop the tables that were stored in it; expressions on them end with the block."""

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Run an expression once, store its rows under a name, and return the stored table."""

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Store a small Arrow table under a name and return the stored table."""

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Apply a Python function to batches of an expression's rows, and store its output.

        Args:
            expr: The input rows.
            function: From a batch of rows to any number of rows. Each output row depends on one input row only, because
                the size and the order of batches are not defined. It is a module-level function, with further arguments
                bound by `functools.partial`, so that another process can call it.
            schema: The schema of the output; columns are cast and ordered to it.
            name: The name of the stored table.

        Returns:
            The stored table.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """

    def aggregate_windows(self, rows: ibis.Table, spec: WindowSpec, name: str) -> ibis.Table:
        """Aggregate measures over windows of the past and store them.

        Args:
            rows: Event-like rows as `window_aggregate.aggregate_by_window` takes them.
            spec: The cutoffs, the spans and the measures.
            name: The name of the stored table.

        Returns:
            The stored table, with the columns of `spec.schema`.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Run an expression and return its rows."""

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Run an expression and write its rows as Parquet to a file or an empty folder, without collecting them."""

    def count_rows(self, table: ibis.Table) -> int:
        """Return the number of rows of an expression."""

    def fingerprint(self, table: ibis.Table) -> str:
        """Return a text that changes if any row of a stored table changes; engines return different texts."""

    def fingerprints_by_day(self, table: ibis.Table, column: str) -> list[tuple[date | None, str]]:
        """Return a text as `fingerprint` does for the rows of each day in a date column."""

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Hash texts with a key (`features.keyed_hash`). The key appears in no SQL, plan, log or message."""

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in local time of `zone` to a naive timestamp in UTC."""

    def from_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in UTC to a naive timestamp in local time of `zone`."""

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Parse text in a strftime layout to a naive timestamp, in UTC if the layout has an offset.

        Text that does not match is null.
        """

    def interrupt(self) -> None:
        """Stop the running computation, from another thread; it fails then."""

    def close(self) -> None:
        """Release all resources of the engine."""


def claim_name(name: str, used: set[str]) -> str:
    """Return a name that was not used before, and add it to the used ones; upper and lower case are the same.

    >>> used = set()
    >>> [claim_name(name, used) for name in ("orders", "Orders", "orders", "visits")]
    ['orders', 'Orders 2', 'orders 3', 'visits']
    """
    numbered = (f"{name} {number}" for number in itertools.count(2))
    unused = next(text for text in itertools.chain([name], numbered) if text.casefold() not in used)
    used.add(unused.casefold())
    return unused


def drop_columns(table: ibis.Table, names: Sequence[str]) -> ibis.Table:
    """Return a table without the named columns; names that it does not have are ignored."""
    return table.drop(*(name for name in names if name in table.columns))


def read_source_files(
    engine: Engine, source: Source, folder: Path, columns: Mapping[str, str], file_column: str
) -> ibis.Table:
    """Read the rows of a section's files and apply its query.

    Personal columns are dropped before the query and again after it.

    Args:
        engine: The engine that reads.
        source: Where the section's rows are.
        folder: The folder of the config.
        columns: The named columns by role.
        file_column: Add a column of this name with the file of each row.

    Returns:
        The rows, without personal columns.

    Raises:
        DataError: There are no files, some lack a column that others have, or they cannot be read.
        UsageError: A personal column is missing, or the query is not valid.
    """
    expected = [*columns.values(), *source.personal]
    numbers = () if source.query else number_columns(columns)
    raw = points_as_decimals(
        engine.read_files(source.source, folder, expected, source.ids, file_column), engine, numbers
    )
    files = engine.files_read[-1]
    table = drop_columns(raw, source.personal)
    names = set(raw.columns)
    if source.query:
        engine.files_read[-1] = replace(files, notes=(*files.notes, *missing_column_notes(columns, files)))
        queried = engine.apply_query(table, source, folder)
        table, names = drop_columns(queried, source.personal), names | set(queried.columns)
    else:
        require_columns_of_files(source, columns, files)
    require_personal(source, names)
    return table


def points_as_decimals(rows: ibis.Table, engine: Engine, unless: Collection[str] = ()) -> ibis.Table:
    """Return the rows of the last files read with numbers where points may separate thousands, read as decimals.

    Args:
        rows: The rows.
        engine: Has read them.
        unless: Columns that stay text, since `features.parsing` decides how they are to be read.

    Returns:
        The rows.
    """
    names = [name for name in engine.files_read[-1].thousands if name not in unless]
    return rows.mutate(**{name: rows[name].try_cast("float64") for name in names}) if names else rows


def scratch_folder(config: EngineConfig, folder: Path) -> Path | None:
    """Return the folder for data larger than memory; None is the system's temporary folder.

    Raises:
        UsageError: The configured folder does not exist.
    """
    if not config.scratch:
        return None
    path = user_path(config.scratch, folder)
    if not path.is_dir():
        raise UsageError(f"[engine] scratch: {config.scratch!r} is not a folder; create it, or set another")
    return path


def builtin_text_function(name: str) -> Callable[[ibis.Value], ibis.Value]:
    """Return an engine's built-in function of this name, from text to text."""

    @ibis.udf.scalar.builtin(name=name, signature=((dt.string,), dt.string))
    def function(text):  # type: ignore[no-untyped-def]
        """Call the engine's built-in function."""

    return cast(Callable[[ibis.Value], ibis.Value], function)


def error_summary(problem: Exception) -> str:
    r"""Return the first line of an error's message; in conversion errors the value is left out.

    >>> error_summary(ValueError("Conversion Error: Could not convert string 'Ada' to INT64\nLINE 1: ..."))
    'Conversion Error: Could not convert string (a value) to INT64'
    """
    line = str(problem).strip().splitlines()[0]
    return re.sub(QUOTED_VALUE, "(a value)", line) if any(marker in line for marker in CONVERSION_ERRORS) else line


def query_at_fault(sql: str, views: Mapping[str, str]) -> str:
    """Return the beginning of a message that names the section of a query, if SQL that failed reads a query's view.

    >>> query_at_fault('SELECT * FROM "queried events"', {"queried events": "events", "queried contacts": "contacts"})
    '[events] query: '
    """
    sections = [section for view, section in views.items() if quote_name(view) in sql or quote_name(view, "`") in sql]
    return f"[{sections[0]}] query: " if sections else ""


def megabytes(memory: str) -> float | None:
    """Return a size of memory such as '8GB' in megabytes; None if the text is no size.

    >>> megabytes("8GB"), megabytes("1.5 GiB"), megabytes("")
    (8192.0, 1536.0, None)
    """
    size = MEMORY_SIZE.fullmatch(memory.strip())
    return float(size[1]) * MEGABYTES[size[2].upper()] if size else None


def take_share(rows: ibis.Table, share: float) -> ibis.Table:
    """Return the rows of about a share, in [0, 1), of the customers: always the same ones, by the MD5 of their ids."""
    threshold = f"{int(share * 16**HASH_DIGITS):0{HASH_DIGITS}x}"
    return rows.filter(rows.customer_id.hexdigest("md5").substr(0, HASH_DIGITS) < threshold)
