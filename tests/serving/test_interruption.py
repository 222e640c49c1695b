"""Signals that stop a command, and the exceptions that libraries make of them."""

from __future__ import annotations

import logging
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.interruption import interruption_message, is_interruption, raise_if_interrupted, stop_on_signals


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [("SIGINT", "interrupted", 130), ("SIGTERM", "stopped by SIGTERM", 143), ("SIGHUP", "terminal closed", 129)],
)
def test_each_signal_becomes_an_interruption_with_its_own_code(name: str, words: str, code: int) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with stop_on_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert is_interruption(RuntimeError("Query interrupted"))  # whatever a library makes of it
        message, exit_code = interruption_message()
        assert words in message and exit_code == code
        assert not logging.getLogger("py4j").isEnabledFor(logging.CRITICAL)
    assert signal.getsignal(number) == before and logging.getLogger("py4j").isEnabledFor(logging.CRITICAL)
    assert not is_interruption(None)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals():
            signal.raise_signal(signal.SIGHUP)
            assert not is_interruption(None)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_runs_without_handlers() -> None:
    def run() -> bool:
        with stop_on_signals():
            return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result()


def test_what_follows_from_an_interruption_is_one() -> None:
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as problem:
            raise RuntimeError("Query interrupted") from problem
    except RuntimeError as wrapped:
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted(wrapped)
    raise_if_interrupted(RuntimeError("something else"))
