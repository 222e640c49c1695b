"""Finds and removes mentions of a customer in MLflow's local database; Regulars itself logs no customer there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from features.sql_text import quote_name
from serving.privacy.file_contents import UnreadableFileError
from serving.privacy.mentions import names_customer, text_without_customer

Value = tuple[str, str, int, str]  # the table, the column, the number of the row, the text


def count_mentions(database: Path, names: frozenset[str]) -> int:
    """How many values of a database name the customer.

    Raises:
        UnreadableFileError: It cannot be read.
    """
    with _opened(database, "ro") as connection:
        return sum(1 for _ in _mentions(connection, names))


def erase_mentions(database: Path, names: frozenset[str]) -> int:
    """Replaces the mentions in one transaction, and rewrites the file, so that no page keeps what was there.

    Args:
        database: The file.
        names: The customer's ids.

    Returns:
        The number of values that were changed.

    Raises:
        UnreadableFileError: It cannot be read or written; then it is unchanged.
    """
    with _opened(database, "rw") as connection:
        connection.execute("PRAGMA secure_delete = ON")
        mentions = list(_mentions(connection, names))
        with connection:
            for table, column, row, text in mentions:
                change = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608 (quoted)
                connection.execute(change, (text_without_customer(text, names), row))
        if mentions:
            connection.execute("VACUUM")
    return len(mentions)


def _mentions(connection: sqlite3.Connection, names: frozenset[str]) -> Iterator[Value]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in map(quote_name, tables):
        columns = [quote_name(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            values = f"SELECT rowid, {column} FROM {table} WHERE typeof({column}) = 'text'"  # noqa: S608 (quoted)
            for row, text in connection.execute(values):
                if names_customer(text, names):
                    yield table, column, row, text


@contextmanager
def _opened(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"file:{quote(str(database))}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=20)) as connection:
            yield connection
    except sqlite3.Error as problem:
        raise UnreadableFileError(f"cannot be searched ({problem})") from None
