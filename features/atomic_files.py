"""Atomic writes of files and folders: they are written under a temporary name beside the target and then renamed."""

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
    """Yield a temporary path that replaces `target` at the end of the block, and is removed on an error.

    Args:
        target: The file to write.
        name: If given, computes the final file name, in the folder of `target`, from the written file.

    Raises:
        UsageError: The target cannot be written.
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
    """Yield a temporary folder that replaces `target` at the end of the block, and is removed on an error.

    Raises:
        UsageError: The target cannot be written.
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
    """Write a text file atomically; raises UsageError if it cannot be written."""
    with atomic_file(target) as temporary, report_write_errors(target):
        temporary.write_text(text, encoding="utf-8")


def write_new_text(target: Path, text: str) -> None:
    """Write a text file that must not exist yet: completely or not at all, and never over another file.

    Raises:
        FileExistsError: The target exists, or another process made it meanwhile.
        UsageError: It cannot be written.
    """
    with atomic_file(target) as temporary:
        with report_write_errors(target):
            temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, target)  # unlike a rename, this fails if the target exists
        except OSError:  # a file system without links renames at the end of the block
            if os.path.lexists(target):
                raise FileExistsError(target) from None


def replace_folder(new: Path, target: Path) -> None:
    """Rename a folder to `target`; an existing target is exchanged with it atomically and then removed.

    Both must be on one file system. If the file system cannot exchange names, the old folder is renamed first, and for
    a moment there is no target.

    Raises:
        UsageError: The target cannot be written.
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
def report_write_errors(target: Path, advice: str = "give another path or free some space") -> Iterator[None]:
    """Turn an OSError in the block into a UsageError that names the target and says what to do."""
    try:
        yield
    except OSError as problem:
        raise UsageError(f"{target} cannot be written: {problem.strerror or problem}; {advice}") from None


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically; returns False if the system or the file system cannot."""
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
