"""Errors that nobody foresaw: one message without data, and a private file with the traceback."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from features.errors import DataError
from serving import unforeseen
from serving.command_line import CommandGroup
from serving.unforeseen import error_reports, message_and_code, report_unforeseen_error


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of the user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "state" / "regulars" / "errors"


def _run(problem: BaseException) -> Result:
    group = CommandGroup(name="regulars", sections={"Data": ["fail"]})

    @group.command("fail")
    def fail() -> None:
        raise problem

    return CliRunner().invoke(group, ["fail"])


def test_it_is_one_message_without_data_and_a_private_file_with_the_traceback(state: Path) -> None:
    result = _run(KeyError("Ada Lovelace"))
    (report,) = state.iterdir()
    assert result.exit_code == 4
    assert result.output.count("\n") == 1 and result.output.startswith("regulars: an error that nobody foresaw")
    assert "KeyError" in result.output and str(report) in result.output and "`regulars fail`" in result.output
    assert "Ada" not in result.output and "Traceback" not in result.output
    text = report.read_text(encoding="utf-8")
    assert "Ada Lovelace" in text and "Traceback" in text and "Python 3" in text
    assert report.stat().st_mode & 0o777 == 0o600 and state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (DataError("customer 'a\x1b[2J'"), 3, "customer 'a\\x1b[2J'"),
        (OSError(28, "No space left on device", "/data/x"), 2, "/data/x: the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(7), 7, ""),
        (click.UsageError("no such option"), 2, "no such option"),
        (click.exceptions.Exit(3), 3, ""),
    ],
)
def test_every_end_has_its_message_and_its_code(problem: BaseException, code: int, words: str, state: Path) -> None:
    result = _run(problem)
    assert (result.exit_code, state.exists()) == (code, False)
    assert words in result.output and "Traceback" not in result.output
    assert not words or code not in (3, 130) or result.output.count("\n") == 1


def test_without_a_state_folder_it_is_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    message = report_unforeseen_error(ValueError("x"), "regulars check")
    (report,) = tmp_path.glob("regulars-error-*.txt")
    assert str(report) in message and error_reports() == [report]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere" / "file"))
    (tmp_path / "nowhere").write_text("")
    assert "could not be written" in report_unforeseen_error(ValueError("x"), "regulars check")


def test_only_the_newest_reports_are_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unforeseen, "KEPT", 3)
    for number in range(5):
        message_and_code(ValueError(f"number {number}"), "regulars check")
        for age, report in enumerate(error_reports()[::-1]):
            os.utime(report, ns=(age, age))
    assert len(list(state.iterdir())) == 3
    assert "number 4" in error_reports()[0].read_text()


def test_the_place_is_the_last_line_of_our_own_code() -> None:
    try:
        DataError().missing  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as problem:
        assert " at " not in report_unforeseen_error(problem, "regulars check")  # only lines of this test
    try:
        unforeseen.running_command(3 / 0)  # type: ignore[arg-type]
    except ZeroDivisionError as problem:
        assert "ZeroDivisionError" in report_unforeseen_error(problem, "regulars check")
    try:
        message_and_code(DataError("x"), "y")[1] / unforeseen._place(None)  # type: ignore[arg-type, operator]
    except AttributeError as problem:
        assert "at serving/unforeseen.py, line " in report_unforeseen_error(problem, "regulars check")
