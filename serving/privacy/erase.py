"""The changes that remove a customer: new contents are staged first, then put in place one by one.

A removal that was interrupted, at any moment, is finished or begun anew by the next one. The list of changes names
places relative to the output folder, so that it holds if the project is moved meanwhile; other places count only in
the folders that the removal works in.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.storage.atomic_files import report_write_errors
from features.storage.json_files import file_digest
from features.storage.private_folders import remove_path
from features.storage.user_paths import real_path
from serving.privacy.spellings import same_names

STAGING, READY = ".forgetting", "ready.json"
REMOVED_FROM_CACHE = "removed: built again when needed"
Row = dict[str, Any]


@dataclass(frozen=True)
class FileChange:
    """The change of a file or folder.

    Attributes:
        place: The file or folder.
        description: The change in words.
        staged: The file with its new content, in the staging folder; None if it is removed.
    """

    place: Path
    description: str
    staged: Path | None


@dataclass
class Erasure:
    """The removal of one customer, with the changes collected so far.

    Attributes:
        root: The output folder.
        names: The customer's ids as files may have them, in every form of Unicode.
        cache: The folder of built features, wherever it is.
        artifacts: The folder of MLflow's artifacts, if it is on this machine.
        data: The user's own files, which are not changed.
        changes: The changes by place.
        digests: For files that change: the new checksum and the number of rows left, by the old checksum.
        removed_rows: The customer's rows in the tables of each folder.
        foreign_files: Files not written by regulars that name the customer.
        unopened: What could not be searched or changed, with the reason.
        recognised: Whether a table has rows of the customer, or a page or document has the id as a complete value.
    """

    root: Path
    names: frozenset[str]
    cache: Path | None = None
    artifacts: Path | None = None
    data: frozenset[Path] = frozenset()
    changes: dict[Path, FileChange] = field(default_factory=dict)
    digests: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    removed_rows: dict[Path, list[Row]] = field(default_factory=dict)
    foreign_files: list[Path] = field(default_factory=list)
    unopened: dict[Path, str] = field(default_factory=dict)
    recognised: bool = False

    def __post_init__(self) -> None:
        self.names = same_names(self.names)

    @property
    def staging(self) -> Path:
        """The folder of new contents that wait to be put in place."""
        return self.root / STAGING

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders outside the output folder in which files may be changed."""
        return tuple(folder for folder in (self.cache, self.artifacts) if folder is not None)

    def staged_path(self, place: Path) -> Path:
        """The path in the staging folder for a file's new content."""
        return self.staging / hashlib.sha256(os.fsencode(place)).hexdigest()[:24]

    def remove(self, place: Path, what: str) -> None:
        """Records that a file or folder is to be removed."""
        self.changes[place] = FileChange(place, what, None)

    def write(self, place: Path, text: str, what: str) -> None:
        """Stages a text as the new content of a file.

        Args:
            place: The file.
            text: Its new content.
            what: The change in words.
        """
        self.staged_path(place).write_text(text, encoding="utf-8", errors="surrogateescape")
        self.changes[place] = FileChange(place, what, self.staged_path(place))

    def replace(self, place: Path, what: str, rows: int | None = None) -> None:
        """Records that the new content of a file is in the staging folder.

        Args:
            place: The file.
            what: The change in words.
            rows: The number of rows left; None if the file is not a table.
        """
        staged = self.staged_path(place)
        shutil.copymode(place, staged)
        self.digests[file_digest(place)] = (file_digest(staged), rows)
        self.changes[place] = FileChange(place, what, staged)

    def note_foreign(self, file: Path) -> None:
        """Records that a file that regulars did not write names the customer."""
        if file not in self.foreign_files:
            self.foreign_files.append(file)


def begin_staging(erasure: Erasure) -> None:
    """Makes the staging folder anew; raises UsageError if it cannot be written."""
    with report_write_errors(erasure.root):
        erasure.root.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(erasure.staging):
            remove_path(erasure.staging)
        erasure.staging.mkdir(mode=0o700)


def mark_ready(erasure: Erasure) -> None:
    """Records that all new contents are complete: from now on `apply_staged` is enough, even after a crash."""
    listed = [
        [_written_place(c.place, erasure.root), c.staged.name if c.staged else "", c.description]
        for c in erasure.changes.values()
    ]
    part_file = erasure.staging / f"{READY}.part"
    part_file.write_text(json.dumps(listed), encoding="utf-8")
    for file in [*erasure.staging.iterdir(), erasure.staging]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    part_file.rename(erasure.staging / READY)


def apply_staged(root: Path, folders: Iterable[Path] = ()) -> list[tuple[str, str]]:
    """Puts staged contents in place if they are complete, otherwise discards them.

    This also finishes a removal that was interrupted before.

    Args:
        root: The output folder.
        folders: Further folders in which places may lie.

    Returns:
        The changed places, each with its change in words.
    """
    staging, applied = root / STAGING, []
    allowed = [*(real_path(folder) for folder in (root, *folders))]
    with report_write_errors(root):
        for written, staged, what in _ready_changes(staging / READY):
            place = root / written  # an absolute place stays what it is
            if not any(real_path(place.parent).is_relative_to(folder) for folder in allowed) or place in allowed:
                continue  # the list was changed by something else
            if not staged:
                remove_path(place)
            elif (staging / staged).exists():
                _move(staging / staged, place)
            applied.append((str(place), what))
        if os.path.lexists(staging):
            remove_path(staging)
    return applied


def discard_staged(erasure: Erasure) -> None:
    """Discards the staged contents; the output stays unchanged."""
    shutil.rmtree(erasure.staging, ignore_errors=True)


def changes_in_words(changes: Mapping[Path, FileChange]) -> list[tuple[str, str]]:
    """The changed places, each with its change in words, as `apply_staged` returns them."""
    return [(str(change.place), change.description) for change in changes.values()]


def _ready_changes(file: Path) -> list[tuple[str, str, str]]:
    """The changes of a complete staging folder; none if it is not complete, or the list is damaged."""
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        rows = [(str(place), Path(str(staged)).name, str(what)) for place, staged, what in listed]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
    return [row for row in rows if row[0]]


def _written_place(place: Path, root: Path) -> str:
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(real_path(place))


def _move(staged: Path, place: Path) -> None:
    """Puts a file in place in one step, also on another disk."""
    try:
        staged.replace(place)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        beside = place.with_name(f".{place.name}.forgetting")
        shutil.copy2(staged, beside)
        beside.replace(place)
