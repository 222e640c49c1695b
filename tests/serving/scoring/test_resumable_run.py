"""Runs that are killed: what the journal keeps, what it does not trust, and the lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.scoring.resumable_run import JOURNAL, ResumableRun, open_run

IDENTITY = {"log": "a", "parts": [1, 2]}


def write_step(run: ResumableRun, step: str, text: str = "text") -> None:
    (run.folder / step).write_text(text)
    run.record_step(step, [step], rows=3)


def test_a_run_is_resumed_only_if_asked_and_its_identity_matches(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run, before = open_run(folder, IDENTITY, resume=True)
    write_step(run, "one")
    assert before is None and folder.stat().st_mode & 0o777 == 0o700
    again, before = open_run(folder, IDENTITY, resume=True)
    line = again.finished_step("one")
    assert before == IDENTITY and line is not None and line["rows"] == 3 and again.finished_step("two") is None
    other, before = open_run(folder, {**IDENTITY, "log": "b"}, resume=True)
    assert before == IDENTITY and other.finished_step("one") is None and not (folder / "one").exists()
    write_step(other, "one")
    assert open_run(folder, {**IDENTITY, "log": "b"}, resume=False)[0].finished_step("one") is None


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_truncated_line_of_the_journal_is_ignored(tmp_path: Path, cut: int) -> None:
    run, _ = open_run(tmp_path / "run", IDENTITY, resume=True)
    write_step(run, "one")
    write_step(run, "two")
    journal = run.folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + lines[2][: min(cut, len(lines[2]) - 2)])
    again, _ = open_run(run.folder, IDENTITY, resume=True)
    assert again.finished_step("one") and again.finished_step("two") is None
    write_step(again, "two")
    third, _ = open_run(run.folder, IDENTITY, resume=True)
    assert third.finished_step("one") and third.finished_step("two")


def test_a_journal_with_a_truncated_first_line_is_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(b'{"log": "a", "pa')
    run, before = open_run(folder, IDENTITY, resume=True)
    assert before is None and run.steps == {}


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_text("tex")])
def test_the_step_of_a_damaged_file_is_repeated(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    run, _ = open_run(tmp_path / "run", IDENTITY, resume=True)
    write_step(run, "one")
    change(run.folder / "one")
    assert run.finished_step("one") is None and run.damaged == ["one"]
