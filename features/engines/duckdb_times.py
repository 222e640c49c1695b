"""DuckDB's built-in functions of times, for expressions of Ibis."""

from __future__ import annotations

import ibis
import ibis.expr.datatypes as dt


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), dt.Timestamp("UTC")))
def localise(zone, moment):  # type: ignore[no-untyped-def]
    """Convert local time of a zone to UTC (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp("UTC")), dt.timestamp))
def local_clock(zone, moment):  # type: ignore[no-untyped-def]
    """Convert UTC to local time of a zone (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.timestamp))
def parse_time(text, layout):  # type: ignore[no-untyped-def]
    """Parse text to a timestamp, or null (DuckDB's built-in function)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((dt.string, dt.string), dt.Timestamp("UTC")))
def parse_zoned_time(text, layout):  # type: ignore[no-untyped-def]
    """Parse text with an offset or a zone, or null (DuckDB's built-in function)."""
