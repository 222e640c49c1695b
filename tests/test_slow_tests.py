"""The list of slow tests marks them, grows by what was measured, and forgets tests that no longer exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slow_tests import SlowTestRecorder, mark_slow


def test_a_listed_test_is_marked_and_no_other(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeini("[pytest]\nmarkers = slow")
    items = pytester.getitems(
        "import pytest\n\n@pytest.mark.parametrize('x', [1])\ndef test_a(x): ...\n\ndef test_b(): ..."
    )
    (tmp_path / "list.txt").write_text(items[0].nodeid.partition("[")[0] + "\n")
    mark_slow(items, tmp_path / "list.txt")
    assert [item.get_closest_marker("slow") is not None for item in items] == [True, False]


def test_what_takes_long_is_added_and_what_is_gone_is_removed(pytester: pytest.Pytester, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("test_times.py::test_older\ntest_times.py::test_gone\n")
    pytester.makepyfile(
        test_times="""
        import time

        def test_quick(): ...

        def test_older(): ...

        def test_long():
            end = time.process_time() + 0.5
            while time.process_time() < end: ...
        """
    )
    pytester.inline_run("-p", "no:cacheprovider", plugins=[SlowTestRecorder(tmp_path / "list.txt")])
    assert (tmp_path / "list.txt").read_text().split() == ["test_times.py::test_long", "test_times.py::test_older"]
