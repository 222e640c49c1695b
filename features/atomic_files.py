"""Files that are there whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UsageError

AT_WORKING_FOLDER = -100  # AT_FDCWD
EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
EXCHANGE_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def atomic_file(target: Path, name: Callable[[Path], str] | None = None) -> Iterator[Path]:
    """A path beside `target` that takes its place when the block ends well, and is gone when it does not.

    Args:
        target: The place.
        name: Gives the written file's name, where that tells of what is in it.

    Raises:
        UsageError: The place cannot be written to.
    """
    with report_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary_name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        os.close(handle)
    temporary = Path(temporary_name)
    try:
        yield temporary
        with report_write_errors(target):
            temporary.replace(target if name is None else target.with_name(name(temporary)))
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well, and is gone when it does not.

    Raises:
        UsageError: The place cannot be written to.
    """
    with report_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield temporary
        replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomically(target: Path, text: str) -> None:
    """Writes a text file, whole or not at all; raises UsageError where it cannot."""
    with atomic_file(target) as temporary, report_write_errors(target):
        temporary.write_text(text, encoding="utf-8")


def replace_folder(new: Path, target: Path) -> None:
    """Renames a folder to its place; the folder that was there changes places with it in one instant, and is removed.

    Both are on one file system. Where that cannot exchange names the old folder is renamed first, and for that moment
    there is none.

    Raises:
        UsageError: The place cannot be written to.
    """
    with report_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            new.rename(target)
            return
        if not _exchange(new, target):
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            target.rename(old / "was")
            new.rename(target)
            new = old
        if new.is_symlink() or new.is_file():
            new.unlink()
        else:
            shutil.rmtree(new)


@contextmanager
def report_write_errors(target: Path, advice: str = "give another place or make room") -> Iterator[None]:
    """Turns an OSError inside into a UsageError that names the place and says what to do."""
    try:
        yield
    except OSError as problem:
        raise UsageError(f"{target} cannot be written: {problem.strerror or problem}; {advice}") from None


def _exchange(one: Path, other: Path) -> bool:
    """Lets two paths change places in one instant; False where the system or the file system cannot."""
    system = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if hasattr(system, "renameat2"):
        failed = system.renameat2(AT_WORKING_FOLDER, paths[0], AT_WORKING_FOLDER, paths[1], EXCHANGE)
    elif hasattr(system, "renamex_np"):
        failed = system.renamex_np(*paths, EXCHANGE)
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in EXCHANGE_UNSUPPORTED:
        raise OSError(code, os.strerror(code), str(other))
    return not failed
