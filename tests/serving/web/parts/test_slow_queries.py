"""Slow questions wait in a short queue and not without end; other threads are never held up by many."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from serving.web.parts.slow_queries import QueueFullError, SlowQueries, TooSlowError


def test_answers_and_errors_come_back() -> None:
    queries = SlowQueries()
    assert queries.answer("a", lambda stopped_by: 7) == 7
    with pytest.raises(KeyError):
        queries.answer("b", lambda stopped_by: {}["x"])
    assert queries.answer("b", lambda stopped_by: 8) == 8, "an error is not kept"


def test_few_wait_and_the_others_are_told_at_once() -> None:
    queries, go, begun = SlowQueries(waiting=2, patience=30), Event(), Event()

    def work(stopped_by: Any) -> str:
        begun.set()
        go.wait(30)
        return "done"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(queries.answer, "a", work)
        begun.wait(30)
        same = threads.submit(queries.answer, "a", lambda stopped_by: pytest.fail("it is shared"))
        while queries._room:
            pass
        with pytest.raises(QueueFullError):
            queries.answer("b", work)
        go.set()
        assert first.result(30) == same.result(30) == "done"
    assert queries.answer("b", lambda stopped_by: 1) == 1


def test_an_answer_that_comes_too_late_is_kept_and_what_nobody_began_is_dropped() -> None:
    queries, go = SlowQueries(patience=0.05), Event()
    with pytest.raises(TooSlowError):
        queries.answer("slow", lambda stopped_by: go.wait(30) and "late")
    with pytest.raises(TooSlowError):
        queries.answer("behind it", lambda stopped_by: pytest.fail("nobody waits for it"))
    go.set()
    assert queries.answer("then", lambda stopped_by: 1) == 1
    assert queries.answer("slow", lambda stopped_by: pytest.fail("the answer was kept")) == "late"


def test_a_computation_without_end_is_stopped() -> None:
    stopped = Event()

    def work(stopped_by: Callable[[Callable[[], None]], None]) -> None:
        stopped_by(stopped.set)
        assert stopped.wait(30)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        SlowQueries(limit=0.05).answer("a", work)
