"""The DuckDB engine: runs in this process and stores tables as temporary tables that spill to the scratch folder."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from types import MappingProxyType

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import EngineConfig
from features.engines import duckdb_times
from features.engines.base import (
    builtin_text_function,
    claim_name,
    drop_columns,
    error_summary,
    points_as_decimals,
    query_at_fault,
    read_source_files,
    scratch_folder,
)
from features.engines.duckdb_errors import explain_damage, failed
from features.engines.window_aggregate import aggregate_by_window
from features.engines.window_spec import WindowSpec
from features.errors import DataError, UsageError
from features.keyed_hash import text_hasher
from features.sources import databases
from features.sources.csv_counts import drop_rejects
from features.sources.csv_reader import IGNORED, CsvColumns, CsvPlace, read_csv_files
from features.sources.duckdb_query import QueriedTable, align_types, parse_query
from features.sources.files import FilesRead, file_format, find_files, note_files_not_read
from features.sources.parquet_files import ParquetFiles, parquet_sql, read_footers
from features.sources.source import Source
from features.sql_text import quote_name, quote_text
from features.storage.private_folders import ScratchFolder

# No statement, so no query of a user, opens a network, installs anything, or reads a variable of this process.
CLOSED = dict.fromkeys(
    ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements"), "false"
)
ROWS_DIGEST = "count(*), bit_xor(hash(t)), sum(hash(t) % 1000000007)"  # of the rows of t, in any order
BATCH_ROWS = 100_000  # rows that are processed in Python at once


class DuckDBEngine:
    """DuckDB in this process; stored tables are temporary tables that spill to `scratch`."""

    writes_folders = False

    def __init__(self, config: EngineConfig, folder: Path):
        self._scratch = ScratchFolder(scratch_folder(config, folder))
        self.connection, self._numbers = ibis.duckdb.connect(), itertools.count(1)
        self._used_names, self._stages = set[str](), list[str]()
        self.files_read: list[FilesRead] = []
        self._parquet_views, self._query_views = dict[str, ParquetFiles](), dict[str, str]()
        settings = {"temp_directory": self._scratch.name, "TimeZone": "UTC", "memory_limit": config.memory, **CLOSED}
        for key, value in settings.items():
            if value:
                self._run(f"SET {key} = {quote_text(value)}", f"[engine] memory = {config.memory!r}")
        if config.threads:
            self._run(f"SET threads = {config.threads:d}", f"[engine] threads = {config.threads}")

    def read_source(
        self,
        source: Source,
        folder: Path,
        columns: Mapping[str, str] = MappingProxyType({}),
        ids: Sequence[str] = (),
        all_columns: bool = False,
        file_column: str = "",
    ) -> ibis.Table:
        """Read the rows of a section from files, or copy them from a database, and apply its query.

        Args:
            source: Where the section's rows are.
            folder: The folder of the config.
            columns: The named columns by role. Each file must have them if there is no query.
            ids: Columns of ids of a database, which keep all their digits.
            all_columns: Read all columns of a database, not only the named ones (or all, if none is named).
            file_column: Add a column of this name with the file of each row, where rows come from files.

        Returns:
            The rows, without personal columns.

        Raises:
            DataError: The source is missing, cannot be read to its end, or some files lack a named column.
            UsageError: A table or column is missing, or the query is not valid.
        """
        self.files_read = []
        if not source.database:
            return read_source_files(self, source, folder, columns, file_column)
        name, wanted = self._new_stage(f"read {source.section}"), {} if all_columns else columns
        with closing(databases.read_database(source, folder, wanted, ids, self.connection.con)) as batches:
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
        self,
        source: str,
        folder: Path,
        expected: Collection[str] = (),
        as_written: Sequence[str] = (),
        file_column: str = "",
    ) -> ibis.Table:
        """Read a table from a file, glob or folder, and add it to `files_read`.

        Args:
            source: What to read, relative to `folder`.
            folder: The folder of the config.
            expected: Names of columns that the files should have; they tell headers from title lines.
            as_written: Columns of ids, which stay text in CSV if a number would not keep how they are written.
            file_column: Add a column of this name with the file of each row.

        Returns:
            The rows of all files.

        Raises:
            DataError: There are no files, their format is unknown, or they cannot be read.
        """
        files, name = find_files(source, folder), claim_name("files", self._used_names)
        if file_format(files, source) == "csv":
            copies = Path(tempfile.mkdtemp(prefix="csv-", dir=self._scratch.name))
            place = CsvPlace(self.connection.con, copies, folder)
            rows = read_csv_files(files, source, place, CsvColumns(expected, as_written, file_column))
            sql, read = rows.sql, rows.read
        else:
            footers = read_footers(files, source, folder)
            sql, read = parquet_sql(footers, file_column), footers.read
            self._parquet_views[name] = footers
        try:
            self.connection.raw_sql(f"CREATE TEMP VIEW {quote_name(name)} AS {sql}")
        except duckdb.Error as problem:
            raise DataError(f"{source}: cannot be read: {error_summary(problem)}") from None
        self.files_read.append(note_files_not_read(source, folder, read))
        return self.connection.table(name)

    def apply_query(self, table: ibis.Table, source: Source, folder: Path) -> ibis.Table:
        """Run the query of a section over its table, as a temporary view.

        Args:
            table: The table, which the SQL calls `source`.
            source: The section, with its query: one SELECT in DuckDB's dialect.
            folder: The folder of the config; paths in the query are relative to it.

        Returns:
            The rows that the query selects.

        Raises:
            DataError: A file that the query names cannot be read.
            UsageError: The SQL does not parse, is more than one SELECT, or names a table or column that is not there.
        """
        query = parse_query(source.query, source.section, folder, self.connection.con)
        known, tables = {str((folder / source.source).absolute()): table}, [table]
        for each in query.tables:
            place = str((folder / each.path).absolute()) if each.path else each.call
            if place not in known:
                known[place] = self._queried_table(each, source, folder)
            tables.append(known[place])
        views = [claim_name(f"source of {source.section}", self._used_names) for _ in tables]
        for view, rows in zip(views, align_types(tables, query), strict=True):
            self.connection.create_view(view, rows)
        first, *others = map(quote_name, views)
        inner, name = query.with_views(others), claim_name(f"queried {source.section}", self._used_names)
        select = f"WITH source AS (SELECT * FROM {first}) SELECT * FROM (\n{inner}\n)"  # noqa: S608 (quoted)
        self._run(f"CREATE TEMP VIEW {quote_name(name)} AS {select}", f"[{source.section}] query")
        self._query_views[name] = source.section
        return self.connection.table(name)

    def _queried_table(self, table: QueriedTable, source: Source, folder: Path) -> ibis.Table:
        """The rows of files that a query names, without personal columns."""
        try:
            if table.path:
                rows = points_as_decimals(self.read_files(table.path, folder, source.personal, source.ids), self)
            else:
                name = claim_name("queried files", self._used_names)
                select = f"SELECT * FROM {table.call}"  # noqa: S608 (a part of the user's own query)
                self._run(f"CREATE TEMP VIEW {quote_name(name)} AS {select}", f"[{source.section}] query")
                rows = self.connection.table(name)
        except DataError as problem:
            raise DataError(f"[{source.section}] query: {problem}") from None
        return drop_columns(rows, source.personal)

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
        with self._reading(f"while building {name}", sql := self.connection.compile(expr)):
            self.connection.raw_sql(f"CREATE TEMP TABLE {quote_name(stage)} AS {sql}")
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
                with self._reading(f"while building {name}"):
                    with pq.ParquetWriter(file, schema) as writer:
                        for table in tables:
                            writer.write_table(table)
                    rows = f"SELECT * FROM read_parquet({quote_text(str(file))})"  # noqa: S608 (quoted)
                    self.connection.raw_sql(f"CREATE TEMP TABLE {quote_name(stage)} AS {rows}")
            except OSError as problem:
                raise failed(f"while building {name}", problem) from None
        return self.connection.table(stage)

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Run an expression and return its rows."""
        with self._reading("while reading the data", expr):
            return expr.to_pyarrow()

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
        with self._reading(f"while writing {target.name}", sql):
            self.connection.raw_sql(f"COPY ({sql}) TO {quote_text(str(target))} ({options})")

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Hash texts with a key (`features.keyed_hash`). The key appears in no SQL, plan, log or message."""
        name = f"keyed_{next(self._numbers)}"
        self.connection.con.create_function(name, text_hasher(key), ["VARCHAR"], "VARCHAR", type="arrow")
        return builtin_text_function(name)(text)

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in local time of `zone` to a naive timestamp in UTC."""
        return duckdb_times.localise(ibis.literal(zone), moment).cast("timestamp")

    def from_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in UTC to a naive timestamp in local time of `zone`."""
        return duckdb_times.local_clock(ibis.literal(zone), moment.cast(dt.Timestamp("UTC")))

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Parse text in a strftime layout to a naive timestamp, in UTC if the layout has an offset.

        Text that does not match is null.
        """
        if re.search("%[zZ]", layout.replace("%%", "")):
            return duckdb_times.parse_zoned_time(text, ibis.literal(layout)).cast("timestamp")
        return duckdb_times.parse_time(text, ibis.literal(layout))

    def interrupt(self) -> None:
        """Stop the running computation, from another thread."""
        self.connection.con.interrupt()

    def close(self) -> None:
        """Close the connection and remove the scratch folder."""
        self.connection.disconnect()
        self._scratch.cleanup()

    @contextmanager
    def _reading(self, what: str, run: ibis.Table | str = "") -> Iterator[None]:
        """Explain errors of the block, which runs an expression or SQL, and forget the lines that it could not read."""
        try:
            yield
        except duckdb.Error as problem:
            sql = run if isinstance(run, str) else self.connection.compile(run)  # compiled again only after a failure
            raise self._failed(what, problem, sql) from None
        finally:
            drop_rejects(IGNORED, self.connection.con)

    def _failed(self, what: str, problem: Exception, sql: str) -> DataError:
        """The error to raise: it names the damaged file, or the section of the query, that failing SQL reads."""
        at_fault = query_at_fault(sql, self._query_views)
        views = [view for view in self._parquet_views if at_fault or quote_name(view) in sql]
        damage = explain_damage([self._parquet_views[view] for view in views], problem, self.connection.con)
        return damage or failed(f"{at_fault}{what}", problem)

    def _run(self, sql: str, what: str) -> None:
        try:
            self.connection.raw_sql(sql)
        except duckdb.Error as problem:
            raise UsageError(f"{what} is not understood: {error_summary(problem)}") from None
