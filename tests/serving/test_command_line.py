"""The helpers of the command line: days, and the closing lines of a command."""

from __future__ import annotations

import sys
from datetime import date

import click
import pytest

from serving import command_line
from serving.command_line import DayType, closing_lines


def test_a_day_is_a_date_and_anything_else_is_refused() -> None:
    assert DayType().convert("2024-01-31", None, None) == date(2024, 1, 31)
    assert DayType().convert(date(2024, 1, 31), None, None) == date(2024, 1, 31)
    with pytest.raises(click.BadParameter, match="expected a day such as 2024-01-31, found '2024-02-30'"):
        DayType().convert("2024-02-30", None, None)


def test_closing_lines_repeat_the_config_only_if_it_is_not_the_default() -> None:
    assert (
        closing_lines("out: 3 rows", "regulars train", "regulars.toml")
        == "\nwritten: out: 3 rows\nnext:    regulars train"
    )
    other = closing_lines("out", "regulars train", "my shop.toml", "scored")
    assert other == "\nscored:  out\nnext:    regulars -c 'my shop.toml' train"


def test_the_program_is_named_by_its_path_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["/a folder/regulars.py"])
    assert command_line.program_name() == "'/a folder/regulars.py'"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert command_line.program_name() == "regulars"
