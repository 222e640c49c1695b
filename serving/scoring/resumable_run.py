"""A run that survives its death: a folder where its steps leave their files, a journal of what is done, and a lock.

A step is done when its line stands in the journal, which is after its files reached the disk; the line holds their
checksums, so a file that was cut off or changed is not taken for done. What is written is not seen by anybody until the
run takes its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.atomic_files import report_write_errors
from features.errors import RefusedError

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class ResumableRun:
    """The folder of a run, and what it has done.

    Attributes:
        folder: Private to its user.
        steps: The journal's lines by the names of the steps.
        damaged: Files of steps that were done and have to be made again; filled as they are found.
    """

    folder: Path
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def finished_step(self, step: str) -> dict[str, Any] | None:
        """What the journal says of a step whose files are all as they were written; None where it must be done."""
        said = self.steps.get(step)
        if said is None:
            return None
        wrong = [part["file"] for part in said["files"] if not is_intact(self.folder, part)]
        if not wrong:
            return said
        self.damaged.extend(wrong)
        return None

    def record_step(self, step: str, files: Sequence[str], **facts: Any) -> dict[str, Any]:
        """Writes down that a step is done, once its files (named from the run's folder) are on the disk."""
        said = {"step": step, "files": [_part(self.folder, file) for file in files], **facts}
        _append(self.folder / JOURNAL, said)
        self.steps[step] = said
        return said


def open_run(folder: Path, identity: Mapping[str, Any], resume: bool) -> tuple[ResumableRun, Mapping[str, Any] | None]:
    """The run of an identity in a folder: gone on with if it is of the same identity and that is asked for, else new.

    Args:
        folder: Its place; what another run left there is removed.
        identity: Everything that the files of the run depend on, as JSON has it.
        resume: Whether to go on.

    Returns:
        The run, and the identity of the run that lay there, if any.

    Raises:
        UsageError: The place cannot be written to.
    """
    lines = _lines(folder / JOURNAL)
    before = lines[0] if lines else None
    if resume and before == identity:
        return ResumableRun(folder, {line["step"]: line for line in lines[1:] if "step" in line}), before
    with report_write_errors(folder):
        remove_folder(folder)
        folder.mkdir(mode=0o700, parents=True)
        _append(folder / JOURNAL, identity)
    return ResumableRun(folder), before


def remove_folder(folder: Path) -> None:
    """Removes a run's folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def is_intact(folder: Path, part: Mapping[str, Any]) -> bool:
    """Whether a file in a folder is there and has the checksum that was written down."""
    file = folder / part["file"]
    return file.is_file() and file_checksum(file) == part["sha256"]


def file_checksum(file: Path) -> str:
    """The sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def exclusive_lock(place: Path, what: str) -> Iterator[None]:
    """Holds a lock file while the block runs; the system itself lets go of it when the process dies.

    Args:
        place: The lock file; it is removed afterwards, and so is its folder when nothing else is in it.
        what: Is being done, for the message.

    Raises:
        RefusedError: Another process holds it.
        UsageError: The place cannot be written to.
    """
    with report_write_errors(place):
        held = _take(place, what)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(held)
        with suppress(OSError):  # it stays where other runs have files in it
            place.parent.rmdir()


def _take(place: Path, what: str) -> int:
    """The descriptor of the locked file: one that still has its name, as whoever let go of it took that away."""
    while True:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the folder went away in between
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(held, place):
                os.truncate(held, 0)
                os.write(held, str(os.getpid()).encode())
                return held
        except BlockingIOError:
            who = os.read(held, 20).decode() or "another"
            os.close(held)
            raise RefusedError(
                f"{what} is being done by another run (process {who}); wait until it has ended, then run this again"
            ) from None
        os.close(held)


def _is_named(held: int, place: Path) -> bool:
    try:
        there = place.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(held), there)


def _part(folder: Path, name: str) -> dict[str, Any]:
    """A file's name and checksum, once its bytes are on the disk."""
    with (folder / name).open("rb") as stream:
        os.fsync(stream.fileno())
    return {"file": name, "sha256": file_checksum(folder / name)}


def _append(journal: Path, line: Mapping[str, Any]) -> None:
    """Adds a line; one that death cut off has no end, and what follows it begins anew."""
    with journal.open("ab+") as stream:
        if stream.tell() and not _ends_whole(journal):
            stream.write(b"\n")
        stream.write(json.dumps(line).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _ends_whole(journal: Path) -> bool:
    with journal.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read() == b"\n"


def _lines(journal: Path) -> list[dict[str, Any]]:
    """The lines of a journal that are whole; none where there is no journal."""
    if not journal.is_file():
        return []
    found = []
    for line in journal.read_bytes().splitlines():
        try:
            found.append(dict(json.loads(line)))
        except ValueError:  # cut off by the death of its run
            continue
    return found
