"""MLflow's local store, a SQLite file: made at once, found whole, and followed when the project folder was moved.

MLflow creates its tables one by one, and a process that dies meanwhile leaves a database that MLflow cannot use. So a
new one is made beside its place and renamed. MLflow also stores absolute paths of artifacts; when the project folder,
with the database and `mlartifacts`, lies elsewhere than before, they are changed in one transaction.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from features.config.load import Config
from features.errors import UsageError
from features.storage.atomic_files import atomic_file
from features.storage.file_locks import exclusive_lock
from features.storage.system_errors import explain_system_error
from features.storage.user_paths import real_path
from training.registry.tracking_store import ARTIFACTS, LOCAL_SCHEME, store_file

PATIENCE = 120.0  # seconds that a second first use waits for the first
LOCATIONS = {  # columns of MLflow's tables that hold where artifacts lie
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def prepare_local_store(config: Config, uri: str, experiment: str) -> None:
    """Make a local store if there is none, and point it at the artifacts where they lie now.

    Args:
        config: The business; its artifacts are in `mlartifacts` beside its config.
        uri: The store; one that is no SQLite file is left alone.
        experiment: The name of the experiment.

    Raises:
        UsageError: The file is no database, cannot be used, or its artifacts are gone.
    """
    file = store_file(uri)
    if file is None or (_is_whole(file) and _new_location(config, file, experiment) is None):
        return
    with exclusive_lock(file.with_name(f".{file.name}.lock"), f"preparing MLflow's store {file}", PATIENCE):
        if not _is_whole(file):  # another process may have made it meanwhile
            _create(config, file)
        if (change := _new_location(config, file, experiment)) is not None:
            _relocate(file, *change)


def _create(config: Config, file: Path) -> None:
    """Make a new store beside its place, and rename it."""
    with atomic_file(file) as temporary:
        store = SqlAlchemyStore(f"{LOCAL_SCHEME}{temporary.resolve()}", config.path(ARTIFACTS).as_uri())
        store.engine.dispose()


def _is_whole(file: Path) -> bool:
    """Whether a store is there; false also for one that holds nothing because its first use was cut off."""
    if not file.exists() or (file.is_file() and not file.stat().st_size):
        return False
    with _opened(file) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "experiments" not in tables and "alembic_version" not in tables:
            raise UsageError(f"[tracking] uri: {file} is a database, but not of MLflow; give another file")
        used = ("runs", "registered_models", "experiments WHERE experiment_id > 0")
        return any(_has_rows(database, rows, tables) for rows in used)


def _has_rows(database: sqlite3.Connection, rows: str, tables: set[str]) -> bool:
    return rows.split()[0] in tables and database.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None  # noqa: S608 (ours)


def _new_location(config: Config, file: Path, experiment: str) -> tuple[str, str] | None:
    """Where the store says that artifacts lie, and where they lie now; None if both are the same.

    A location that is not ours, such as one on another disk that the user chose, is left alone.

    Raises:
        UsageError: The artifacts are neither where the store says nor beside the config.
    """
    with _opened(file) as database:
        rows = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchall()
        location, new = str(rows[0][0]) if rows else "", config.path(ARTIFACTS)
        old = _local_path(location)
        if old is None or old.name != ARTIFACTS or old == new:
            return None
        lie_together = real_path(file.parent) == new.parent and old.parent != new.parent
        if new.is_dir() and (lie_together or not old.is_dir()):
            return location, new.as_uri()
        if old.is_dir():
            return None
        below = "SELECT 1 FROM runs WHERE substr(artifact_uri, 1, ?) = ? LIMIT 1"
        logged = database.execute(below, (len(location) + 1, f"{location}/")).fetchone()
    if logged is None:
        return location, new.as_uri()
    raise UsageError(
        f"[tracking] uri: {file} says that the models lie in {old}, which does not exist. Was the project folder moved "
        f"without its folder {ARTIFACTS}? Put that folder beside the config ({new}), or back"
    )


def _relocate(file: Path, old: str, new: str) -> None:
    """Change where the store says that artifacts lie, in one transaction."""
    with _opened(file) as database, database:
        for table, columns in LOCATIONS.items():
            known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
            for column in (name for name in columns if name in known):
                moved = f"{column} = ? OR substr({column}, 1, ?) = ?"
                change = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {moved}"  # noqa: S608 (ours)
                database.execute(change, (new, len(old) + 1, old, len(old) + 1, f"{old}/"))
    logging.getLogger(__name__).warning(
        "the project folder was moved: %s now reads models from %s", file, unquote(urlsplit(new).path)
    )


def _local_path(location: str) -> Path | None:
    """The folder that a location names; None if it is not on this machine."""
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(location) if location.startswith("/") else None


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """An existing database, opened for a block.

    Raises:
        UsageError: It is no database, or cannot be used now.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=20)) as database:
            yield database
    except sqlite3.Error as problem:
        known = explain_system_error(problem)
        cause = known or f"it is no SQLite database ({problem}); restore it from a backup, or remove it to begin anew"
        raise UsageError(f"[tracking] uri: {file} cannot be used: {cause}") from None
