"""Where a section's rows come from: files, or a table or query of a database named by URL, never with its password."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from features.errors import UsageError, sample

SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "duckdb": "duckdb", "sqlite": "sqlite"}
KNOWN_URLS = "postgresql://user@host:5432/dbname, duckdb:///shop.duckdb or sqlite:///shop.db"
HOST = r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@,\s]*)(:\d*)?"
POSTGRES_URL = re.compile(
    rf"postgres(ql)?://([^:@/?#\s]*@)?{HOST}(,{HOST})*(/[^:@/?#\s]*)?(\?[^?#@\s]*)?", re.IGNORECASE
)
SECRET_OPTION = re.compile(r"[?&][^=&]*(passw|pwd|secret)[^=&]*=", re.IGNORECASE)
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CREDENTIALS_IN_URL = (
    "source must not hold a password: leave it out of the URL (postgresql://user@host:5432/dbname) and put it into the "
    "environment as PGPASSWORD, or into another variable that password_env names"
)


@dataclass(frozen=True)
class Source:
    """What a section of the config says about where its rows are.

    Attributes:
        section: The section's name, for messages: `events`, `activities.visits`.
        source: A file, glob or folder, or the URL of a database.
        table: A table or view of the database, `schema.name` where its schema is not searched.
        query: SQL over `source`; for a database in its own dialect, run there.
        password_env: The environment variable that holds the password; empty: PGPASSWORD, as libpq has it.
        personal: Columns that are never read; of files, not by the query either.
    """

    section: str
    source: str
    table: str = ""
    query: str = ""
    password_env: str = ""
    personal: tuple[str, ...] = ()

    @property
    def database(self) -> str:
        """Which database it is: postgresql, duckdb, sqlite, or '' for files.

        >>> Source("events", "postgres://me@db/shop").database, Source("events", "data/*.parquet").database
        ('postgresql', '')
        """
        return SCHEMES.get(_scheme(self.source), "")

    @property
    def display_name(self) -> str:
        """The source as messages name it, without the URL's options.

        >>> Source("events", "postgresql://me@db/shop?connect_timeout=3").display_name
        'postgresql://me@db/shop'
        """
        return self.source.split("?")[0] if self.database == "postgresql" else self.source

    def check(self) -> None:
        """Raises ValueError, in the words of the config and without any password, where the keys do not fit."""
        scheme = _scheme(self.source)
        if self.password_env and self.database != "postgresql":
            raise ValueError("password_env belongs to a source of PostgreSQL (postgresql://...)")
        if not scheme:
            if self.table:
                raise ValueError("table belongs to a database (a source such as postgresql://...); a file has none")
            return
        if not self.database:
            raise ValueError(
                f"source: {scheme}:// is not a database that is known here; expected {KNOWN_URLS}, or a file"
            )
        if not (self.table or self.query):
            raise ValueError('a database needs table = "orders" (or query = "SELECT ...") to say what to read')
        if self.database == "postgresql":
            _check_postgres(self.source)
        elif not _file(self.source):
            raise ValueError(f"source names no file; expected {self.database}:///shop.db")
        if self.password_env and not VARIABLE_NAME.fullmatch(self.password_env):
            raise ValueError("password_env must be the name of an environment variable, such as SHOP_DB_PASSWORD")

    def path(self, folder: Path) -> Path:
        """The file of a DuckDB or SQLite URL: relative to `folder` after three slashes, absolute after four.

        >>> Source("events", "sqlite:///shop.db").path(Path("/data")).as_posix()
        '/data/shop.db'
        >>> Source("events", "duckdb:////srv/shop.duckdb").path(Path("/data")).as_posix()
        '/srv/shop.duckdb'
        """
        return folder / Path(_file(self.source)).expanduser()

    def password(self) -> str:
        """The password that `password_env` names; '' leaves it to libpq (PGPASSWORD, ~/.pgpass).

        Raises:
            UsageError: The variable is not set. Its name is not repeated: it may be a password in the wrong place.
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


def refuse_url(source: str) -> None:
    """Stops where only files are read; the URL is not repeated, it may hold a password.

    Raises:
        UsageError: `source` is a URL.
    """
    if _scheme(source):
        raise UsageError(
            "`regulars init` guesses from a file, not from a database. Write regulars.toml by hand: [events] with "
            f"source (such as {KNOWN_URLS}), table, customer and time"
        )


def require_columns(section: str, roles: Mapping[str, str], columns: Iterable[str]) -> None:
    """Raises UsageError for the first role whose column is not there, with the name that comes nearest."""
    columns = list(columns)
    for role, column in roles.items():
        if column and column not in columns:
            raise UsageError(
                f"[{section}] {role}: the source has no column {column!r}; "
                f"{suggest_column(column, columns)}it has {', '.join(columns)}"
            )


def require_personal(source: Source, columns: Iterable[str]) -> None:
    """Raises UsageError for a personal column that is nowhere: mistyped, it would be read."""
    columns = sorted(set(columns))
    for name in source.personal:
        if name not in columns:
            raise UsageError(
                f"[{source.section}] personal: the source has no column {name!r}; "
                f"{suggest_column(name, columns)}it has {', '.join(columns)}"
            )


def require_table(source: Source, tables: Mapping[str, str]) -> str:
    """The SQL of the table that a source names, from the database's own list of (name, quoted SQL).

    Raises:
        UsageError: There is no such table.
    """
    if source.table not in tables:
        hint = f"it has {sample(sorted(tables), 20)}" if tables else "it has none that this user may see"
        raise UsageError(
            f"[{source.section}] table: {source.display_name} has no table {source.table!r}; "
            f"{suggest_column(source.table, tables)}{hint}"
        )
    return tables[source.table]


def suggest_column(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name, or nothing.

    >>> suggest_column("custmer", ["customer", "time"])
    "did you mean 'customer'? "
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""


def _scheme(source: str) -> str:
    """What stands before `://`, in lower case; '' for a path."""
    match = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://", source)
    return match[1].lower() if match else ""


def _file(source: str) -> str:
    """The path in a DuckDB or SQLite URL: `sqlite:///shop.db` and `sqlite://shop.db` are both shop.db."""
    rest = source.split("://", 1)[1]
    return rest[1:] if rest.startswith("/") else rest


def _check_postgres(url: str) -> None:
    """A URL that is not read the one way libpq reads it could hold a password in a place that is then shown."""
    if SECRET_OPTION.search(url) or re.match(r"\w+://[^@]*:[^@]*@", url):
        raise ValueError(CREDENTIALS_IN_URL)
    if not POSTGRES_URL.fullmatch(url):
        raise ValueError("source is not a URL of PostgreSQL: expected postgresql://user@host:5432/dbname")
