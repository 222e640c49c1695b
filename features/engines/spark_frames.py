"""Columns and types of Spark's DataFrames as Ibis sees them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import ibis.expr.datatypes as dt

from features.engines.base import quote_name

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that pandas 3 is newer than what PySpark was tested with
    import pyspark.sql.functions as F
    import pyspark.sql.types as pt
    from ibis.backends.pyspark.datatypes import PySparkType
    from pyspark.sql import Column, DataFrame


def ibis_type(kind: pt.DataType) -> dt.DataType:
    """The type of Ibis for one of Spark's; a timestamp with a zone is in UTC."""
    return dt.Timestamp("UTC") if isinstance(kind, pt.TimestampType) else PySparkType.to_ibis(kind)


def without_zone(frame: DataFrame, columns: Sequence[str]) -> DataFrame:
    """A DataFrame with some columns as timestamps without a zone."""
    return frame.withColumns({c: spark_column(c).cast("timestamp_ntz") for c in columns}) if columns else frame


def spark_column(name: str) -> Column:
    """A column by its exact name, whatever characters it holds."""
    return F.col(quote_name(name, "`"))
