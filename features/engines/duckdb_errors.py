"""Errors of DuckDB as readable messages: what to do about full memory, and which file is damaged."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.engines.base import error_summary
from features.errors import DataError
from features.sources.parquet_files import DAMAGE_ADVICE, ParquetFiles, damaged_file
from features.storage.system_errors import explain_system_error

SCRATCH_FULL_SIGNS = ("failed to offload", "max_temp_directory_size")
MORE_SPACE = (
    ". Memory or the scratch folder is full: raise [engine] memory, or set [engine] scratch to a folder with more free "
    "space"
)
OTHER_TYPES = (
    "; try_cast gives null where a value does not fit, and a CAST of both sides to VARCHAR compares them as text"
)
WRONG_FORMAT = "; correct time_format, such as '%d/%m/%Y %H:%M'"
CHECK_CONFIG = "; check the columns, formats and queries that the config names"
NOT_OF_A_FILE = (duckdb.ConversionException, duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)


def failed(what: str, problem: Exception) -> DataError:
    """Return the error to raise, with what to do: if memory or disk is full, types do not fit, or anything else."""
    full = _is_full(problem)
    if isinstance(problem, duckdb.ConversionException):
        return DataError(f"{what}: {error_summary(problem).rstrip('.')}{OTHER_TYPES}")
    known = None if full else explain_system_error(problem)
    if known is not None:
        return DataError(f"{what}: {known}")
    summary = error_summary(problem).rstrip(".")
    advice = MORE_SPACE if full else WRONG_FORMAT if "format specifier" in summary else CHECK_CONFIG
    return DataError(f"{what}: {summary}{advice}")


def explain_damage(
    tables: Sequence[ParquetFiles], problem: Exception, connection: duckdb.DuckDBPyConnection
) -> DataError | None:
    """Return the error to raise if a Parquet file is damaged behind its intact footer.

    Args:
        tables: The files that failing SQL reads. They are read once more, each by itself.
        problem: Why it failed.
        connection: Where it failed.

    Returns:
        The error, with the name of the file; None if all files can be read, or the problem is of another sort.
    """
    if isinstance(problem, NOT_OF_A_FILE) or _is_full(problem):
        return None
    name = next(filter(None, (damaged_file(files, connection) for files in tables)), "")
    return DataError(f"{name}: cannot be read as parquet: {error_summary(problem)}; {DAMAGE_ADVICE}") if name else None


def _is_full(problem: Exception) -> bool:
    return isinstance(problem, duckdb.OutOfMemoryException) or any(sign in str(problem) for sign in SCRATCH_FULL_SIGNS)
