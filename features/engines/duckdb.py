"""DuckDB in this process: reads files and databases, keeps stages as temporary tables that spill to scratch."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from types import MappingProxyType

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import EngineConfig
from features.engines.base import builtin_text_function, error_summary, quote_name, read_source_files, scratch_folder
from features.engines.window_aggregate import aggregate_by_window
from features.engines.window_spec import WindowSpec
from features.errors import DataError, UsageError
from features.keyed_hash import text_hasher
from features.sources import databases
from features.sources.files import file_format, find_files, require_utf8
from features.sources.source import Source

# Times in CSV stay text until the config's layout and zone are applied: a guess at 03/01/2024 would be a silent one.
CSV_TYPES = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]
DISK_FULL_SIGNS = ("No space left", "failed to offload", "max_temp_directory_size")
ROWS_DIGEST = "count(*), bit_xor(hash(t)), sum(hash(t) % 1000000007)"  # of rows t, whatever their order
FIRST_INEXACT_INTEGER = 2**53
BATCH_ROWS = 100_000  # rows that go through Python at once


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), dt.Timestamp("UTC")))
def _localise(zone, moment):  # type: ignore[no-untyped-def]
    """A moment on the clocks of a zone as a moment in UTC (DuckDB's own function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.timestamp))
def _parse_time(text, layout):  # type: ignore[no-untyped-def]
    """Text as a moment, or null (DuckDB's own function)."""


class DuckDBEngine:
    """DuckDB in this process; stages are temporary tables that spill to `scratch`."""

    writes_folders = False

    def __init__(self, config: EngineConfig, folder: Path):
        self._scratch = tempfile.TemporaryDirectory(prefix="regulars-", dir=scratch_folder(config, folder))
        self.connection, self._numbers = ibis.duckdb.connect(), itertools.count(1)
        settings = {"temp_directory": self._scratch.name, "TimeZone": "UTC", "memory_limit": config.memory}
        for key, value in settings.items():
            if value:
                self._run(f"SET {key} = {_quoted(value)}", f"[engine] memory = {config.memory!r}")
        if config.threads:
            self._run(f"SET threads = {config.threads:d}", f"[engine] threads = {config.threads}")

    def read_source(
        self, source: Source, folder: Path, columns: Mapping[str, str] = MappingProxyType({}), ids: Sequence[str] = ()
    ) -> ibis.Table:
        """The rows that a section of the config names: of files, or copied from a database; its query done.

        Args:
            source: What the section says.
            folder: Where the config lies.
            columns: The columns that are needed, by their roles; of a database only these are read. Empty: all.
            ids: Columns of ids, whose digits are all kept.

        Raises:
            DataError: Nothing is there, or it cannot be read to its end.
            UsageError: The table or a column is not there, or the query is not understood.
        """
        if not source.database:
            return read_source_files(self, source, folder, ids)
        name = f"read {source.section}"
        self.connection.drop_table(name, force=True)
        with closing(databases.read_database(source, folder, columns, ids, self.connection.con)) as batches:
            for batch in batches:
                self._append(name, batch)
        return self.connection.table(name)

    def _append(self, name: str, batch: pa.RecordBatch) -> None:
        """Adds rows to a temporary table, which the first ones make."""
        con, there = self.connection.con, name in self.connection.list_tables()
        con.register("incoming", batch)
        into = f"INSERT INTO {quote_name(name)}" if there else f"CREATE TEMP TABLE {quote_name(name)} AS"
        try:
            con.execute(f"{into} FROM incoming")
        except duckdb.Error as problem:
            raise DataError(f"while reading: {error_summary(problem)}") from None
        finally:
            con.unregister("incoming")

    def read_files(self, source: str, folder: Path, ids: Sequence[str] = ()) -> ibis.Table:
        """The table behind a file, glob or folder.

        Args:
            source: What to read, relative to `folder`.
            folder: Where the config lies.
            ids: Columns that stay text in CSV where their digits would not fit a number.

        Raises:
            DataError: Nothing is there, it is of no known kind, or it cannot be read.
        """
        files = find_files(source, folder)
        kind = file_format(files, source)
        self._forget_rejected_lines()
        try:
            paths = [str(f) for f in files]
            if kind == "parquet":
                return self.connection.read_parquet(paths, union_by_name=True)
            require_utf8(files)
            several = {"union_by_name": True} if len(paths) > 1 else {"store_rejects": True}
            options = {"sample_size": -1, "auto_type_candidates": CSV_TYPES, **several}
            table = self.connection.read_csv(paths, **options)
            wide = self._too_wide(table, ids)
            return self.connection.read_csv(paths, types=wide, **options) if wide else table
        except duckdb.Error as problem:
            raise DataError(f"{source}: cannot be read as {kind}: {error_summary(problem)}") from None

    def _too_wide(self, table: ibis.Table, ids: Sequence[str]) -> dict[str, str]:
        """Columns of ids that were read as floats and lost digits by it."""
        floats = [c for c in dict.fromkeys(ids) if c in table.columns and table[c].type().is_floating()]
        if not floats:
            return {}
        largest = table.aggregate(**{f"c{i}": table[c].abs().max() for i, c in enumerate(floats)}).to_pyarrow()
        return {
            c: "VARCHAR" for i, c in enumerate(floats) if (largest[f"c{i}"][0].as_py() or 0) >= FIRST_INEXACT_INTEGER
        }

    def count_rejected_lines(self) -> int:
        """How many lines of the CSV that was read last had another number of columns than the header; forgets them."""
        if "reject_errors" not in self.connection.list_tables():
            return 0
        row = self.connection.con.execute("SELECT count(DISTINCT (file_id, line)) FROM reject_errors").fetchone()
        self._forget_rejected_lines()
        return int(row[0]) if row else 0

    def _forget_rejected_lines(self) -> None:
        for table in ("reject_errors", "reject_scans"):
            self.connection.drop_table(table, force=True)

    def apply_query(self, table: ibis.Table, sql: str, section: str = "events") -> ibis.Table:
        """A user's SQL over `table`, which it calls `source`; kept as a temporary view of the section's own.

        Raises:
            UsageError: The SQL does not parse or names what is not there.
        """
        name, own = f"queried {section}", f"source of {section}"
        self.connection.create_view(own, table, overwrite=True)
        inner = sql.rstrip().rstrip(";")
        asked = f"WITH source AS (SELECT * FROM {quote_name(own)}) SELECT * FROM (\n{inner}\n)"  # noqa: S608 (quoted)
        self._run(f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS {asked}", f"[{section}] query")
        return self.connection.table(name)

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Runs an expression once and keeps its rows under a name; returns the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        try:
            self.connection.raw_sql(
                f"CREATE OR REPLACE TEMP TABLE {quote_name(name)} AS {self.connection.compile(expr)}"
            )
        except duckdb.Error as problem:
            raise _failed(f"while building {name}", problem) from None
        return self.connection.table(name)

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Keeps a small Arrow table under a name; returns the stored table."""
        self.connection.drop_table(name, force=True)
        return self.connection.create_table(name, rows, temp=True)

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Puts an expression's rows through Python, a batch at a time, and keeps what comes out under a name.

        Args:
            expr: What goes in.
            function: From a batch of rows to any number of rows, each made of one row alone: how the rows are cut
                into batches, and in which order they come, is not told. A function of a module, its other arguments
                bound by `functools.partial`, so that another process can call it.
            schema: Of what comes out; its columns are cast and ordered to it.
            name: Of the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        batches = expr.to_pyarrow_batches(chunk_size=BATCH_ROWS)
        made = (function(pa.Table.from_batches([batch])).select(schema.names).cast(schema) for batch in batches)
        return self._keep(made, schema, name)

    def aggregate_windows(self, rows: ibis.Table, plan: WindowSpec, name: str) -> ibis.Table:
        """Measures of event-like rows over spans of the past, kept under a name; arguments as in `panes.by_window`.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        made = (pa.Table.from_batches([batch]) for batch in aggregate_by_window(rows, plan, self._threads()))
        return self._keep(made, plan.schema, name)

    def _threads(self) -> int:
        row = self.connection.con.execute("SELECT current_setting('threads')").fetchone()
        return int(row[0]) if row else 1

    def _keep(self, made: Iterable[pa.Table], schema: pa.Schema, name: str) -> ibis.Table:
        """Tables as they are made into a stored one; by way of a file, as the connection is busy until the last."""
        with tempfile.TemporaryDirectory(prefix="mapped-", dir=self._scratch.name) as folder:
            file = Path(folder) / "rows.parquet"
            try:
                with pq.ParquetWriter(file, schema) as writer:
                    for table in made:
                        writer.write_table(table)
                rows = f"SELECT * FROM read_parquet({_quoted(str(file))})"  # noqa: S608 (quoted)
                self.connection.raw_sql(f"CREATE OR REPLACE TEMP TABLE {quote_name(name)} AS {rows}")
            except (duckdb.Error, OSError) as problem:
                raise _failed(f"while building {name}", problem) from None
        return self.connection.table(name)

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Runs an expression and returns its rows."""
        try:
            return expr.to_pyarrow()
        except duckdb.Error as problem:
            raise _failed("while reading the data", problem) from None

    def count_rows(self, table: ibis.Table) -> int:
        """How many rows an expression has."""
        return int(self.to_arrow(table.aggregate(n=table.count()))["n"][0].as_py())

    def fingerprint(self, table: ibis.Table) -> str:
        """A text that changes when any row of a stored table does and does not depend on their order."""
        name = quote_name(table.get_name())
        row = self.connection.con.execute(
            f"SELECT {ROWS_DIGEST} FROM {name} AS t"  # noqa: S608 (quoted)
        ).fetchone()
        return str(row)

    def fingerprints_by_day(self, table: ibis.Table, by: str) -> list[tuple[date | None, str]]:
        """For each day in the column `by`, a text that changes when any of its rows does, whatever their order."""
        sql = self.connection.compile(table)
        rows = self.connection.con.execute(
            f"SELECT {quote_name(by)}, {ROWS_DIGEST} FROM ({sql}) AS t GROUP BY 1 ORDER BY 1"  # noqa: S608 (quoted)
        ).fetchall()
        return [(day, str(told)) for day, *told in rows]

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Runs an expression and writes its rows as Parquet to the file `target`; collects nothing.

        Raises:
            DataError: The data do not allow it, or the place is full.
        """
        sql, options = self.connection.compile(expr), "FORMAT parquet, COMPRESSION zstd"
        try:
            self.connection.raw_sql(f"COPY ({sql}) TO {_quoted(str(target))} ({options})")
        except duckdb.Error as problem:
            raise _failed(f"while writing {target.name}", problem) from None

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Texts as their keyed hashes (`features.keyed_hash`). The key is in no SQL, plan, log or message."""
        name = f"keyed_{next(self._numbers)}"
        self.connection.con.create_function(name, text_hasher(key), ["VARCHAR"], "VARCHAR", type="arrow")
        return builtin_text_function(name)(text)

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """A naive timestamp on the clocks of `zone` as a naive timestamp in UTC."""
        return _localise(ibis.literal(zone), moment).cast("timestamp")

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Text in a strftime layout as a naive timestamp; null where it does not fit."""
        return _parse_time(text, ibis.literal(layout))

    def close(self) -> None:
        """Ends the connection and removes the scratch folder."""
        self.connection.disconnect()
        self._scratch.cleanup()

    def _run(self, sql: str, what: str) -> None:
        try:
            self.connection.raw_sql(sql)
        except duckdb.Error as problem:
            raise UsageError(f"{what} is not understood: {error_summary(problem)}") from None


def _failed(what: str, problem: Exception) -> DataError:
    """What went wrong, and what to do where it was want of room."""
    full = isinstance(problem, duckdb.OutOfMemoryException) or any(sign in str(problem) for sign in DISK_FULL_SIGNS)
    advice = (
        ". Memory, or the folder for what outgrows it, is full: give more with [engine] memory, or name a folder with "
        "more room in [engine] scratch"
    )
    return DataError(f"{what}: {error_summary(problem).rstrip('.')}{advice if full else ''}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
