"""Reads PostgreSQL, DuckDB and SQLite as Arrow batches; the query and the choice of columns run in the database.

Rows are never Python objects. The drivers are Arrow's (ADBC: PostgreSQL's binary COPY, decoded in C) and DuckDB itself.
Ibis reads PostgreSQL through Python tuples, at a third of the speed (benchmarks/databases.py).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import duckdb
import pyarrow as pa
from adbc_driver_manager.dbapi import Error as DriverError
from adbc_driver_sqlite import dbapi as sqlite

from features.errors import DataError, UsageError
from features.sources import postgres
from features.sources.query import require_one_select, without_semicolon
from features.sources.source import Source, require_columns, require_personal, require_table
from features.sql_text import quote_name, quote_text
from features.storage.system_errors import explain_system_error
from features.storage.user_paths import real_path

ATTACHED_NAME = "regulars_source"
BATCH_ROWS = 100_000
# Types of DuckDB without a simple Arrow type are read as text.
DUCKDB_AS_TEXT = re.compile(r"ENUM|UUID|JSON|BIT|BLOB|TIME$|TIME WITH|INTERVAL")
SQLITE_TYPES = {"integer": ("0", "INTEGER"), "real": ("0.0", "REAL"), "text": ("''", "TEXT")}
LOCK_TIMEOUT = 10_000  # milliseconds


class DatabaseSession(Protocol):
    """An open, read-only connection that sees one snapshot of a database."""

    def tables(self) -> dict[str, str]:
        """Return the tables and views by name, each as quoted SQL."""

    def columns(self, rows: str) -> dict[str, Any]:
        """Return the columns of a FROM clause in order, each with the database's information about its type."""

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read rows.

        Args:
            rows: The FROM clause.
            columns: The columns to read, from `columns`.
            ids: Columns of ids, which keep all their digits.

        Yields:
            Batches of one schema; the first may be empty, so that the types are always known.
        """


def read_database(
    source: Source, folder: Path, columns: Mapping[str, str], ids: Sequence[str], connection: duckdb.DuckDBPyConnection
) -> Generator[pa.RecordBatch, None, None]:
    """Read a table or query of a database, from one snapshot and in bounded memory.

    Args:
        source: The database, and the table or query.
        folder: The folder that paths in the URL are relative to.
        columns: The needed columns by role; only these are read. Empty: all columns.
        ids: Columns of ids, which keep all their digits.
        connection: The engine's connection, whose limits apply to a DuckDB file, too.

    Yields:
        Batches of one schema, at least one.

    Raises:
        DataError: The database cannot be reached, refuses the connection, or fails while reading.
        UsageError: The table or a column is missing, or the query is not valid.
    """
    with _explain_errors(source), _open(source, folder, connection) as session:
        rows = _from_clause(source, session)
        available = session.columns(rows)
        require_columns(source.section, columns, available)
        if not source.query:
            require_personal(source, available)
        requested = set(columns.values()) or available.keys() - set(source.personal)
        chosen = {name: available[name] for name in available if name in requested}
        yield from session.batches(rows, chosen, ids)


def list_tables(source: Source, folder: Path) -> list[str]:
    """List the tables and views of a database that the user may read, each by its shortest name.

    Args:
        source: The database.
        folder: The folder that paths in the URL are relative to.

    Returns:
        The names, sorted.

    Raises:
        DataError: The database cannot be reached, or refuses the connection.
    """
    with closing(duckdb.connect()) as connection, _explain_errors(source), _open(source, folder, connection) as session:
        shortest: dict[str, str] = {}
        for name, quoted in sorted(session.tables().items(), key=lambda item: -len(item[0])):
            shortest[quoted] = name
        return sorted(shortest.values())


def _from_clause(source: Source, session: DatabaseSession) -> str:
    """Return the FROM clause: the table, or the query over it."""
    table = require_table(source, session.tables()) if source.table else ""
    if not source.query:
        return table
    require_one_select(source.query, source.section)
    with_clause = f"WITH source AS (SELECT * FROM {table}) " if table else ""  # noqa: S608 (quoted)
    return f"({with_clause}SELECT * FROM (\n{without_semicolon(source.query)}\n) AS queried) AS queried"  # noqa: S608


@contextmanager
def _open(source: Source, folder: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[DatabaseSession]:
    if source.database == "postgresql":
        with postgres.read_transaction(source.source, source.password()) as cursor:
            yield postgres.PostgresSession(cursor)
        return
    path = source.path(folder)
    if not path.is_file():
        raise DataError(
            f"{source.source}: no such file (looked for {path}); a path after three slashes is relative to the config, "
            "after four it is absolute: correct it"
        )
    with _open_duckdb(path, connection) if source.database == "duckdb" else _open_sqlite(path, source) as session:
        yield session


@contextmanager
def _explain_errors(source: Source) -> Iterator[None]:
    """Turn errors of a driver into one of ours; no message contains a password."""
    try:
        yield
    except (DriverError, pa.ArrowException, OSError) as problem:
        explain = postgres.explain_error if source.database == "postgresql" else _explain_sqlite_error
        reason, sql_at_fault = explain(str(problem), getattr(problem, "sqlstate", None) or "")
        known = None if source.database == "postgresql" else explain_system_error(problem)
    except duckdb.Error as problem:
        known = explain_system_error(problem)
        sql_at_fault = isinstance(problem, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException)
        reason = str(problem).strip().splitlines()[0]
    else:
        return
    if sql_at_fault and source.query:
        raise UsageError(f"[{source.section}] query is not understood by {source.display_name}: {reason}")
    raise DataError(f"{source.display_name}: cannot be read: {known or reason}")


class _DuckDBSession:
    """A DuckDB file, attached to the engine's connection."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection):
        self._cursor = cursor

    def tables(self) -> dict[str, str]:
        names = self._cursor.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = $1 UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = $1 AND NOT internal",
            [ATTACHED_NAME],
        ).fetchall()
        return {f"{schema}.{table}": f"{quote_name(schema)}.{quote_name(table)}" for schema, table in names} | {
            table: f"{quote_name(schema)}.{quote_name(table)}" for schema, table in names if schema == "main"
        }

    def columns(self, rows: str) -> dict[str, Any]:
        description = self._cursor.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()  # noqa: S608 (quoted)
        return {name: kind for name, kind, *_ in description}

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        chosen = ", ".join(
            f"CAST({quote_name(c)} AS VARCHAR) AS {quote_name(c)}" if DUCKDB_AS_TEXT.match(kind) else quote_name(c)
            for c, kind in columns.items()
        )
        result = self._cursor.execute(f"SELECT {chosen} FROM {rows}").fetch_record_batch(BATCH_ROWS)  # noqa: S608 (quoted)
        yield _empty_batch(result.schema)
        yield from result


@contextmanager
def _open_duckdb(path: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[_DuckDBSession]:
    with connection.cursor() as cursor:
        cursor.execute(f"ATTACH {quote_text(str(path))} AS {ATTACHED_NAME} (READ_ONLY)")
        try:
            cursor.execute(f"USE {ATTACHED_NAME}")
            cursor.execute("SET TimeZone = 'UTC'")
            yield _DuckDBSession(cursor)
        finally:
            cursor.execute("USE memory")
            cursor.execute(f"DETACH {ATTACHED_NAME}")


class _SQLiteSession:
    """A SQLite file. In SQLite each value has its own type: a column is read if all its values have one type."""

    def __init__(self, cursor: sqlite.Cursor, source: Source):
        self._cursor, self._source = cursor, source

    def tables(self) -> dict[str, str]:
        self._cursor.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return {name: quote_name(name) for (name,) in self._cursor.fetchall() if not name.startswith("sqlite_")}

    def columns(self, rows: str) -> dict[str, Any]:
        self._cursor.execute(f"SELECT * FROM {rows} LIMIT 0")  # noqa: S608 (quoted)
        return dict.fromkeys(self._cursor.fetch_record_batch().schema.names)

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read rows with each column cast to the type of its values; an extra first row tells the driver the types."""
        kinds = self._kinds(rows, list(columns))
        first = ", ".join(f"{SQLITE_TYPES[kind][0]} AS {quote_name(c)}" for c, kind in kinds.items())
        cast = ", ".join(f"CAST({quote_name(c)} AS {SQLITE_TYPES[kind][1]})" for c, kind in kinds.items())
        self._cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
        self._cursor.execute(f"SELECT {first} UNION ALL SELECT {cast} FROM {rows}")  # noqa: S608 (quoted)
        for place, batch in enumerate(self._cursor.fetch_record_batch()):
            yield batch if place else batch.slice(1)

    def _kinds(self, rows: str, columns: list[str]) -> dict[str, str]:
        """Return the type of each column's values: integer, real (possibly with integers) or text."""
        kinds = ("integer", "real", "text", "blob")
        counts = ", ".join(f"sum(typeof({quote_name(c)}) = '{kind}')" for c in columns for kind in kinds)
        self._cursor.execute(f"SELECT {counts} FROM {rows}")  # noqa: S608 (quoted)
        totals = [n or 0 for n in self._cursor.fetchall()[0]]
        counts_by_type = [dict(zip(kinds, totals[i * 4 : i * 4 + 4], strict=True)) for i in range(len(columns))]
        return {
            column: self._kind(column, counts_of_column)
            for column, counts_of_column in zip(columns, counts_by_type, strict=True)
        }

    def _kind(self, column: str, counts: Mapping[str, int]) -> str:
        present = [kind for kind, rows in counts.items() if rows]
        if present == ["integer", "real"]:
            return "real"
        if len(present) > 1 or present == ["blob"]:
            mixed = " and ".join(f"{counts[kind]:,} {kind}" for kind in present)
            raise DataError(
                f"{self._source.source}: column {column!r} holds {mixed} values; expected one type: "
                f"CAST it in [{self._source.section}] query"
            )
        return present[0] if present else "text"


@contextmanager
def _open_sqlite(path: Path, source: Source) -> Iterator[_SQLiteSession]:
    """Open one read transaction, so that counting and reading see the same rows."""
    uri = f"file:{quote(str(real_path(path)))}?mode=ro"
    with sqlite.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executescript(f"PRAGMA busy_timeout = {LOCK_TIMEOUT}")
        cursor.executescript("BEGIN")
        yield _SQLiteSession(cursor, source)


def _explain_sqlite_error(text: str, code: str) -> tuple[str, bool]:
    """Return SQLite's message in one line, and whether the SQL is at fault."""
    message = text.split("\nquery:")[0].strip()
    sql_at_fault = "Failed to prepare query" in message and not re.search("not a database|malformed|locked", message)
    return re.sub(r"^([A-Z_]+: )?(\[SQLite\] )?(Failed to (prepare|step) query: )?", "", message), sql_at_fault


def _empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
