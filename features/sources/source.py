"""Where the rows of a section come from: files, or a table or query of a database, by a URL without a password."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from features.errors import UsageError, sample
from features.sources.query import query_problem
from features.storage.user_paths import user_path

SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "duckdb": "duckdb", "sqlite": "sqlite"}
KNOWN_URLS = "postgresql://user@host:5432/dbname, duckdb:///shop.duckdb or sqlite:///shop.db"
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@,\s]*)(:\d*)?"
POSTGRES_URL = re.compile(
    rf"postgres(ql)?://([^:@/?#\s]*@)?{HOST}(,{HOST})*(/[^:@/?#\s]*)?(\?[^?#@\s]*)?", re.IGNORECASE
)
SECRET_OPTION = re.compile(r"[?&][^=&]*(passw|pwd|secret)[^=&]*=", re.IGNORECASE)
VALUE_OF_ROW = re.compile(r"@.+\.|\b\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b")  # an address or a day
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CREDENTIALS_IN_URL = (
    "source must not contain a password: remove it from the URL (postgresql://user@host:5432/dbname) and put it into "
    "the environment variable PGPASSWORD, or into another one that password_env names"
)


@dataclass(frozen=True)
class Source:
    """Where the rows of a section of the config are.

    Attributes:
        section: The section's name, for messages: `events`, `activities.visits`.
        source: A file, glob or folder, or the URL of a database.
        table: A table or view of the database; `schema.name` if its schema is not in the search path.
        query: SQL over `source`; for a database in its own dialect, run there.
        password_env: The environment variable that holds the password; empty: PGPASSWORD, as in libpq.
        personal: Columns that are never read; for files, the query cannot use them either.
        ids: Columns of ids, which a CSV file keeps as they are written.
    """

    section: str
    source: str
    table: str = ""
    query: str = ""
    password_env: str = ""
    personal: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """The kind of database: postgresql, duckdb or sqlite; '' for files.

        >>> Source("events", "postgres://me@db/shop").database, Source("events", "data/*.parquet").database
        ('postgresql', '')
        """
        return SCHEMES.get(_scheme(self.source), "")

    @property
    def display_name(self) -> str:
        """The source for messages, without the URL's options.

        >>> Source("events", "postgresql://me@db/shop?connect_timeout=3").display_name
        'postgresql://me@db/shop'
        """
        return self.source.split("?")[0] if self.database == "postgresql" else self.source

    def check(self) -> None:
        """Raise ValueError, without any password, if the keys of the section do not fit together."""
        scheme = _scheme(self.source)
        if self.password_env and self.database != "postgresql":
            raise ValueError("password_env is only for a PostgreSQL source (postgresql://...); remove it")
        if self.query and (problem := query_problem(self.query)):
            raise ValueError(f"query: {problem}")
        if not scheme:
            if self.table:
                raise ValueError(
                    "table is only for a database (a source such as postgresql://...); remove it for files"
                )
            return
        if not self.database:
            raise ValueError(f"source: {scheme}:// is not a supported database; expected {KNOWN_URLS}, or a file")
        if not (self.table or self.query):
            raise ValueError('a database needs table = "orders" (or query = "SELECT ...") to say what to read')
        if self.database == "postgresql":
            _check_postgres(self.source)
        elif not _file(self.source):
            raise ValueError(f"source names no file; expected {self.database}:///shop.db")
        if self.password_env and not VARIABLE_NAME.fullmatch(self.password_env):
            raise ValueError("password_env must be the name of an environment variable, such as SHOP_DB_PASSWORD")

    def path(self, folder: Path) -> Path:
        """Return the file of a DuckDB or SQLite URL: relative to `folder` after three slashes, absolute after four.

        >>> Source("events", "sqlite:///shop.db").path(Path("/data")).as_posix()
        '/data/shop.db'
        >>> Source("events", "duckdb:////srv/shop.duckdb").path(Path("/data")).as_posix()
        '/srv/shop.duckdb'
        """
        return user_path(_file(self.source), folder)

    def password(self) -> str:
        """Return the password from the variable `password_env`; '' lets libpq find it (PGPASSWORD, ~/.pgpass).

        Raises:
            UsageError: The variable is not set. Its name is not repeated: it may be the password itself.
        """
        if not self.password_env:
            return ""
        value = os.environ.get(self.password_env, "")
        if not value:
            raise UsageError(
                f"[{self.section}] password_env: the environment variable it names is not set; export it, "
                "or remove password_env and set PGPASSWORD"
            )
        return value


def require_columns(section: str, roles: Mapping[str, str], columns: Iterable[str]) -> None:
    """Check that the source has all columns that a section names.

    Args:
        section: The section's name, for messages.
        roles: The named columns by role; empty names are ignored.
        columns: The columns of the source.

    Raises:
        UsageError: A column is missing; the message suggests the most similar one.
    """
    columns = list(columns)
    for role, column in roles.items():
        if column and column not in columns:
            raise UsageError(
                f"[{section}] {role}: the source has no column {column!r}; {describe_columns(column, columns)}"
            )


def require_personal(source: Source, columns: Iterable[str]) -> None:
    """Check that all personal columns exist, because a mistyped one would be read.

    Raises:
        UsageError: A personal column is missing.
    """
    columns = sorted(set(columns))
    for name in source.personal:
        if name not in columns:
            raise UsageError(
                f"[{source.section}] personal: the source has no column {name!r}; {describe_columns(name, columns)}"
            )


def require_table(source: Source, tables: Mapping[str, str]) -> str:
    """Return the quoted SQL name of the table that a source names, from the tables of the database by name.

    Raises:
        UsageError: There is no such table.
    """
    if source.table not in tables:
        hint = f"it has {sample(sorted(tables), 20)}" if tables else "it has no table that this user may read"
        raise UsageError(
            f"[{source.section}] table: {source.display_name} has no table {source.table!r}; "
            f"{suggest_column(source.table, tables)}{hint}"
        )
    return tables[source.table]


def describe_columns(name: str, columns: Iterable[str]) -> str:
    """Return the columns that there are instead of a missing one, for messages; never values of a row.

    >>> describe_columns("custmer", ["customer", "time"])
    "did you mean 'customer'? it has customer, time"
    >>> describe_columns("customer", ["ann@shop.com", "5.50"])
    'its first line seems to be a row, not names of columns: add a header'
    """
    columns = list(columns)
    if any(map(VALUE_OF_ROW.search, columns)):
        return "its first line seems to be a row, not names of columns: add a header"
    return f"{suggest_column(name, columns)}it has {', '.join(columns)}"


def suggest_column(name: str, known: Iterable[str]) -> str:
    """Return a hint for a mistyped name, or an empty text.

    >>> suggest_column("custmer", ["customer", "time"])
    "did you mean 'customer'? "
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""


def _scheme(source: str) -> str:
    """Return the scheme of a URL in lower case; '' for a path."""
    match = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return match[1].lower() if match else ""


def _file(source: str) -> str:
    """Return the path in a DuckDB or SQLite URL: `sqlite:///shop.db` and `sqlite://shop.db` are both shop.db."""
    rest = source.split("://", 1)[1]
    return rest[1:] if rest.startswith("/") else rest


def _check_postgres(url: str) -> None:
    """Refuse a URL that libpq may read differently: it could contain a password that messages would then show."""
    if SECRET_OPTION.search(url) or re.match(r"\w+://[^@]*:[^@]*@", url):
        raise ValueError(CREDENTIALS_IN_URL)
    if not POSTGRES_URL.fullmatch(url):
        raise ValueError("source is not a PostgreSQL URL: expected postgresql://user@host:5432/dbname")
