"""Independent pieces of work at the same time, on a thread each, with the same results on any number of threads.

LightGBM's threads wait for each other several times for each tree, so two fits with a thread each need about two thirds
of the time of two fits one after another on two threads. Each piece runs with its share of the processor's threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

MOST_AT_ONCE = 2  # each piece holds rows of its own
T = TypeVar("T")
_thread = threading.local()


def run_side_by_side(pieces: Sequence[Callable[[], T]]) -> list[T]:
    """Runs pieces of work that do not depend on each other; give the longest first.

    With one thread they run one after another. If a piece fails or the user interrupts, the others end as soon as they
    ask `is_unwanted`, and those that have not begun never do.

    Args:
        pieces: Functions without arguments.

    Returns:
        Their results in the same order.

    >>> run_side_by_side([lambda: 1, lambda: 2, lambda: 3])
    [1, 2, 3]
    """
    threads = _openmp_threads()
    workers = min(MOST_AT_ONCE, threads, len(pieces))
    if workers < 2:
        return [piece() for piece in pieces]
    stop = threading.Event()
    with ThreadPoolExecutor(workers, initializer=_begin_thread, initargs=(threads // workers, stop)) as pool:
        futures = [pool.submit(piece) for piece in pieces]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def is_unwanted() -> bool:
    """Whether the piece of work that calls this has become useless, because another one failed."""
    stop = getattr(_thread, "stop", None)
    return stop is not None and stop.is_set()


def _begin_thread(threads: int, stop: threading.Event) -> None:
    """Limits the OpenMP threads that the calling thread starts: their number belongs to each thread."""
    _thread.stop = stop
    threadpool_limits(threads, user_api="openmp")


def _openmp_threads() -> int:
    """How many OpenMP threads the calling thread may use; 1 if no library with OpenMP is loaded."""
    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"), default=1)
