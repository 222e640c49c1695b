"""Features of a cutoff kept for the next build: a grown log changes the cutoffs after what came, and no other.

Features at a cutoff are a function of the rows that were visible before it, of the task, of the contract and of the
code that makes them. A digest of all these is the key of a part, one Parquet file a cutoff; where the key is the same
the part is read, and where it is not the cutoff is built anew. Labels are never kept: they mature.

A part's name ends in the checksum of its bytes, so one that was cut off or changed is no part. Parts take their place
whole, and one that goes while it is read is built again: builds that run at once do not harm each other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

from features.atomic_files import file_in_place
from features.code_digest import code_digest
from features.config.data_contract import Contract
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.feature import Feature
from features.intake.tables import Tables
from features.task import Task

OFF = "off"
MAX_PARTS = 100  # the least recently used ones beyond it go
PART_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})_([0-9a-f]{32})_([0-9a-f]{32})\.parquet")
BUILDER_MODULE = "features.snapshots.build"
BUILDER_PACKAGES = ("duckdb", "ibis-framework", "numpy", "pyarrow", "scipy", "sqlglot")


@dataclass(frozen=True)
class SnapshotCache:
    """A folder of parts, private to its user; made when the first is kept."""

    folder: Path

    def find_part(self, cutoff: date, key: str) -> Path | None:
        """The part of a cutoff with this key, its checksum verified; None where there is none."""
        for part in self._parts(cutoff):
            _, its_key, checksum = _said(part)
            try:
                if its_key == key and _digest_of(part) == checksum:
                    os.utime(part)
                    return part
            except OSError:  # another build took it away, or it cannot be read: it is made again
                continue
        return None

    def store_part(self, cutoff: date, key: str, write: Callable[[Path], None]) -> bool:
        """Has a part written in its place, and takes away the cutoff's parts with other keys; returns whether it could.

        What cannot be kept is a warning: the build itself does not need it.
        """
        stem = f"{cutoff}_{key}"
        try:
            with file_in_place(
                self._made() / f"{stem}.parquet", lambda part: f"{stem}_{_digest_of(part)}.parquet"
            ) as part:
                write(part)
                part.chmod(0o600)
        except (DataError, UsageError, OSError) as problem:
            advice = "give [features] cache another folder, or set it to 'off'"
            warnings.warn(f"built features were not kept for the next build: {problem}; {advice}", stacklevel=2)
            return False
        _remove(part for part in self._parts(cutoff) if _said(part)[1] != key)
        return True

    def remove_oldest(self, most: int = MAX_PARTS) -> None:
        """Takes away all but the `most` parts that were used last."""
        _remove(sorted(self._parts(), key=_last_used, reverse=True)[most:])

    def _made(self) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder

    def _parts(self, cutoff: date | None = None) -> list[Path]:
        """The files that are named as parts, of a cutoff or all."""
        if not self.folder.is_dir():
            return []
        return sorted(f for f in self.folder.glob(f"{cutoff or ''}*.parquet") if PART_NAME.fullmatch(f.name))


def open_cache(config: Config) -> SnapshotCache | None:
    """Where a config's parts are kept; None where it says 'off', and on Spark, whose parts would be folders."""
    where = config.features.cache
    if where == OFF or config.engine.kind == "spark":
        return None
    return SnapshotCache(config.path(where) if where else config.output / "snapshots")


def cache_keys(
    tables: Tables, task: Task, features: Sequence[Feature], cutoffs: Iterable[date], engine: Engine, own: str = ""
) -> dict[date, str]:
    """The key of each cutoff's features.

    Args:
        tables: The contract; its rows are digested by the day on which they became visible.
        task: Horizon, cohort and windows.
        features: The catalog.
        cutoffs: When.
        engine: Where it runs.
        own: The digest of the file of the user's own features.
    """
    asked = repr(replace(task, value_horizons=()))  # which shape labels only
    made_by = {"code": builder_digest(), "task": asked, "contract": repr(tables.contract), "own": own}
    made_by["features"] = repr([(feature.name, feature.dtype) for feature in features])
    rows = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    days = {name: sorted(engine.contents(table, "seen"), key=repr) for name, table in rows.items()}
    schemas = {name: str(table.schema()) for name, table in rows.items()}
    found = {}
    for cutoff in cutoffs:
        seen = {
            name: [text for day, text in told if day is None or day < cutoff or _timeless(name, tables.contract)]
            for name, told in days.items()
        }
        found[cutoff] = _digest(made_by | {"cutoff": str(cutoff), "rows": seen, "schemas": schemas})
    return found


@cache
def builder_digest() -> str:
    """A digest of the modules that build features and of the versions of what they run on."""
    return _digest({"modules": code_digest(BUILDER_MODULE)} | {name: version(name) for name in BUILDER_PACKAGES})


def _timeless(name: str, contract: Contract) -> bool:
    """Whether a table's rows say something of every cutoff, whenever they became known."""
    return name == "customers" and any(attribute.constant for attribute in contract.attributes)


def _digest(told: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _said(part: Path) -> tuple[str, str, str]:
    """The cutoff, key and checksum in a part's name."""
    cutoff, key, checksum = PART_NAME.fullmatch(part.name).groups()  # type: ignore[union-attr]
    return cutoff, key, checksum


def _last_used(part: Path) -> float:
    """When a part was used last; one that is gone was never."""
    try:
        return part.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        part.unlink(missing_ok=True)
