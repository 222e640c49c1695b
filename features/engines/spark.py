"""The Spark engine, for data that one machine cannot process; reads and writes Parquet.

Every stored table is written to Parquet in the scratch folder and read back, so that a long plan is not computed
twice. Rows reach this process only through `to_arrow`. Importing this module imports PySpark.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import pyarrow as pa

from features.config.load import EngineConfig
from features.engines.base import (
    builtin_text_function,
    claim_name,
    error_summary,
    query_at_fault,
    read_source_files,
    scratch_folder,
)
from features.engines.java_time_format import java_pattern
from features.engines.spark_files import is_remote_path, local_parquet
from features.engines.spark_frames import ibis_type, read_parquet, spark_column, without_zone
from features.engines.spark_session import (
    SPARK_ERRORS,
    SQL_SETTINGS,
    active_session,
    delete_folder,
    error_reason,
    send_packages,
    shared_folder,
    start_session,
)
from features.engines.spark_workers import aggregate_windows, map_batches
from features.engines.window_aggregate import select_inputs
from features.engines.window_spec import WindowSpec
from features.errors import DataError, UsageError
from features.keyed_hash import text_hasher
from features.sources.files import FilesRead, note_files_not_read
from features.sources.query import require_one_select, without_semicolon
from features.sources.source import Source
from features.sql_text import quote_name
from features.storage.private_folders import ScratchFolder
from features.storage.user_paths import real_path, user_path

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that pandas 3 is newer than what PySpark was tested with
    import pyspark.sql.functions as F
    import pyspark.sql.types as pt
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.pandas.types import from_arrow_type

SURROUNDING_SPACE = r"^[\x09-\x0d ]+|[\x09-\x0d ]+$"
ROWS_DIGEST = ("count(*)", "bit_xor(h)", "sum(pmod(h, 1000000007))")


@ibis.udf.scalar.builtin(name="to_utc_timestamp", signature=((dt.timestamp, dt.string), dt.timestamp))
def _to_utc(moment, zone):  # type: ignore[no-untyped-def]
    """Convert local time of a zone to UTC (Spark's built-in function)."""


@ibis.udf.scalar.builtin(name="from_utc_timestamp", signature=((dt.timestamp, dt.string), dt.timestamp))
def _from_utc(moment, zone):  # type: ignore[no-untyped-def]
    """Convert UTC to local time of a zone (Spark's built-in function)."""


@ibis.udf.scalar.builtin(name="try_to_timestamp", signature=((dt.string, dt.string), dt.timestamp))
def _try_to_timestamp(text, pattern):  # type: ignore[no-untyped-def]
    """Parse text to a timestamp, or null (Spark's built-in function)."""


class SparkEngine:
    """Spark in this process or on a cluster; stored tables are Parquet in a scratch folder, removed on close."""

    writes_folders = True

    def __init__(self, config: EngineConfig, folder: Path):
        local = "" if is_remote_path(config.scratch) else config.scratch
        self._local = ScratchFolder(scratch_folder(EngineConfig(scratch=local), folder))
        self._numbers, self._sent = itertools.count(1), set[str]()
        self._used_names, self._stored = {"source"}, list[tuple[str, str]]()  # views, and their folders
        self.files_read: list[FilesRead] = []
        self._query_views = dict[str, str]()
        self._started: SparkSession | None = None
        try:
            session = active_session()
            if session is None:
                session = self._started = start_session(config, Path(self._local.name))
            self.session: SparkSession = session.newSession()
            for key, value in SQL_SETTINGS.items():
                self.session.conf.set(key, value)
            self._stages = shared_folder(config, self.session, self._local.name)
        except BaseException:
            self.close()
            raise
        self.connection = ibis.pyspark.connect(self.session)

    def read_source(
        self,
        source: Source,
        folder: Path,
        columns: Mapping[str, str] = MappingProxyType({}),
        ids: Sequence[str] = (),
        all_columns: bool = False,
        file_column: str = "",
    ) -> ibis.Table:
        """Read the rows of a section and apply its query.

        Args:
            source: Where the section's rows are.
            folder: The folder of the config.
            columns: The named columns by role. Each file must have them if there is no query.
            ids: Not used: Parquet has types.
            all_columns: Not used: all columns are read.
            file_column: Add a column of this name with the file of each row.

        Returns:
            The rows, without personal columns.

        Raises:
            DataError: There are no files, they are not Parquet, cannot be read, or some lack a named column.
            UsageError: The source is a database, or the query is not valid.
        """
        self.files_read = []
        return read_source_files(self, source, folder, columns, file_column)

    def read_files(
        self,
        source: str,
        folder: Path,
        expected: Collection[str] = (),
        as_written: Sequence[str] = (),
        file_column: str = "",
    ) -> ibis.Table:
        """Read a table from a Parquet file, glob or folder, or from a remote path such as s3a:// or hdfs://.

        Args:
            source: What to read, relative to `folder`.
            folder: The folder of the config.
            expected: Not used: Parquet has names of columns.
            as_written: Not used: Parquet has types.
            file_column: Add a column of this name with the file of each row.

        Returns:
            The rows of all files.

        Raises:
            DataError: There are no files, they are not Parquet, or they cannot be read.
            UsageError: The source is a database.
        """
        files = local_parquet(source, folder)
        try:
            reader = self.session.read.option("mergeSchema", "true")
            place = real_path(user_path(source, folder))
            if place.is_dir():
                reader = reader.option("basePath", f"file://{place}")  # so that day=2024-01-01/ is a column
            frame = read_parquet(reader, files, file_column) if files else reader.parquet(source)
            read = note_files_not_read(source, folder, files.read) if files else FilesRead(source, ())
            self.files_read.append(read)
            return self._view(f"read_{next(self._numbers)}", frame)
        except SPARK_ERRORS as problem:
            hint = "; write its times as microseconds" if "NANOS" in str(problem) else ""
            raise DataError(f"{source}: cannot be read as parquet: {error_summary(problem)}{hint}") from None

    def apply_query(self, table: ibis.Table, source: Source, folder: Path) -> ibis.Table:
        """Run the query of a section over its table, as a temporary view.

        Args:
            table: The table, which the SQL calls `source`.
            source: The section, with its query: one SELECT in Spark's dialect.
            folder: Not used: Spark reads paths by its own rules.

        Returns:
            The rows that the query selects.

        Raises:
            UsageError: The SQL does not parse, is more than one SELECT, or names a table or column that is not there.
        """
        require_one_select(source.query, source.section)
        self._frame(table).createOrReplaceTempView("source")
        try:
            rows = self.session.sql(f"SELECT * FROM (\n{without_semicolon(source.query)}\n)")  # noqa: S608 (one SELECT)
            queried = self._view(f"queried {source.section}", rows)
        except SPARK_ERRORS as problem:
            where = f"[{source.section}] query"
            raise UsageError(f"{where} is not understood by Spark: {error_summary(problem)}") from None
        self._query_views[queried.get_name()] = source.section
        return queried

    @contextmanager
    def temporary_stages(self) -> Iterator[None]:
        """At the end of the block, drop the tables that were stored in it, with their files."""
        kept = len(self._stored)
        try:
            yield
        finally:
            for view, place in self._stored[kept:]:
                self.session.catalog.dropTempView(view)
                delete_folder(place, self.session)
            del self._stored[kept:]

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Run an expression once, store its rows under a name, and return the stored table.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """
        try:
            return self._keep(name, self._frame(expr))
        except SPARK_ERRORS as problem:
            query = query_at_fault(self.connection.compile(expr), self._query_views)
            raise DataError(f"{query}while building {name}: {error_reason(problem)}") from None

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Store a small Arrow table under a name and return the stored table."""
        naive = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) and f.type.tz is None]
        return self._keep(name, without_zone(self.session.createDataFrame(rows), naive))

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Apply a Python function to batches of an expression's rows in Spark's workers, and store its output.

        Args:
            expr: The input rows.
            function: From a batch of rows to any number of rows; each output row depends on one input row only. It is a
                module-level function, with further arguments bound by `functools.partial`; the workers get its package.
            schema: The schema of the output; columns are cast and ordered to it.
            name: The name of the stored table.

        Returns:
            The stored table.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """
        self.send_packages("features")
        kinds = pt.StructType([pt.StructField(f.name, from_arrow_type(f.type)) for f in schema])
        work = partial(map_batches, function=function, columns=expr.schema().to_pyarrow(), schema=schema)
        try:
            return self._keep(name, self._frame(expr).mapInArrow(work, kinds))
        except SPARK_ERRORS as problem:
            raise DataError(f"while building {name}: {error_reason(problem)}") from None

    def aggregate_windows(self, rows: ibis.Table, spec: WindowSpec, name: str) -> ibis.Table:
        """Aggregate measures over windows of the past in Spark's workers, and store them.

        Args:
            rows: Event-like rows as `window_aggregate.aggregate_by_window` takes them.
            spec: The cutoffs, the spans and the measures.
            name: The name of the stored table.

        Returns:
            The stored table, with the columns of `spec.schema`.

        Raises:
            DataError: The computation fails, or the scratch space is full.
        """
        self.send_packages("features")
        inputs, column_names = select_inputs(rows, spec)
        kinds = pt.StructType([pt.StructField(f.name, from_arrow_type(f.type)) for f in spec.schema])
        picklable_spec = replace(
            spec, measures=tuple(replace(m, of=None) for m in spec.measures)
        )  # already computed in `inputs`
        columns = pa.schema([field.with_nullable(True) for field in inputs.schema().to_pyarrow()])
        work = partial(aggregate_windows, spec=picklable_spec, columns=columns, column_names=column_names)
        keys = [spark_column(column_names[key]) for key in ("customer_id", "day")]
        try:
            ordered = self._frame(inputs).repartition(keys[0]).sortWithinPartitions(*keys)
            return self._keep(name, ordered.mapInArrow(work, kinds))
        except SPARK_ERRORS as problem:
            raise DataError(f"while building {name}: {error_reason(problem)}") from None

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Run an expression and return its rows."""
        try:
            rows = self.session.sql(self.connection.compile(expr)).toArrow()
        except SPARK_ERRORS as problem:
            query = query_at_fault(self.connection.compile(expr), self._query_views)
            raise DataError(f"{query}while reading the data: {error_reason(problem)}") from None
        return rows.cast(expr.schema().to_pyarrow())

    def count_rows(self, table: ibis.Table) -> int:
        """Return the number of rows of an expression."""
        return int(self.to_arrow(table.aggregate(n=table.count()))["n"][0].as_py())

    def fingerprint(self, table: ibis.Table) -> str:
        """Return a text that changes if any row of a stored table changes, whatever the order of rows."""
        row = self._hashed(table).agg(*map(F.expr, ROWS_DIGEST)).collect()[0]
        return str(tuple(row))

    def fingerprints_by_day(self, table: ibis.Table, column: str) -> list[tuple[date | None, str]]:
        """Return a text as `fingerprint` does for the rows of each day in a date column."""
        rows = self._hashed(table).groupBy(spark_column(column)).agg(*map(F.expr, ROWS_DIGEST)).collect()
        return [(day, str(tuple(digest))) for day, *digest in rows]

    def _hashed(self, table: ibis.Table) -> DataFrame:
        """Add a hash of each row; Spark's hash skips nulls, so `isNull` of each column is hashed as well."""
        columns = [part for c in map(spark_column, table.columns) for part in (c, c.isNull())]
        return self.session.table(quote_name(table.get_name(), "`")).withColumn("h", F.xxhash64(*columns))

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Hash texts with a key (`features.keyed_hash`). The key appears in no SQL, plan, log or message."""
        self.send_packages("features")
        name = f"keyed_{next(self._numbers)}"
        self.session.udf.register(
            name, F.arrow_udf(text_hasher(key), pt.StringType(), functionType=F.ArrowUDFType.SCALAR)
        )
        return builtin_text_function(name)(text)

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in local time of `zone` to a naive timestamp in UTC.

        When clocks show an hour twice, Spark takes the first and DuckDB the second. To agree with DuckDB, this takes
        the second, which has the zone's UTC offset of a day later.
        """
        day, zone_name = ibis.interval(days=1), ibis.literal(zone)
        first, second = _to_utc(moment, zone_name), _to_utc(moment + day, zone_name) - day
        return (_from_utc(second, zone_name) == moment).ifelse(second, first)

    def from_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """Convert a naive timestamp in UTC to a naive timestamp in local time of `zone`."""
        return _from_utc(moment, ibis.literal(zone))

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Parse text in a strftime layout to a naive timestamp; null if it does not match.

        Raises:
            UsageError: A directive of the layout has no counterpart in Java's patterns.
        """
        pattern = java_pattern(layout)
        parsed = _try_to_timestamp(text.re_replace(SURROUNDING_SPACE, ""), ibis.literal(pattern))
        if "yyyy" in pattern:
            return parsed
        # Two-digit years mean 1969 to 2068, as in strptime; in Java they mean 2000 to 2099.
        return (parsed.year() >= 2069).ifelse(parsed - ibis.interval(years=100), parsed)

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Run an expression and write its rows as Parquet parts into an empty folder, without collecting them.

        Raises:
            DataError: The computation fails, or the disk is full.
        """
        try:
            self._frame(expr).write.mode("append").option("compression", "zstd").parquet(f"file://{real_path(target)}")
        except SPARK_ERRORS as problem:
            raise DataError(f"while writing {target.name}: {error_reason(problem)}") from None
        for extra in (*target.glob(".*.crc"), *target.glob("_SUCCESS")):
            extra.unlink()

    def interrupt(self) -> None:
        """Stop the running computations, from another thread."""
        self.session.sparkContext.cancelAllJobs()

    def close(self) -> None:
        """Remove the stored tables, and stop Spark if this engine started it."""
        if hasattr(self, "_stages") and is_remote_path(self._stages):
            delete_folder(self._stages, self.session)
        if self._started:
            self._started.stop()
        self._local.cleanup()

    def send_packages(self, *packages: str) -> None:
        """Send these packages of ours to Spark's workers, where they need not be installed."""
        self._sent |= send_packages([p for p in packages if p not in self._sent], self.session, Path(self._local.name))

    def _frame(self, expr: ibis.Table) -> DataFrame:
        """Return an expression as a DataFrame; a naive timestamp of Ibis stays without a zone in Spark."""
        frame = self.session.sql(self.connection.compile(expr))
        return without_zone(
            frame, [c for c, kind in expr.schema().items() if kind.is_timestamp() and not kind.timezone]
        )

    def _keep(self, name: str, frame: DataFrame) -> ibis.Table:
        place = f"{self._stages}/stage-{next(self._numbers)}"
        frame.write.parquet(place)
        stored = self._view(name, self.session.read.schema(frame.schema).parquet(place))
        self._stored.append((stored.get_name(), place))
        return stored

    def _view(self, name: str, frame: DataFrame) -> ibis.Table:
        """Register a DataFrame as a view that Ibis reads with the right types (timestamps with and without a zone)."""
        view = claim_name(name, self._used_names)
        frame.createTempView(quote_name(view, "`"))
        kinds = {field.name: ibis_type(field.dataType) for field in frame.schema}
        table = ops.DatabaseTable(view, schema=ibis.schema(kinds), source=self.connection, namespace=ops.Namespace())
        return table.to_expr()
