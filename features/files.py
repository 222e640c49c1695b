"""Files that are there whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UsageError


@contextmanager
def file_in_place(target: Path, name: Callable[[Path], str] | None = None) -> Iterator[Path]:
    """A path beside `target` that takes its place when the block ends well, and is gone when it does not.

    Args:
        target: The place.
        name: Gives the written file's name, where that tells of what is in it.

    Raises:
        UsageError: The place cannot be written to.
    """
    with _writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside_name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        os.close(handle)
    beside = Path(beside_name)
    try:
        yield beside
        with _writable(target):
            beside.replace(target if name is None else target.with_name(name(beside)))
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_in_place(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well, and is gone when it does not.

    Raises:
        UsageError: The place cannot be written to.
    """
    with _writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield beside
        with _writable(target):
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
                target.rename(old / "was")
                beside.rename(target)
                shutil.rmtree(old)
            else:
                beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_whole(target: Path, text: str) -> None:
    """Writes a text file, whole or not at all; raises UsageError where it cannot."""
    with file_in_place(target) as beside, _writable(target):
        beside.write_text(text, encoding="utf-8")


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UsageError(f"{target} cannot be written: {problem.strerror}; give another place or make room") from None
