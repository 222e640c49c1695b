"""Temporary folders that only their user can read, and what killed processes left of them.

A process holds a lock on each of its temporary folders, which the system gives back when the process ends, however it
ends. So a folder whose lock is free was left by a process that was killed, and is removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.storage.system_errors import SCRATCH_PREFIX

PREFIX = f"{SCRATCH_PREFIX}scratch-"
RANDOM_END = "[a-z0-9_]{8}"  # as `tempfile` makes it
SCRATCH_NAME = re.compile(re.escape(PREFIX) + RANDOM_END)


class ScratchFolder:
    """A temporary folder for data larger than memory; those of killed processes beside it are removed first.

    Attributes:
        name: Its path.
    """

    def __init__(self, parent: Path | None = None) -> None:
        remove_abandoned(parent or Path(tempfile.gettempdir()), SCRATCH_NAME)
        lock: int | None = None
        while lock is None:
            self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
            self.name = self._folder.name
            lock = lock_folder(Path(self.name))
        self._lock: int | None = lock

    def cleanup(self) -> None:
        """Remove the folder; a second time does nothing."""
        self._folder.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def temporary_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """Yield a new locked folder, which is removed at the end of the block.

    Raises:
        OSError: It cannot be made.
    """
    lock: int | None = None
    while lock is None:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = lock_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def lock_folder(folder: Path) -> int | None:
    """Lock a folder that this process has just made.

    Returns:
        The descriptor that holds the lock; None if another process took the folder for an abandoned one meanwhile.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks: nothing is ever taken for abandoned there
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if folder.exists():
        return descriptor
    os.close(descriptor)
    return None


def remove_abandoned(parent: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Remove the temporary folders and files in a folder that killed processes left behind.

    Args:
        parent: The folder.
        pattern: What their names must match as a whole.

    Returns:
        What was removed.
    """
    removed = []
    for path in abandoned(parent, pattern):
        descriptor = _free_lock(path)
        if descriptor is None:
            continue
        with suppress(OSError):
            remove_path(path)
        if not os.path.lexists(path):
            removed.append(path)
        os.close(descriptor)
    return removed


def abandoned(parent: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The temporary folders and files in a folder that no process uses any more, by name."""
    try:
        names = sorted(entry.name for entry in os.scandir(parent) if pattern.fullmatch(entry.name))
    except OSError:
        return []
    return [parent / name for name in names if not in_use(parent / name)]


def in_use(path: Path) -> bool:
    """Whether a process works in a temporary folder, or nobody can know."""
    descriptor = _free_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _free_lock(path: Path) -> int | None:
    """The descriptor of a file or folder of this user whose lock was free, now locked; None for any other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.getuid() or not (stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode)):
            raise BlockingIOError
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
