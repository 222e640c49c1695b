"""Rows out of PostgreSQL, DuckDB and SQLite as Arrow batches: the query and the choice of columns run in the database.

Rows never pass through Python one by one. The drivers are Arrow's own (ADBC: PostgreSQL's binary COPY, decoded in C)
and DuckDB itself. Ibis reads PostgreSQL through Python tuples, at a third of the speed (benchmarks/databases.py).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import duckdb
import pyarrow as pa
from adbc_driver_manager.dbapi import Error as DriverError
from adbc_driver_sqlite import dbapi as sqlite

from features.errors import DataError, UsageError
from features.sources import postgres
from features.sources.source import Source, require_columns, require_personal, require_table

ATTACHED_NAME = "regulars_source"
BATCH_ROWS = 100_000
# What DuckDB's Arrow has no plain type for arrives as text.
DUCKDB_AS_TEXT = re.compile(r"ENUM|UUID|JSON|BIT|BLOB|TIME$|TIME WITH|INTERVAL")
SQLITE_TYPES = {"integer": ("0", "INTEGER"), "real": ("0.0", "REAL"), "text": ("''", "TEXT")}
LOCK_TIMEOUT = 10_000  # milliseconds


class DatabaseSession(Protocol):
    """An open, read-only view of one moment of a database."""

    def tables(self) -> dict[str, str]:
        """The tables and views by name, each as quoted SQL."""

    def columns(self, rows: str) -> dict[str, Any]:
        """The columns of what stands in FROM, in order, each with what the database says of its type."""

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of these columns; the first batch may be empty, so that the types are always known."""


def read_database(
    source: Source, folder: Path, columns: Mapping[str, str], ids: Sequence[str], connection: duckdb.DuckDBPyConnection
) -> Generator[pa.RecordBatch, None, None]:
    """Reads a table or query of a database, as of one moment, in bounded memory.

    Args:
        source: The database, the table, the query.
        folder: What paths in the URL are relative to.
        columns: The columns that are needed, by their roles; only these are read. Empty: all.
        ids: Columns of ids, whose digits are all kept.
        connection: The engine's, whose limits hold for a DuckDB file too.

    Yields:
        Batches of one schema, at least one.

    Raises:
        DataError: The database refuses, is not reached, or ends before its rows do.
        UsageError: The table or a column is not there, or the query is not understood.
    """
    with _explained(source), _open(source, folder, connection) as session:
        rows = _rows(source, session)
        found = session.columns(rows)
        require_columns(source.section, columns, found)
        if not source.query:
            require_personal(source, found)
        named = set(columns.values()) or found.keys() - set(source.personal)
        wanted = {name: found[name] for name in found if name in named}
        yield from session.batches(rows, wanted, ids)


def _rows(source: Source, session: DatabaseSession) -> str:
    """What stands in FROM: the table, or the query over it."""
    table = require_table(source, session.tables()) if source.table else ""
    if not source.query:
        return table
    over = f"WITH source AS (SELECT * FROM {table}) " if table else ""  # noqa: S608 (quoted)
    return f"({over}SELECT * FROM (\n{source.query.strip().rstrip(';')}\n) AS queried) AS queried"  # noqa: S608


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
            f"after four it is absolute"
        )
    with _duckdb(path, connection) if source.database == "duckdb" else _sqlite(path, source) as session:
        yield session


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """Turns what a driver raises into one message; neither the driver's nor ours holds a password."""
    try:
        yield
    except (DriverError, pa.ArrowException, OSError) as problem:
        reads = postgres.explain_error if source.database == "postgresql" else _sqlite_reason
        reason, wrong = reads(str(problem), getattr(problem, "sqlstate", None) or "")
    except duckdb.Error as problem:
        wrong = isinstance(problem, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException)
        reason = str(problem).strip().splitlines()[0]
    else:
        return
    if wrong and source.query:
        raise UsageError(f"[{source.section}] query is not understood by {source.display_name}: {reason}")
    raise DataError(f"{source.display_name}: cannot be read: {reason}")


class _DuckDB:
    """A DuckDB file beside the engine's own tables."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection):
        self._cursor = cursor

    def tables(self) -> dict[str, str]:
        found = self._cursor.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = $1 UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = $1 AND NOT internal",
            [ATTACHED_NAME],
        ).fetchall()
        return {f"{schema}.{table}": f"{_name(schema)}.{_name(table)}" for schema, table in found} | {
            table: f"{_name(schema)}.{_name(table)}" for schema, table in found if schema == "main"
        }

    def columns(self, rows: str) -> dict[str, Any]:
        described = self._cursor.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()  # noqa: S608 (quoted)
        return {name: kind for name, kind, *_ in described}

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        chosen = ", ".join(
            f"CAST({_name(c)} AS VARCHAR) AS {_name(c)}" if DUCKDB_AS_TEXT.match(kind) else _name(c)
            for c, kind in columns.items()
        )
        result = self._cursor.execute(f"SELECT {chosen} FROM {rows}").fetch_record_batch(BATCH_ROWS)  # noqa: S608 (quoted)
        yield _empty(result.schema)
        yield from result


@contextmanager
def _duckdb(path: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[_DuckDB]:
    with connection.cursor() as cursor:
        cursor.execute(f"ATTACH {_quoted(str(path))} AS {ATTACHED_NAME} (READ_ONLY)")
        try:
            cursor.execute(f"USE {ATTACHED_NAME}")
            cursor.execute("SET TimeZone = 'UTC'")
            yield _DuckDB(cursor)
        finally:
            cursor.execute("USE memory")
            cursor.execute(f"DETACH {ATTACHED_NAME}")


class _SQLite:
    """A SQLite file, where a type belongs to each value: a column is read if its values are of one type."""

    def __init__(self, cursor: sqlite.Cursor, source: Source):
        self._cursor, self._source = cursor, source

    def tables(self) -> dict[str, str]:
        self._cursor.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return {name: _name(name) for (name,) in self._cursor.fetchall() if not name.startswith("sqlite_")}

    def columns(self, rows: str) -> dict[str, Any]:
        self._cursor.execute(f"SELECT * FROM {rows} LIMIT 0")  # noqa: S608 (quoted)
        return dict.fromkeys(self._cursor.fetch_record_batch().schema.names)

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Casts every column to the type that its values have; a row of our own in front tells it to the driver."""
        kinds = self._kinds(rows, list(columns))
        first = ", ".join(f"{SQLITE_TYPES[kind][0]} AS {_name(c)}" for c, kind in kinds.items())
        cast = ", ".join(f"CAST({_name(c)} AS {SQLITE_TYPES[kind][1]})" for c, kind in kinds.items())
        self._cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
        self._cursor.execute(f"SELECT {first} UNION ALL SELECT {cast} FROM {rows}")  # noqa: S608 (quoted)
        for place, batch in enumerate(self._cursor.fetch_record_batch()):
            yield batch if place else batch.slice(1)

    def _kinds(self, rows: str, columns: list[str]) -> dict[str, str]:
        """Which type the values of each column have: integer, real (integers among them too) or text."""
        kinds = ("integer", "real", "text", "blob")
        counts = ", ".join(f"sum(typeof({_name(c)}) = '{kind}')" for c in columns for kind in kinds)
        self._cursor.execute(f"SELECT {counts} FROM {rows}")  # noqa: S608 (quoted)
        found = [n or 0 for n in self._cursor.fetchall()[0]]
        each = [dict(zip(kinds, found[i * 4 : i * 4 + 4], strict=True)) for i in range(len(columns))]
        return {column: self._kind(column, counted) for column, counted in zip(columns, each, strict=True)}

    def _kind(self, column: str, counted: Mapping[str, int]) -> str:
        there = [kind for kind, rows in counted.items() if rows]
        if there == ["integer", "real"]:
            return "real"
        if len(there) > 1 or there == ["blob"]:
            mixed = " and ".join(f"{counted[kind]:,} {kind}" for kind in there)
            raise DataError(
                f"{self._source.source}: column {column!r} holds {mixed} values; expected one type: "
                f"CAST it in [{self._source.section}] query"
            )
        return there[0] if there else "text"


@contextmanager
def _sqlite(path: Path, source: Source) -> Iterator[_SQLite]:
    """One read transaction, so that what is counted is what is then read."""
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    with sqlite.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executescript(f"PRAGMA busy_timeout = {LOCK_TIMEOUT}")
        cursor.executescript("BEGIN")
        yield _SQLite(cursor, source)


def _sqlite_reason(text: str, code: str) -> tuple[str, bool]:
    """What SQLite says, in one line, and whether the SQL is at fault."""
    said = text.split("\nquery:")[0].strip()
    wrong = "Failed to prepare query" in said and not re.search("not a database|malformed|locked", said)
    return re.sub(r"^([A-Z_]+: )?(\[SQLite\] )?(Failed to (prepare|step) query: )?", "", said), wrong


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
