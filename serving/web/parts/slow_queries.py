"""A queue for questions that take long: one is computed at a time, few may wait, and nobody waits without end.

Other pages are answered by other threads, so however many ask, at most `waiting` threads are held up. A question that
is asked again while it is computed shares the answer, and an answer that came too late is kept for the next time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import SimpleQueue
from threading import Lock, Thread, Timer
from typing import Any

WAITING = 6  # requests that may wait at once
PATIENCE = 45.0  # seconds after which a request gets an answer, if only that it takes longer
LIMIT = 600.0  # seconds after which a computation is stopped
KEPT = 16  # answers that nobody has fetched yet
Stop = Callable[[], None]
Work = Callable[[Callable[[Stop], None]], Any]  # takes a function to which it hands what would stop it


class QueueFullError(Exception):
    """Too many questions wait already."""


class TooSlowError(Exception):
    """The answer takes longer than a request may."""


class SlowQueries:
    """The queue; its thread starts with the first question and ends with the process.

    Args:
        waiting: How many requests may wait.
        patience: For how many seconds one waits.
        limit: After how many seconds a computation is stopped.
    """

    def __init__(self, waiting: int = WAITING, patience: float = PATIENCE, limit: float = LIMIT) -> None:
        self._room, self._patience, self._limit = waiting, patience, limit
        self._lock, self._queue = Lock(), SimpleQueue[tuple[Work, Future[Any]]]()
        self._answers: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._thread: Thread | None = None

    def answer(self, key: Hashable, work: Work) -> Any:
        """The answer to a question.

        Args:
            key: Equal for equal questions.
            work: Computes the answer.

        Returns:
            What the work returned.

        Raises:
            QueueFullError: Too many wait.
            TooSlowError: It is not ready in time; if it was begun, it goes on, and the answer is kept.
            Exception: What the work raised.
        """
        with self._lock:
            if not self._room:
                raise QueueFullError
            self._room -= 1
            future = self._answers.get(key) or self._begin(key, work)
        try:
            answer = future.result(self._patience)
        except (FutureTimeoutError, CancelledError):
            future.cancel()  # if nobody has begun it, nobody does
            raise TooSlowError from None
        finally:
            with self._lock:
                self._room += 1
                if future.done() and self._answers.get(key) is future:
                    del self._answers[key]
        return answer

    def _begin(self, key: Hashable, work: Work) -> Future[Any]:
        """Puts a question into the queue; the lock is held."""
        future = self._answers[key] = Future()
        for old in [name for name, other in self._answers.items() if other.done()][:-KEPT]:
            del self._answers[old]
        self._queue.put((work, future))
        if self._thread is None:
            self._thread = Thread(target=self._run, daemon=True, name="slow queries")
            self._thread.start()
        return future

    def _run(self) -> None:
        while True:
            work, future = self._queue.get()
            if not future.set_running_or_notify_cancel():
                continue
            stops: list[Stop] = []
            timer = Timer(self._limit, lambda stops=stops: [stop() for stop in stops])
            timer.daemon = True
            timer.start()
            try:
                future.set_result(work(stops.append))
            except BaseException as problem:  # handed to whoever asks
                future.set_exception(problem)
            finally:
                timer.cancel()
