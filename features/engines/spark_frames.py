"""Columns and types of Spark's DataFrames as Ibis sees them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial, reduce

import ibis.expr.datatypes as dt
import pyarrow as pa

from features.engines.spark_files import escaped_path
from features.sources.parquet_files import (
    FIRST_INEXACT_INTEGER,
    ParquetFiles,
    by_schema,
    fields_to_cast,
    fields_to_drop,
)
from features.sql_text import quote_name

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that pandas 3 is newer than what PySpark was tested with
    import pyspark.sql.functions as F
    import pyspark.sql.types as pt
    from ibis.backends.pyspark.datatypes import PySparkType
    from pyspark.sql import Column, DataFrame, DataFrameReader
    from pyspark.sql.pandas.types import from_arrow_type


def ibis_type(kind: pt.DataType) -> dt.DataType:
    """The type of Ibis for one of Spark's; a timestamp with a zone is in UTC."""
    return dt.Timestamp("UTC") if isinstance(kind, pt.TimestampType) else PySparkType.to_ibis(kind)


def without_zone(frame: DataFrame, columns: Sequence[str]) -> DataFrame:
    """A DataFrame with some columns as timestamps without a zone."""
    return frame.withColumns({c: spark_column(c).cast("timestamp_ntz") for c in columns}) if columns else frame


def spark_column(name: str) -> Column:
    """A column by its exact name, whatever characters it holds."""
    return F.col(quote_name(name, "`"))


def read_parquet(reader: DataFrameReader, files: ParquetFiles, file_column: str = "") -> DataFrame:
    """Read Parquet files of this machine, their columns united by name; each has one type in all files.

    Args:
        reader: Spark's reader, with its options.
        files: The files.
        file_column: Add a column of this name with the URL of each row's file.

    Returns:
        The rows.
    """
    frames: list[DataFrame] = []
    for schema, paths in by_schema(files):
        frame = reader.parquet(*map(escaped_path, paths))
        if file_column:
            frame = frame.withColumn(file_column, F.col("_metadata.file_path"))
        if len(frames) or files.common or files.names:
            frame = _in_common(frame, schema, files)
        frames.append(frame)
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), frames)


def _in_common(frame: DataFrame, schema: pa.Schema, files: ParquetFiles) -> DataFrame:
    """The rows of some files with the types and names that all files have in common."""
    empty = {field.name for field in fields_to_drop(schema, files)}
    columns = {c: spark_column(c) for c in frame.columns if c not in empty}
    for field, target in fields_to_cast(schema, files):
        kind = from_arrow_type(target, prefer_timestamp_ntz=True)
        columns[field.name] = _as_type(columns[field.name], field.type, kind)
    return frame.select(*(column.alias(files.names.get(c.casefold(), c)) for c, column in columns.items()))


def _as_type(column: Column, given: pa.DataType, kind: pt.DataType) -> Column:
    """A column cast to a type; whole numbers become text without a decimal point."""
    if isinstance(kind, pt.StringType) and (pa.types.is_floating(given) or pa.types.is_decimal(given)):
        is_whole = (column == F.floor(column)) & (F.abs(column) < FIRST_INEXACT_INTEGER)
        return F.when(is_whole, column.cast("bigint").cast("string")).otherwise(column.cast("string"))
    return column.cast(kind)
