"""Runs work in a fork and kills it: after some time, or just before one of the changes that it makes to files.

A change is a file opened for writing, a folder made, something renamed or removed, a flush to disk, or a commit of a
database. Time and changes may be counted from the first call of one function on, so that a kill hits one phase.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

CHANGES = {
    "open",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "ctypes.dlsym",
}
Work = Callable[[], int]


@dataclass(frozen=True)
class Phase:
    """The part of the work in which it is killed.

    Attributes:
        begins: A function, such as 'training.fit.tune_models': the phase begins with its first call.
        ends: A function whose first call ends the phase; empty: the end of the work.
    """

    begins: str
    ends: str = ""


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after the phase began, or before the change with that number in it."""

    seconds: float | None = None
    change: int | None = None


@dataclass(frozen=True)
class Measured:
    """A run that was not killed: its exit code, the seconds of its phase, and the changes in it."""

    code: int
    seconds: float
    changes: int


def run_work(work: Work, folder: Path, phase: Phase | None, moment: Moment) -> int:
    """Run the work in a fork and kill it.

    Args:
        work: The work; returns its exit code.
        folder: Changes of files below it count.
        phase: When seconds and changes begin to count; None: at once.
        moment: When to kill.

    Returns:
        The exit code, or minus SIGKILL.
    """
    reads, writes = os.pipe()

    def arm() -> None:
        left = [moment.change]

        def before_change() -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] = None if left[0] is None else left[0] - 1

        _begin(phase, partial(os.write, writes, b"x"), before_change if moment.change is not None else None, folder)

    pid = _fork(work, arm)
    os.close(writes)
    try:
        return _wait(pid, reads, moment.seconds)
    finally:
        os.close(reads)


def measure_work(work: Work, folder: Path, phase: Phase | None) -> Measured:
    """Run the work in a fork without killing it, and measure its phase."""
    reads, writes = os.pipe()

    def arm() -> None:
        _begin(
            phase,
            partial(os.write, writes, b"b"),
            partial(os.write, writes, b"."),
            folder,
            partial(os.write, writes, b"e"),
        )

    pid = _fork(work, arm)
    os.close(writes)
    began = ended = None
    changes = 0
    while marks := os.read(reads, 4096):
        now = time.monotonic()
        began = now if began is None and b"b" in marks else began
        before_end = marks if ended is None else b""
        changes += before_end.partition(b"e")[0].count(b".")
        ended = now if ended is None and b"e" in marks else ended
    os.close(reads)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    end = ended or time.monotonic()
    return Measured(code, end - (began if began is not None else end), changes)


def value_of(read: Callable[[], str]) -> str:
    """The text that a function returns, run in a fork; whatever it starts or opens ends with the fork."""
    reads, writes = os.pipe()

    def work() -> int:
        with os.fdopen(writes, "w", encoding="utf-8") as stream:
            stream.write(read())
        return 0

    pid = _fork(work, lambda: os.close(reads))
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as stream:
        text = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise RuntimeError(f"a fork failed with exit code {code}; its traceback is above")
    return text


def _fork(work: Work, arm: Callable[[], None]) -> int:
    """Start the work in a fork; return its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        arm()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(pid: int, reads: int, seconds: float | None) -> int:
    """Wait for a process; kill it so many seconds after it wrote its mark."""
    end = None
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if seconds is not None and end is None and select.select([reads], [], [], 0)[0] and os.read(reads, 1):
            end = time.monotonic() + seconds
        if end is not None and time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            end, seconds = None, None
        time.sleep(0.001)


def _begin(
    phase: Phase | None,
    begins: Callable[[], object],
    change: Callable[[], object] | None,
    folder: Path,
    ends: Callable[[], object] = lambda: None,
) -> None:
    """Call `begins` when the phase begins, `change` before each change in it, and `ends` when it ends."""
    if phase is None:
        begins()
        _on_change(folder, change)
        return
    _on_first_call(phase.begins, lambda: (begins(), _on_change(folder, change)))
    if phase.ends:
        _on_first_call(phase.ends, ends)


def _on_first_call(name: str, then: Callable[[], object]) -> None:
    """Call a function just before the first call of another, which is named by its module and its name there."""
    module, _, function = name.rpartition(".")
    place = import_module(module)
    original = getattr(place, function)

    def first(*arguments: Any, **options: Any) -> Any:
        setattr(place, function, original)
        then()
        return original(*arguments, **options)

    setattr(place, function, first)


def _on_change(folder: Path, then: Callable[[], object] | None) -> None:
    """Call a function just before each change to files under a folder, each flush, and each commit of a database."""
    if then is None:
        return

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and (event == "ctypes.dlsym" or _is_below(folder, arguments) and _writes(event, arguments)):
            then()

    flush = os.fsync
    os.fsync = lambda file: (then(), flush(file))[1]
    sys.addaudithook(hook)
    with suppress(ImportError):
        from sqlalchemy import event as events
        from sqlalchemy.engine import Engine

        events.listen(Engine, "commit", lambda connection: then())


def _is_below(folder: Path, arguments: tuple[Any, ...]) -> bool:
    return any(
        str(name).startswith(str(folder)) for name in arguments[:2] if isinstance(name, str | bytes | os.PathLike)
    )


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
