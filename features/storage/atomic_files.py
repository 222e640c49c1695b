"""Atomic writes of files and folders: they are written under a temporary name beside the target and then renamed."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from features.errors import UsageError
from features.storage.private_folders import RANDOM_END, remove_abandoned, remove_path, temporary_folder

MARK = ".regulars-"  # in the names of temporary folders
KINDS = {
    stat.S_ISLNK: "a link, which would be replaced, not what it leads to",
    stat.S_ISDIR: "a folder",
    stat.S_ISREG: "a file",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
}

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
        UsageError: The target cannot be written, or is no regular file.
    """
    refuse_other_kind(target, "file")
    with _workplace(target) as temporary:
        with report_write_errors(target):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        with report_write_errors(target):
            temporary.replace(target if name is None else target.with_name(name(temporary)))


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` at the end of the block, and is removed on an error.

    Raises:
        UsageError: The target cannot be written, or is no folder.
    """
    refuse_other_kind(target, "folder")
    with _workplace(target) as temporary:
        with report_write_errors(target):
            temporary.mkdir(mode=0o700)
        yield temporary
        replace_folder(temporary, target)


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """Yield a path of the target's name in a temporary folder beside it; removes what killed processes left there."""
    with report_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent, leftovers_of(re.escape(target.name)))
    with ExitStack() as stack:
        with report_write_errors(target):
            folder = stack.enter_context(temporary_folder(f".{target.name}{MARK}", target.parent))
        yield folder / target.name


def leftovers_of(name: str = ".+") -> re.Pattern[str]:
    """The names of temporary folders beside a target.

    Args:
        name: A pattern for the target's name; by default any.

    >>> bool(leftovers_of("plan").fullmatch(".plan.regulars-a1b2c3d4"))
    True
    """
    return re.compile(rf"\.{name}{re.escape(MARK)}{RANDOM_END}")


def refuse_other_kind(target: Path, kind: str) -> None:
    """Refuse to write over anything but a regular file or a folder: a link, a device, a pipe.

    Args:
        target: What would be replaced; it may be missing.
        kind: 'file' or 'folder'.

    Raises:
        UsageError: There is something of another kind.
    """
    with report_write_errors(target):
        try:
            mode = target.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
    if not (stat.S_ISREG(mode) if kind == "file" else stat.S_ISDIR(mode)):
        there = next((words for test, words in KINDS.items() if test(mode)), "something else")
        raise UsageError(f"{target}: expected a {kind} or nothing yet, found {there}; give another path, or remove it")


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
    if os.path.lexists(target):
        raise FileExistsError(target)
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
        UsageError: The target cannot be written, or is no folder.
    """
    refuse_other_kind(target, "folder")
    with report_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            new.rename(target)
            return
        if not _exchange(new, target):
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}{MARK}", dir=target.parent))
            target.rename(old / "was")
            new.rename(target)
            new = old
        remove_path(new)


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
