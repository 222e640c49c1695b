"""Locks that keep two processes from doing the same thing at once; the system gives them back if a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.errors import RefusedError
from features.storage.atomic_files import report_write_errors


@contextmanager
def exclusive_lock(lock_file: Path, task: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the system releases it if the process dies.

    Args:
        lock_file: The lock file; it is removed at the end, and so is its folder if that is empty.
        task: What is being done, for the message.
        patience: For how many seconds to wait for another process.

    Yields:
        Nothing; the lock is held inside the block.

    Raises:
        RefusedError: Another process holds the lock.
        UsageError: The file cannot be written.
    """
    with report_write_errors(lock_file):
        descriptor = _locked_descriptor(lock_file, task, time.monotonic() + patience)
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # other runs have files in it
            lock_file.parent.rmdir()


def _locked_descriptor(lock_file: Path, task: str, until: float) -> int:
    """Lock the file and return its descriptor; a file that its last holder removed meanwhile is created again."""
    while True:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the folder was removed meanwhile
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_its_name(descriptor, lock_file):
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode() or "another"
            os.close(descriptor)
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            raise RefusedError(
                f"{task} is being done by another run (process {holder}); wait until it has ended, then run this again"
            ) from None
        os.close(descriptor)


def _has_its_name(descriptor: int, lock_file: Path) -> bool:
    try:
        status = lock_file.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), status)
