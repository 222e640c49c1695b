"""PostgreSQL through Arrow's driver (ADBC): transactions, the conversion of types, and readable error messages."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from features.sql_text import quote_name

Cursor = dbapi.Cursor
CONNECT_TIMEOUT = 10  # seconds to connect
PLAIN_TYPES = {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar"}
TIME_TYPES = {"date", "timestamp", "timestamptz"}
# A server that stops answering is given up after a minute; the operating system would wait two hours.
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
READ_ADVICE = {
    "no password supplied": "set PGPASSWORD, or password_env to the name of the variable that holds the password",
    "password authentication failed": "check the user in the URL, and PGPASSWORD (or what password_env names)",
    "could not translate host name": "check the host in the URL",
    "Connection refused": "check host and port, and that PostgreSQL runs there",
    "timeout expired": "check host, port and firewall; connect_timeout=SECONDS in the URL waits longer",
    "statement timeout": "let the query read less, or raise statement_timeout for this user",
    "permission denied": "grant this user SELECT on what is read",
}
WRITE_ADVICE = {
    "permission denied": "grant this user INSERT, SELECT and DELETE on the table, and TEMPORARY on the database",
    "No space left": "make room on the server",
}
CONNECTION_LOST = re.compile(
    r"terminating connection|server closed the connection|connection (reset|lost|not open)|no COPY in"
)


class PostgresSession:
    """An open transaction for reading."""

    def __init__(self, cursor: dbapi.Cursor):
        self._cursor = cursor

    def tables(self) -> dict[str, str]:
        """Return the readable tables and views by name; those in the search path also without their schema."""
        self._cursor.execute(
            "SELECT nspname::text, relname::text, pg_table_is_visible(c.oid) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f') "
            "AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)' "
            "AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')"
        )
        names = self._cursor.fetchall()
        return {f"{schema}.{table}": f"{quote_name(schema)}.{quote_name(table)}" for schema, table, _ in names} | {
            table: f"{quote_name(schema)}.{quote_name(table)}" for schema, table, visible in names if visible
        }

    def columns(self, rows: str) -> dict[str, pa.Field]:
        """Return the columns with the database's types, without running a query."""
        schema = self._cursor.adbc_execute_schema(f"SELECT * FROM {rows}")  # noqa: S608 (quoted)
        return {field.name: field for field in schema}

    def batches(self, rows: str, columns: Mapping[str, Any], ids: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read rows; NUMERIC(p, s) as decimals, NUMERIC without a size as doubles (ids as text).

        Args:
            rows: The FROM clause.
            columns: The columns to read, from `columns`.
            ids: Columns of ids, which keep all their digits.

        Yields:
            Batches of one schema; the first is empty.
        """
        chosen = ", ".join(
            f"{_select_expression(field, name in ids)} AS {quote_name(name)}" for name, field in columns.items()
        )
        decimals = {name: kind for name, field in columns.items() if (kind := _decimal_type(field))}
        self._cursor.execute(f"SELECT {chosen} FROM {rows}")  # noqa: S608 (quoted)
        reader = self._cursor.fetch_record_batch()
        yield _with_decimals(pa.RecordBatch.from_pylist([], schema=reader.schema), decimals)
        for batch in reader:
            yield _with_decimals(batch, decimals)


@contextmanager
def read_transaction(url: str, password: str = "") -> Iterator[dbapi.Cursor]:
    """Open a read-only transaction that sees one snapshot, in UTC, and yield its cursor.

    Args:
        url: The URL of the config, without a password.
        password: The password, kept in memory only; empty: libpq finds it (PGPASSWORD, ~/.pgpass).
    """
    with dbapi.connect(_url_with_options(url, password)) as connection, connection.cursor() as cursor:
        # In one call, because `executescript` ends the open transaction and begins a new one.
        cursor.executescript("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TimeZone = 'UTC'")
        yield cursor


@contextmanager
def write_transaction(url: str, password: str = "") -> Iterator[dbapi.Cursor]:
    """Open a transaction and yield its cursor; it is committed at the end of the block, or rolled back on an error.

    Args:
        url: The URL of the config, without a password.
        password: The password, kept in memory only; empty: libpq finds it (PGPASSWORD, ~/.pgpass).
    """
    with dbapi.connect(_url_with_options(url, password)) as connection, connection.cursor() as cursor:
        yield cursor
        connection.commit()


def explain_error(text: str, code: str, writing: bool = False) -> tuple[str, bool]:
    """Turn an error of PostgreSQL or its driver into one line with advice.

    Args:
        text: The message of the error.
        code: Its SQLSTATE, or ''.
        writing: Whether the error came while writing; then details are removed, because they may quote a row.

    Returns:
        The message, without data values, and whether the SQL is at fault.

    >>> explain_error('IO: [libpq] Failed to connect: could not translate host name "db": unknown', "")
    ('could not translate host name "db": unknown; check the host in the URL', False)
    >>> explain_error('x: ERROR:  invalid input syntax for type integer: "Ada"', "22P02")
    ('invalid input syntax for type integer: (a value)', False)
    """
    message = text.split("\n\nQuery was:")[0].split("\nLINE ")[0].removesuffix(f"SQLSTATE: {code}")
    message = re.sub(r"^.*?(Failed to connect|(?<!\w)(ERROR|FATAL|PANIC)): +", "", message, count=1, flags=re.DOTALL)
    lines = [line.strip().rstrip(".") for line in message.splitlines()]
    message = "; ".join(line for line in lines if line and not line.startswith("Is the server running"))
    if code.startswith("22"):
        message = re.sub(r'"[^"]*"', "(a value)", message)
    if writing:
        message = re.split(r";? *(DETAIL|CONTEXT): ", message)[0]
    if CONNECTION_LOST.search(message):
        activity = "mid-write" if writing else "mid-read"
        message = f"the connection was lost in {activity} ({message}); nothing was kept, run the command again"
    advices = {**READ_ADVICE, **WRITE_ADVICE} if writing else READ_ADVICE
    advice = next((f"; {action}" for marker, action in advices.items() if marker in message), "")
    return message + advice, code.startswith("42") and code != "42501"


def _url_with_options(url: str, password: str) -> str:
    """Add a connection timeout, keepalives and the password, if any, to the URL."""
    options: dict[str, Any] = {"application_name": "regulars", **KEEPALIVES}
    if "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = CONNECT_TIMEOUT
    given = set(re.findall(r"[?&]([^=&]*)=", url))
    options = {key: value for key, value in options.items() if key not in given}
    options |= {"password": password} if password else {}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options, quote_via=quote, safe='')}"


def _select_expression(field: pa.Field, is_id: bool) -> str:
    """Return the SQL that reads a column as a type of Arrow and DuckDB; unusual types become text."""
    kind, column = _type_name(field), quote_name(field.name)
    if kind in PLAIN_TYPES:
        return column
    if kind in TIME_TYPES:
        return f"CASE WHEN isfinite({column}) THEN {column} END"  # infinity is not a time
    if kind == "money":
        return f"CAST(CAST({column} AS numeric) AS double precision)"
    if kind == "numeric" and not _decimal_type(field) and not is_id:
        return f"CAST({column} AS double precision)"
    text = f"CAST({column} AS text)"
    return f"NULLIF({text}, 'NaN')" if _decimal_type(field) else text


def _decimal_type(field: pa.Field) -> pa.DataType | None:
    """Return the decimal type of NUMERIC(precision, scale); None for other types and sizes."""
    size = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")) - 4
    if _type_name(field) != "numeric" or size < 0:
        return None
    precision, scale = size >> 16 & 0xFFFF, size & 0x7FF
    return pa.decimal128(precision, scale) if scale <= precision <= 38 else None


def _with_decimals(batch: pa.RecordBatch, decimals: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    for name, kind in decimals.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, name, batch.column(place).cast(kind))
    return batch


def _type_name(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
