"""The DuckDB engine: runs in this process and stores tables as temporary tables that spill to the scratch folder."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import EngineConfig
from features.engines.base import (
    builtin_text_function,
    claim_name,
    error_summary,
    quote_name,
    read_source_files,
    scratch_folder,
)
from features.engines.window_aggregate import aggregate_by_window
from features.engines.window_spec import WindowSpec
from features.errors import DataError, UsageError
from features.keyed_hash import text_hasher
from features.private_folders import ScratchFolder
from features.sources import databases
from features.sources.files import file_format, find_files, require_utf8
from features.sources.source import Source
from features.system_errors import explain_system_error

# Times in CSV stay text until the config's layout and zone are applied, so that 03/01/2024 is never guessed silently.
CSV_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]
DISK_FULL_SIGNS = ("No space left", "failed to offload", "max_temp_directory_size")
ROWS_DIGEST = "count(*), bit_xor(hash(t)), sum(hash(t) % 1000000007)"  # of the rows of t, in any order
FIRST_INEXACT_INTEGER = 2**53
# How ids in CSV look if a number keeps them as they are written: no leading zero, and digits that fit.
KEPT_BY_INTEGERS = r"^[\x09-\x0d ]*(0|-?[1-9][0-9]{0,17})[\x09-\x0d ]*\z"
KEPT_BY_FLOATS = r"^[\x09-\x0d ]*(0|-?[1-9][0-9]{0,14})([.]0+)?[\x09-\x0d ]*\z"
BATCH_ROWS = 100_000  # rows that are processed in Python at once


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), dt.Timestamp("UTC")))
def _localise(zone, moment):  # type: ignore[no-untyped-def]
    """Convert local time of a zone to UTC (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp("UTC")), dt.timestamp))
def _local_clock(zone, moment):  # type: ignore[no-untyped-def]
    """Convert UTC to local time of a zone (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.timestamp))
def _parse_time(text, layout):  # type: ignore[no-untyped-def]
    """Parse text to a timestamp, or null (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.Timestamp("UTC")))
def _parse_zoned_time(text, layout):  # type: ignore[no-untyped-def]
    """Parse text with an offset or a zone, or null (DuckDB's built-in function)."""


class DuckDBEngine:
    """DuckDB in this process; stored tables are temporary tables that spill to `scratch`."""

    writes_folders = False

    def __init__(self, config: EngineConfig, folder: Path):
        self._scratch = ScratchFolder(scratch_folder(config, folder))
        self.connection, self._numbers = ibis.duckdb.connect(), itertools.count(1)
        self._used_names, self._stages = set[str](), list[str]()
        settings = {"temp_directory": self._scratch.name, "TimeZone": "UTC", "memory_limit": config.memory}
        for key, value in settings.items():
            if value:
                self._run(f"SET {key} = {_quoted(value)}", f"[engine] memory = {config.memory!r}")
        if config.threads:
            self._run(f"SET threads = {config.threads:d}", f"[engine] threads = {config.threads}")

    def read_source(
        self, source: Source, folder: Path, columns: Mapping[str, str] = MappingProxyType({}), ids: Sequence[str] = ()
    ) -> ibis.Table:
        """Read the rows of a section from files, or copy them from a database, and apply its query.

        Args:
            source: Where the section's rows are.
            folder: The folder of the config.
            columns: The needed columns by role. From a database only these are read; empty: all columns.
            ids: Columns of ids, which keep all their digits.

        Returns:
            The rows, without personal columns.

        Raises:
            DataError: The source is missing, or cannot be read to its end.
            UsageError: A table or column is missing, or the query is not valid.
        """
        if not source.database:
            return read_source_files(self, source, folder, ids)
        name = self._new_stage(f"read {source.section}")
        with closing(databases.read_database(source, folder, columns, ids, self.connection.con)) as batches:
            for batch in batches:
                self._append(name, batch)
        return self.connection.table(name)

    def _append(self, name: str, batch: pa.RecordBatch) -> None:
        """Append rows to a temporary table; the first batch creates it."""
        con, exists = self.connection.con, name in self.connection.list_tables()
        con.register("incoming", batch)
        statement = f"INSERT INTO {quote_name(name)}" if exists else f"CREATE TEMP TABLE {quote_name(name)} AS"
        try:
            con.execute(f"{statement} FROM incoming")
        except duckdb.Error as problem:
            raise DataError(f"while reading: {error_summary(problem)}") from None
        finally:
            con.unregister("incoming")

    def read_files(
        self, source: str, folder: Path, ids: Sequence[str] = (), as_written: Sequence[str] = ()
    ) -> ibis.Table:
        """Read a table from a file, glob or folder.

        Args:
            source: What to read, relative to `folder`.
            folder: The folder of the config.
            ids: Columns that stay text in CSV if a number could not hold their digits.
            as_written: Columns that stay text in CSV if a number would also lose leading zeros or signs.

        Returns:
            The rows of all files.

        Raises:
            DataError: There are no files, their format is unknown, or they cannot be read.
        """
        files = find_files(source, folder)
        kind = file_format(files, source)
        self._forget_rejected_lines()
        try:
            paths = [str(f) for f in files]
            if kind == "parquet":
                return self.connection.read_parquet(paths, union_by_name=True)
            require_utf8(files)
            multi_file_options = {"union_by_name": True} if len(paths) > 1 else {"store_rejects": True}
            options = {"sample_size": -1, "auto_type_candidates": CSV_TYPES, **multi_file_options}
            table = self.connection.read_csv(paths, **options)
            texts = self._too_wide(table, ids) | self._changed_by_numbers(table, as_written, paths, options)
            return self.connection.read_csv(paths, types=texts, **options) if texts else table
        except duckdb.Error as problem:
            raise DataError(f"{source}: cannot be read as {kind}: {error_summary(problem)}") from None

    def _too_wide(self, table: ibis.Table, ids: Sequence[str]) -> dict[str, str]:
        """Return, as text columns, the id columns that were read as floats and lost digits."""
        floats = [c for c in dict.fromkeys(ids) if c in table.columns and table[c].type().is_floating()]
        if not floats:
            return {}
        largest = table.aggregate(**{f"c{i}": table[c].abs().max() for i, c in enumerate(floats)}).to_pyarrow()
        return {
            c: "VARCHAR" for i, c in enumerate(floats) if (largest[f"c{i}"][0].as_py() or 0) >= FIRST_INEXACT_INTEGER
        }

    def _changed_by_numbers(
        self, table: ibis.Table, columns: Sequence[str], paths: list[str], options: dict[str, Any]
    ) -> dict[str, str]:
        """Return, as text columns, those that were read as numbers and are written in a way that numbers lose."""
        numbers = [c for c in dict.fromkeys(columns) if c in table.columns and not table[c].type().is_string()]
        if not numbers:
            return {}
        texts = self.connection.read_csv(paths, types=dict.fromkeys(numbers, "VARCHAR"), **options)
        kept = {c: KEPT_BY_INTEGERS if table[c].type().is_integer() else KEPT_BY_FLOATS for c in numbers}
        changed = {
            f"c{i}": (~texts[c].re_search(kept[c]) & texts[c].re_search(r"[^\x09-\x0d ]")).any()
            for i, c in enumerate(numbers)
        }
        facts = texts.aggregate(**changed).to_pyarrow()
        return {c: "VARCHAR" for i, c in enumerate(numbers) if facts[f"c{i}"][0].as_py()}

    def count_rejected_lines(self) -> int:
        """Return and reset the number of lines of the last CSV whose number of columns differs from the header."""
        if "reject_errors" not in self.connection.list_tables():
            return 0
        row = self.connection.con.execute("SELECT count(DISTINCT (file_id, line)) FROM reject_errors").fetchone()
        self._forget_rejected_lines()
        return int(row[0]) if row else 0

    def _forget_rejected_lines(self) -> None:
        for table in ("reject_errors", "reject_scans"):
            self.connection.drop_table(table, force=True)

    def apply_query(self, table: ibis.Table, sql: str, section: str = "events") -> ibis.Table:
        """Run a user's SQL over a table, as a temporary view of the section.

        Args:
            table: The table, which the SQL calls `source`.
            sql: A SELECT in DuckDB's dialect.
            section: The section of the config that holds the query.

        Returns:
            The rows that the query selects.

        Raises:
            UsageError: The SQL does not parse, or names a table or column that does not exist.
        """
        name, source_view = (claim_name(f"{role} {section}", self._used_names) for role in ("queried", "source of"))
        self.connection.create_view(source_view, table)
        inner = sql.rstrip().rstrip(";")
        select = f"WITH source AS (SELECT * FROM {quote_name(source_view)}) SELECT * FROM (\n{inner}\n)"  # noqa: S608 (quoted)
        self._run(f"CREATE TEMP VIEW {quote_name(name)} AS {select}", f"[{section}] query")
        return self.connection.table(name)

    @contextmanager
    def temporary_stages(self) -> Iterator[None]:
        """At the end of the block, drop the tables that were stored in it."""
        kept = len(self._stages)
        try:
            yield
        finally:
            for name in self._stages[kept:]:
                self.connection.drop_table(name, force=True)
            del self._stages[kept:]

    def _new_stage(self, name: str) -> str:
        """Return the name under which the next table is stored: never one that was used before."""
        stage = claim_name(name, self._used_names)
        self._stages.append(stage)
        return stage

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Run an expression once, store its rows under a name, and return the stored table.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """
        stage = self._new_stage(name)
        try:
            self.connection.raw_sql(f"CREATE TEMP TABLE {quote_name(stage)} AS {self.connection.compile(expr)}")
        except duckdb.Error as problem:
            raise _failed(f"while building {name}", problem) from None
        return self.connection.table(stage)

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Store a small Arrow table under a name and return the stored table."""
        return self.connection.create_table(self._new_stage(name), rows, temp=True)

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Apply a Python function to batches of an expression's rows, and store its output.

        Args:
            expr: The input rows.
            function: From a batch of rows to any number of rows. Each output row depends on one input row only, because
                the size and the order of batches are not defined.
            schema: The schema of the output; columns are cast and ordered to it.
            name: The name of the stored table.

        Returns:
            The stored table.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """
        batches = expr.to_pyarrow_batches(chunk_size=BATCH_ROWS)
        tables = (function(pa.Table.from_batches([batch])).select(schema.names).cast(schema) for batch in batches)
        return self._keep(tables, schema, name)

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
        tables = (pa.Table.from_batches([batch]) for batch in aggregate_by_window(rows, spec, self._threads()))
        return self._keep(tables, spec.schema, name)

    def _threads(self) -> int:
        row = self.connection.con.execute("SELECT current_setting('threads')").fetchone()
        return int(row[0]) if row else 1

    def _keep(self, tables: Iterable[pa.Table], schema: pa.Schema, name: str) -> ibis.Table:
        """Store tables as they are computed; through a file, because the connection is busy until the last one."""
        stage = self._new_stage(name)
        with tempfile.TemporaryDirectory(prefix="mapped-", dir=self._scratch.name) as folder:
            file = Path(folder) / "rows.parquet"
            try:
                with pq.ParquetWriter(file, schema) as writer:
                    for table in tables:
                        writer.write_table(table)
                rows = f"SELECT * FROM read_parquet({_quoted(str(file))})"  # noqa: S608 (quoted)
                self.connection.raw_sql(f"CREATE TEMP TABLE {quote_name(stage)} AS {rows}")
            except (duckdb.Error, OSError) as problem:
                raise _failed(f"while building {name}", problem) from None
        return self.connection.table(stage)

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Run an expression and return its rows."""
        try:
            return expr.to_pyarrow()
        except duckdb.Error as problem:
            raise _failed("while reading the data", problem) from None

    def count_rows(self, table: ibis.Table) -> int:
        """Return the number of rows of an expression."""
        return int(self.to_arrow(table.aggregate(n=table.count()))["n"][0].as_py())

    def fingerprint(self, table: ibis.Table) -> str:
        """Return a text that changes if any row of a stored table changes, whatever the order of rows."""
        name = quote_name(table.get_name())
        row = self.connection.con.execute(
            f"SELECT {ROWS_DIGEST} FROM {name} AS t"  # noqa: S608 (quoted)
        ).fetchone()
        return str(row)

    def fingerprints_by_day(self, table: ibis.Table, by: str) -> list[tuple[date | None, str]]:
        """Return, for each day in the column `by`, a text that changes if any of its rows changes, in any order."""
        sql = self.connection.compile(table)
        rows = self.connection.con.execute(
            f"SELECT {quote_name(by)}, {ROWS_DIGEST} FROM ({sql}) AS t GROUP BY 1 ORDER BY 1"  # noqa: S608 (quoted)
        ).fetchall()
        return [(day, str(digest)) for day, *digest in rows]

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Run an expression and write its rows as Parquet to the file `target`, without collecting them.

        Raises:
            DataError: The computation fails, or the disk is full.
        """
        sql, options = self.connection.compile(expr), "FORMAT parquet, COMPRESSION zstd"
        try:
            self.connection.raw_sql(f"COPY ({sql}) TO {_quoted(str(target))} ({options})")
        except duckdb.Error as problem:
            raise _failed(f"while writing {target.name}", problem) from None

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Hash texts with a key (`features.keyed_hash`). The key appears in no SQL, plan, log or message."""
        name = f"keyed_{next(self._numbers)}"
        self.connection.con.create_function(name, text_hasher(key), ["VARCHAR"], "VARCHAR", type="arrow")
        return builtin_text_function(name)(text)

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in local time of `zone` to a naive timestamp in UTC."""
        return _localise(ibis.literal(zone), moment).cast("timestamp")

    def from_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in UTC to a naive timestamp in local time of `zone`."""
        return _local_clock(ibis.literal(zone), moment.cast(dt.Timestamp("UTC")))

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Parse text in a strftime layout to a naive timestamp, in UTC if the layout has an offset.

        Text that does not match is null.
        """
        if re.search("%[zZ]", layout.replace("%%", "")):
            return _parse_zoned_time(text, ibis.literal(layout)).cast("timestamp")
        return _parse_time(text, ibis.literal(layout))

    def close(self) -> None:
        """Close the connection and remove the scratch folder."""
        self.connection.disconnect()
        self._scratch.cleanup()

    def _run(self, sql: str, what: str) -> None:
        try:
            self.connection.raw_sql(sql)
        except duckdb.Error as problem:
            raise UsageError(f"{what} is not understood: {error_summary(problem)}") from None


def _failed(what: str, problem: Exception) -> DataError:
    """Return the error to raise; if memory or disk is full, it says what to do."""
    full = isinstance(problem, duckdb.OutOfMemoryException) or any(marker in str(problem) for marker in DISK_FULL_SIGNS)
    known = None if full else explain_system_error(problem)
    if known is not None:
        return DataError(f"{what}: {known}")
    advice = (
        ". Memory or the scratch folder is full: raise [engine] memory, or set [engine] scratch to a folder with more "
        "free space"
    )
    return DataError(f"{what}: {error_summary(problem).rstrip('.')}{advice if full else ''}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
