"""The slow tests, by a recorded list, so that `tests/everything.py --fast` leaves them out.

`tests/slow_tests.txt` names each test function that needs much processor time. `python tests/everything.py --record`
runs all tests and adds to the list; names of tests that no longer exist leave it. A test that shares an expensive
fixture is listed when it is the first to need it: so record again with `--fast --record` until nothing is added.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

LIST = Path(__file__).with_suffix(".txt")
SLOW_SECONDS = 0.4  # of processor time, with the processes that the test started
PROPERTY = "processor seconds"


def processor_seconds() -> float:
    """The processor time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_name(nodeid: str) -> str:
    """The name of a test without its parameters.

    >>> test_name("tests/test_api.py::test_scores[duckdb-1]")
    'tests/test_api.py::test_scores'
    """
    return nodeid.partition("[")[0]


def mark_slow(items: list[pytest.Item], path: Path = LIST) -> None:
    """Marks the tests that the list names as slow."""
    names = set(path.read_text(encoding="utf-8").split())
    for item in items:
        if test_name(item.nodeid) in names:
            item.add_marker(pytest.mark.slow)


def exists(name: str, root: Path) -> bool:
    """Whether a test of this name is still in its file."""
    file, _, function = name.partition("::")
    last = function.replace("::", ".").rpartition(".")[2]
    return (root / file).exists() and last in (root / file).read_text(encoding="utf-8")


class SlowTestRecorder:
    """Measures each test, and adds those over `SLOW_SECONDS` to the list at the end.

    Args:
        path: The list.
    """

    def __init__(self, path: Path = LIST) -> None:
        self.path = path
        self.seconds: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Notes when a test begins."""
        item.stash[START] = processor_seconds()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Writes the processor time since the begin of the test into its report, which reaches the main process."""
        item.user_properties[:] = [(PROPERTY, processor_seconds() - item.stash[START])]
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the longest time of a test over its parameters."""
        seconds = dict(report.user_properties).get(PROPERTY, 0.0)
        name = test_name(report.nodeid)
        self.seconds[name] = max(self.seconds[name], float(str(seconds)))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Adds the slow tests to the list, in the main process."""
        if not hasattr(session.config, "workerinput"):
            known = set(self.path.read_text(encoding="utf-8").split()) if self.path.exists() else set()
            slow = {name for name, seconds in self.seconds.items() if seconds > SLOW_SECONDS}
            names = sorted(name for name in known | slow if exists(name, session.config.rootpath))
            self.path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


START = pytest.StashKey[float]()
