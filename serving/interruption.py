"""Signals that stop a command: Ctrl-C, a terminal that is closed, and the polite signal of `kill` and of schedulers.

Each becomes a KeyboardInterrupt, so that temporary files are removed and locks are given back. The signal is
remembered, because libraries turn KeyboardInterrupt into errors of their own: DuckDB raises a RuntimeError.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from features.storage.system_errors import causes_of

SIGNALS = {"SIGINT": "interrupted", "SIGTERM": "stopped by SIGTERM", "SIGHUP": "stopped, because the terminal closed"}
_received: list[int] = []


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn the signals that stop a command into KeyboardInterrupt during the block; ignored signals stay ignored.

    Only the main thread can do so; in another one the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {}
    for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            previous[number] = signal.signal(number, _stop)
    logging_level = logging.root.manager.disable
    _received.clear()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        logging.disable(logging_level)
        _received.clear()


def _stop(number: int, frame: FrameType | None) -> None:
    """Remember the signal, and silence libraries that log the interruption with a traceback (py4j does)."""
    _received.append(number)
    logging.disable(logging.CRITICAL)
    raise KeyboardInterrupt


def is_interruption(problem: BaseException | None) -> bool:
    """Whether a command was stopped from outside, whatever exception a library made of that."""
    return bool(_received) or (
        problem is not None and any(isinstance(link, KeyboardInterrupt) for link in causes_of(problem))
    )


def raise_if_interrupted(problem: BaseException) -> None:
    """Raise KeyboardInterrupt if an exception is only a consequence of one."""
    if is_interruption(problem):
        raise KeyboardInterrupt from problem


def interruption_message() -> tuple[str, int]:
    """The one line about the signal that came first, and the exit code: 128 and its number."""
    number = _received[0] if _received else signal.SIGINT
    return SIGNALS.get(signal.Signals(number).name, "interrupted"), 128 + number


def close_progress_bars() -> None:
    """Close the progress bars that are still on the terminal, so that the message has a line of its own."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()
