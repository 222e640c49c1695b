"""The cache of built features: when the log grows, only cutoffs after the new rows are built again.

Features at a cutoff are a function of the rows visible before it, the task, the contract and the code that builds
them. A digest of all these is the key of a part, one Parquet file a cutoff. If a part with the key exists it is read;
otherwise the cutoff is built. Labels are never cached, because they mature.

The name of a part ends in the checksum of its bytes, so a truncated or changed file is never used. Parts are written
atomically, and a part that disappears while it is read is built again: concurrent builds do not disturb each other.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

import ibis

from features.code_digest import digest_code
from features.config.data_contract import DataContract
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError, RegularsWarning, UsageError
from features.feature import Feature
from features.intake.tables import Tables
from features.point_in_time.history import owned_columns
from features.storage.atomic_files import atomic_file
from features.storage.json_files import file_digest, json_digest
from features.task import Task

OFF = "off"
MAX_PARTS = 100  # beyond it the least recently used ones are removed
DIGEST_LENGTH = 32  # hexadecimal digits of the key and of the checksum in a part's name
PART_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})_([0-9a-f]{32})_([0-9a-f]{32})\.parquet")
BUILDER_MODULE = "features.snapshots.build"
BUILDER_PACKAGES = ("duckdb", "ibis-framework", "numpy", "pyarrow", "scipy", "sqlglot")


@dataclass(frozen=True)
class SnapshotCache:
    """A folder of parts that only its user can read; created with the first part."""

    folder: Path

    def find_part(self, cutoff: date, key: str) -> Path | None:
        """The part of a cutoff with this key, its checksum verified; None if there is none."""
        for part in self._parts(cutoff):
            _, its_key, checksum = _parse_part_name(part)
            try:
                if its_key == key and file_digest(part, DIGEST_LENGTH) == checksum:
                    os.utime(part)
                    return part
            except OSError:  # another build removed it, or it cannot be read: it is built again
                continue
        return None

    def store_part(self, cutoff: date, key: str, write: Callable[[Path], None]) -> bool:
        """Writes the part of a cutoff and removes its parts with other keys; a failure is only a warning.

        Args:
            cutoff: The cutoff.
            key: From `cache_keys`.
            write: Writes the features of the cutoff to a path.

        Returns:
            Whether the part was stored.
        """
        stem = f"{cutoff}_{key}"
        try:
            with atomic_file(
                self._create_folder() / f"{stem}.parquet",
                lambda part: f"{stem}_{file_digest(part, DIGEST_LENGTH)}.parquet",
            ) as part:
                write(part)
                part.chmod(0o600)
        except (DataError, UsageError, OSError) as problem:
            advice = "set [features] cache to another folder or to 'off'"
            note = f"built features were not cached for the next build: {problem}; {advice}"
            warnings.warn(note, RegularsWarning, stacklevel=2)
            return False
        _remove(part for part in self._parts(cutoff) if _parse_part_name(part)[1] != key)
        return True

    def remove_oldest(self, most: int = MAX_PARTS) -> None:
        """Removes all but the `most` parts that were used last."""
        _remove(sorted(self._parts(), key=_last_used, reverse=True)[most:])

    def _create_folder(self) -> Path:
        """The folder, created if needed and private to its user."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder

    def _parts(self, cutoff: date | None = None) -> list[Path]:
        """The files that have a part's name, of one cutoff or of all."""
        if not self.folder.is_dir():
            return []
        return sorted(f for f in self.folder.glob(f"{cutoff or ''}*.parquet") if PART_NAME.fullmatch(f.name))


def open_cache(config: Config) -> SnapshotCache | None:
    """A config's cache; None if [features] cache is 'off', and on Spark, whose parts would be folders."""
    folder = config.features.cache
    if folder == OFF or config.engine.kind == "spark":
        return None
    return SnapshotCache(config.path(folder) if folder else config.output / "snapshots")


def cache_keys(
    tables: Tables,
    task: Task,
    features: Sequence[Feature],
    cutoffs: Iterable[date],
    engine: Engine,
    own_digest: str = "",
) -> dict[date, str]:
    """The key of the features at each cutoff.

    Args:
        tables: The contract; its rows are digested by the day on which they became visible.
        task: Horizon, cohort and windows.
        features: The catalog.
        cutoffs: The cutoffs.
        engine: Where it runs.
        own_digest: The digest of the file of custom features.

    Returns:
        A key (32 hex digits) for each cutoff.
    """
    task_of_features = repr(replace(task, value_horizons=()))  # value_horizons affect labels only
    ingredients = {
        "code": builder_digest(),
        "task": task_of_features,
        "contract": repr(tables.contract),
        "own": own_digest,
    }
    ingredients["features"] = repr([(feature.name, feature.dtype) for feature in features])
    rows = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    contents = {name: sorted(_digests_by_day(table, engine), key=repr) for name, table in rows.items()}
    schemas = {name: str(table.schema()) for name, table in rows.items()}
    digests = {}
    for cutoff in cutoffs:
        seen = {
            name: [
                text
                for day, text in rows_by_day
                if day is None or day < cutoff or _applies_to_all_cutoffs(name, tables.contract)
            ]
            for name, rows_by_day in contents.items()
        }
        digests[cutoff] = json_digest(
            ingredients | {"cutoff": str(cutoff), "rows": seen, "schemas": schemas}, DIGEST_LENGTH
        )
    return digests


def _digests_by_day(table: ibis.Table, engine: Engine) -> list[tuple[date | None, str]]:
    """Digests of rows by the day from which cutoffs see them; and of rows that ids joined later took from a customer.

    A join changes only the digests of its day, so that it leaves the features of earlier cutoffs as they are.
    """
    if not owned_columns(table):
        return engine.fingerprints_by_day(table, "seen")
    seen = ibis.greatest(table.seen, ibis.coalesce(table.owned_from, table.seen))
    begun = table.mutate(seen=seen).drop("owned_from")
    ended = begun.filter(begun.seen < begun.owned_until)  # others are seen by labels only
    return [
        *engine.fingerprints_by_day(begun.drop("owned_until"), "seen"),
        *((day, f"until {text}") for day, text in engine.fingerprints_by_day(ended, "owned_until")),
    ]


@cache
def builder_digest() -> str:
    """A digest of the modules that build features and of the versions of the packages they use."""
    versions = {name: version(name) for name in BUILDER_PACKAGES}
    return json_digest({"modules": digest_code(BUILDER_MODULE)} | versions, DIGEST_LENGTH)


def _applies_to_all_cutoffs(name: str, contract: DataContract) -> bool:
    """Whether a table's rows count at every cutoff, whenever they became known: constant attributes."""
    return name == "customers" and any(attribute.constant for attribute in contract.attributes)


def _parse_part_name(part: Path) -> tuple[str, str, str]:
    """The cutoff, key and checksum in a part's name."""
    cutoff, key, checksum = PART_NAME.fullmatch(part.name).groups()  # type: ignore[union-attr]
    return cutoff, key, checksum


def _last_used(part: Path) -> float:
    """When a part was last used; 0 if it no longer exists."""
    try:
        return part.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(parts: Iterable[Path]) -> None:
    """Removes files, if they still exist."""
    for part in parts:
        part.unlink(missing_ok=True)
