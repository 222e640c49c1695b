"""Where expressions run when the data outgrew the machine: Spark. Reads and writes Parquet; knows no churn.

Every stage is written to Parquet in the scratch folder and read back, so that a long plan is not computed twice.
Rows reach this process only where a caller asks for them with `arrow`. Importing this module imports PySpark.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import pyarrow as pa

from features.code_digest import PROJECT_ROOT
from features.config.load import EngineConfig
from features.engines.base import builtin_text_function, error_summary, quote_name, read_source_files, scratch_folder
from features.engines.java_time_format import java_pattern
from features.engines.spark_files import is_remote_path, spark_paths, zip_package
from features.engines.spark_session import SPARK_ERRORS, SQL_SETTINGS, active_session, start_session
from features.engines.spark_workers import aggregate_windows, map_batches
from features.engines.window_aggregate import select_inputs
from features.engines.window_spec import WindowSpec
from features.errors import DataError, UsageError
from features.keyed_hash import text_hasher
from features.sources.source import Source

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that pandas 3 is newer than what PySpark was tested with
    import pyspark.sql.functions as F
    import pyspark.sql.types as pt
    from ibis.backends.pyspark.datatypes import PySparkType
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.pandas.types import from_arrow_type

SURROUNDING_SPACE = r"^[\x09-\x0d ]+|[\x09-\x0d ]+$"
ROWS_DIGEST = ("count(*)", "bit_xor(h)", "sum(pmod(h, 1000000007))")


@ibis.udf.scalar.builtin(name="to_utc_timestamp", signature=((dt.timestamp, dt.string), dt.timestamp))
def _to_utc(moment, zone):  # type: ignore[no-untyped-def]
    """A moment on the clocks of a zone as a moment in UTC (Spark's own function)."""


@ibis.udf.scalar.builtin(name="from_utc_timestamp", signature=((dt.timestamp, dt.string), dt.timestamp))
def _from_utc(moment, zone):  # type: ignore[no-untyped-def]
    """A moment in UTC on the clocks of a zone (Spark's own function)."""


@ibis.udf.scalar.builtin(name="try_to_timestamp", signature=((dt.string, dt.string), dt.timestamp))
def _parse_time(text, pattern):  # type: ignore[no-untyped-def]
    """Text as a moment, or null (Spark's own function)."""


class SparkEngine:
    """Spark in this process or on a cluster; stages are Parquet in a scratch folder that goes when it closes."""

    writes_folders = True

    def __init__(self, config: EngineConfig, folder: Path):
        local = "" if is_remote_path(config.scratch) else config.scratch
        self._local = tempfile.TemporaryDirectory(
            prefix="regulars-", dir=scratch_folder(EngineConfig(scratch=local), folder), ignore_cleanup_errors=True
        )
        self._numbers, self._sent = itertools.count(1), set[str]()
        self._started: SparkSession | None = None
        try:
            given = active_session()
            if given is None:
                given = self._started = start_session(config, Path(self._local.name))
            self.session: SparkSession = given.newSession()
            for key, value in SQL_SETTINGS.items():
                self.session.conf.set(key, value)
            self._stages = self._shared_place(config)
        except BaseException:
            self.close()
            raise
        self.connection = ibis.pyspark.connect(self.session)

    def _shared_place(self, config: EngineConfig) -> str:
        """Where stages go: a folder that every process of Spark reaches.

        Raises:
            UsageError: Spark runs on several machines and the scratch folder is on this one.
        """
        if is_remote_path(config.scratch):
            return f"{config.scratch.rstrip('/')}/regulars-{uuid4().hex}"
        if not config.scratch and not str(self.session.sparkContext.master).startswith("local"):
            raise UsageError(
                f"[engine] scratch: Spark runs on {self.session.sparkContext.master}, so stages need a folder that "
                "every machine of it reaches, such as 's3a://bucket/tmp' or 'hdfs:///tmp'"
            )
        return f"file://{self._local.name}"

    def read_source(
        self, source: Source, folder: Path, columns: Mapping[str, str] = MappingProxyType({}), ids: Sequence[str] = ()
    ) -> ibis.Table:
        """The rows that a section of the config names, its query done.

        Raises:
            DataError: Nothing is there, it is not Parquet, or it cannot be read.
            UsageError: It is a database, or the query is not understood.
        """
        return read_source_files(self, source, folder, ids)

    def read_files(self, source: str, folder: Path, ids: Sequence[str] = ()) -> ibis.Table:
        """The table behind a Parquet file, glob or folder; a place such as s3a:// or hdfs:// is left to Spark.

        Args:
            source: What to read, relative to `folder`.
            folder: Where the config lies.
            ids: Of no use here: Parquet has types.

        Raises:
            DataError: Nothing is there, it is not Parquet, or it cannot be read.
            UsageError: It is a database.
        """
        try:
            reader = self.session.read.option("mergeSchema", "true")
            place = (folder / Path(source).expanduser()).resolve()
            if place.is_dir():
                reader = reader.option("basePath", f"file://{place}")  # so that day=2024-01-01/ is a column
            return self._view(f"read_{next(self._numbers)}", reader.parquet(*spark_paths(source, folder)))
        except SPARK_ERRORS as problem:
            hint = "; write its times as microseconds" if "NANOS" in str(problem) else ""
            raise DataError(f"{source}: cannot be read as parquet: {error_summary(problem)}{hint}") from None

    def count_rejected_lines(self) -> int:
        """How many lines of CSV had another number of columns than the header: none, as no CSV is read."""
        return 0

    def apply_query(self, table: ibis.Table, sql: str, section: str = "events") -> ibis.Table:
        """A user's SQL, in Spark's dialect, over `table`, which it calls `source`; kept as a temporary view.

        Raises:
            UsageError: The SQL does not parse or names what is not there.
        """
        self._frame(table).createOrReplaceTempView("source")
        try:
            return self._view(f"queried {section}", self.session.sql(sql.rstrip().rstrip(";")))
        except SPARK_ERRORS as problem:
            raise UsageError(f"[{section}] query is not understood by Spark: {error_summary(problem)}") from None

    def store(self, name: str, expr: ibis.Table) -> ibis.Table:
        """Runs an expression once and keeps its rows under a name; returns the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        try:
            return self._keep(name, self._frame(expr))
        except SPARK_ERRORS as problem:
            raise DataError(f"while building {name}: {error_summary(problem)}") from None

    def store_arrow(self, name: str, rows: pa.Table) -> ibis.Table:
        """Keeps a small Arrow table under a name; returns the stored table."""
        naive = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) and f.type.tz is None]
        return self._keep(name, _naive(self.session.createDataFrame(rows), naive))

    def map_batches(
        self, expr: ibis.Table, function: Callable[[pa.Table], pa.Table], schema: pa.Schema, name: str
    ) -> ibis.Table:
        """Puts an expression's rows through Python in Spark's workers, a batch at a time; keeps what comes out.

        Args:
            expr: What goes in.
            function: From a batch of rows to any number of rows, each made of one row alone. A function of a module,
                its other arguments bound by `functools.partial`; the workers get the module's package.
            schema: Of what comes out; its columns are cast and ordered to it.
            name: Of the stored table.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        self.send_packages("features")
        kinds = pt.StructType([pt.StructField(f.name, from_arrow_type(f.type)) for f in schema])
        work = partial(map_batches, function=function, columns=expr.schema().to_pyarrow(), schema=schema)
        try:
            return self._keep(name, self._frame(expr).mapInArrow(work, kinds))
        except SPARK_ERRORS as problem:
            raise DataError(f"while building {name}: {error_summary(problem)}") from None

    def aggregate_windows(self, rows: ibis.Table, plan: WindowSpec, name: str) -> ibis.Table:
        """Measures of event-like rows over spans of the past, in Spark's workers; kept under a name.

        Raises:
            DataError: The data do not allow it, or the scratch space is full.
        """
        self.send_packages("features")
        read, sources = select_inputs(rows, plan)
        kinds = pt.StructType([pt.StructField(f.name, from_arrow_type(f.type)) for f in plan.schema])
        bare = replace(plan, measures=tuple(replace(m, of=None) for m in plan.measures))  # what they read is read
        columns = pa.schema([field.with_nullable(True) for field in read.schema().to_pyarrow()])
        work = partial(aggregate_windows, plan=bare, columns=columns, sources=sources)
        keys = [_column(sources[key]) for key in ("customer_id", "day")]
        try:
            ordered = self._frame(read).repartition(keys[0]).sortWithinPartitions(*keys)
            return self._keep(name, ordered.mapInArrow(work, kinds))
        except SPARK_ERRORS as problem:
            raise DataError(f"while building {name}: {error_summary(problem)}") from None

    def to_arrow(self, expr: ibis.Table) -> pa.Table:
        """Runs an expression and returns its rows."""
        try:
            rows = self.session.sql(self.connection.compile(expr)).toArrow()
        except SPARK_ERRORS as problem:
            raise DataError(f"while reading the data: {error_summary(problem)}") from None
        return rows.cast(expr.schema().to_pyarrow())

    def count_rows(self, table: ibis.Table) -> int:
        """How many rows an expression has."""
        return int(self.to_arrow(table.aggregate(n=table.count()))["n"][0].as_py())

    def fingerprint(self, table: ibis.Table) -> str:
        """A text that changes when any row of a stored table does and does not depend on their order."""
        row = self._hashed(table).agg(*map(F.expr, ROWS_DIGEST)).collect()[0]
        return str(tuple(row))

    def fingerprints_by_day(self, table: ibis.Table, column: str) -> list[tuple[date | None, str]]:
        """A text as `content` gives for the rows of each day in a column."""
        rows = self._hashed(table).groupBy(_column(column)).agg(*map(F.expr, ROWS_DIGEST)).collect()
        return [(day, str(tuple(told))) for day, *told in rows]

    def _hashed(self, table: ibis.Table) -> DataFrame:
        """The rows of a stored table with a hash of each; Spark's own passes over nulls, so they are told apart."""
        columns = [part for c in map(_column, table.columns) for part in (c, c.isNull())]
        return self.session.table(quote_name(table.get_name(), "`")).withColumn("h", F.xxhash64(*columns))

    def hash_texts(self, text: ibis.Value, key: bytes) -> ibis.Value:
        """Texts as their keyed hashes (`features.keyed_hash`). The key is in no SQL, plan, log or message."""
        self.send_packages("features")
        name = f"keyed_{next(self._numbers)}"
        self.session.udf.register(
            name, F.arrow_udf(text_hasher(key), pt.StringType(), functionType=F.ArrowUDFType.SCALAR)
        )
        return builtin_text_function(name)(text)

    def to_utc(self, moment: ibis.Value, zone: str) -> ibis.Value:
        """A naive timestamp on the clocks of `zone` as a naive timestamp in UTC.

        Of an hour that clocks show twice, Spark takes the first and DuckDB the second; so this is the second, which has
        the zone's distance from UTC of a day later.
        """
        day, there = ibis.interval(days=1), ibis.literal(zone)
        first, second = _to_utc(moment, there), _to_utc(moment + day, there) - day
        return (_from_utc(second, there) == moment).ifelse(second, first)

    def parse_time(self, text: ibis.Value, layout: str) -> ibis.Value:
        """Text in a strftime layout as a naive timestamp; null where it does not fit.

        Raises:
            UsageError: A directive of the layout has no counterpart in Java's patterns.
        """
        pattern = java_pattern(layout)
        read = _parse_time(text.re_replace(SURROUNDING_SPACE, ""), ibis.literal(pattern))
        if "yyyy" in pattern:
            return read
        # Two digits of a year are of 1969 to 2068, as in strptime; Java has 2000 to 2099.
        return (read.year() >= 2069).ifelse(read - ibis.interval(years=100), read)

    def write_parquet(self, expr: ibis.Table, target: Path) -> None:
        """Runs an expression and writes its rows as Parquet parts into the empty folder `target`; collects nothing.

        Raises:
            DataError: The data do not allow it, or the place is full.
        """
        try:
            self._frame(expr).write.mode("append").option("compression", "zstd").parquet(f"file://{target.resolve()}")
        except SPARK_ERRORS as problem:
            raise DataError(f"while writing {target.name}: {error_summary(problem)}") from None
        for extra in (*target.glob(".*.crc"), *target.glob("_SUCCESS")):
            extra.unlink()

    def close(self) -> None:
        """Removes the stages, and ends Spark where this engine started it."""
        if hasattr(self, "_stages") and is_remote_path(self._stages):
            java = self.session.sparkContext._gateway.jvm  # type: ignore[union-attr]
            place = java.org.apache.hadoop.fs.Path(self._stages)
            place.getFileSystem(self.session._jsc.hadoopConfiguration()).delete(place, True)
        if self._started:
            self._started.stop()
        self._local.cleanup()

    def send_packages(self, *rooms: str) -> None:
        """Gives the workers these packages of ours, which need not be installed where they run.

        Workers on this machine read `training` and `serving` where they lie, so that machine code compiled from them is
        kept for the next run; others get all as archives.
        """
        context, house = self.session.sparkContext, PROJECT_ROOT
        if str(context.master).startswith("local"):
            paths = context.environment.get("PYTHONPATH", "").split(os.pathsep)
            if str(house) not in paths:
                context.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(house), *paths)))
            rooms = tuple(room for room in rooms if room == "features")
        for room in rooms:
            if room not in self._sent:
                context.addPyFile(str(zip_package(house / room, Path(self._local.name))))
                self._sent.add(room)

    def _frame(self, expr: ibis.Table) -> DataFrame:
        """An expression as a DataFrame; a naive timestamp of Ibis is one without a zone in Spark, too."""
        frame = self.session.sql(self.connection.compile(expr))
        return _naive(frame, [c for c, kind in expr.schema().items() if kind.is_timestamp() and not kind.timezone])

    def _keep(self, name: str, frame: DataFrame) -> ibis.Table:
        place = f"{self._stages}/stage-{next(self._numbers)}"
        frame.write.parquet(place)
        return self._view(name, self.session.read.schema(frame.schema).parquet(place))

    def _view(self, name: str, frame: DataFrame) -> ibis.Table:
        """A DataFrame under a name, for Ibis to read, which by itself would take instants for naive timestamps."""
        frame.createOrReplaceTempView(quote_name(name, "`"))
        kinds = {field.name: _kind(field.dataType) for field in frame.schema}
        table = ops.DatabaseTable(name, schema=ibis.schema(kinds), source=self.connection, namespace=ops.Namespace())
        return table.to_expr()


def _kind(kind: pt.DataType) -> dt.DataType:
    return dt.Timestamp("UTC") if isinstance(kind, pt.TimestampType) else PySparkType.to_ibis(kind)


def _naive(frame: DataFrame, columns: Sequence[str]) -> DataFrame:
    return frame.withColumns({c: _column(c).cast("timestamp_ntz") for c in columns}) if columns else frame


def _column(name: str) -> Column:
    return F.col(quote_name(name, "`"))
