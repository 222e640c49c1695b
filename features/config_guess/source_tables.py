"""Which table of a database to guess from."""

from __future__ import annotations

from pathlib import Path

from features.errors import UsageError, sample
from features.sources.databases import list_tables
from features.sources.source import Source, suggest_column

MOST_LISTED = 30


def choose_table(source: str, folder: Path, table: str) -> str:
    """The table to read.

    Args:
        source: File, glob, folder, or the URL of a database.
        folder: The folder of the config.
        table: The table that the user named; empty: none.

    Returns:
        The table; empty for files.

    Raises:
        UsageError: The database has several tables and none was named, or not the named one, or none at all.
        DataError: The database cannot be reached.
    """
    place = Source("events", source, table)
    if not place.database:
        return ""
    names = list_tables(place, folder)
    if table in names or (table and not names):
        return table
    if not names:
        raise UsageError(f"{place.display_name} has no table that this user may read")
    if table:
        hint = suggest_column(table, names)
        raise UsageError(
            f"--table: {place.display_name} has no table {table!r}; {hint}it has {sample(names, MOST_LISTED)}"
        )
    if len(names) > 1:
        raise UsageError(
            f"{place.display_name} has {len(names)} tables: {sample(names, MOST_LISTED)}; choose the log with --table, "
            f"such as `regulars init {source} --table {names[0]}`"
        )
    return names[0]
