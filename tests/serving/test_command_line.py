"""The help of the command line, its days, and the closing lines of a command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import warnings
from datetime import date

import click
import pytest
from click.testing import CliRunner

import regulars
from features.errors import RegularsWarning
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


def test_a_warning_of_ours_is_a_note_without_a_line_of_code() -> None:
    group = command_line.CommandGroup(name="regulars", sections={"Data": ("check",)})

    @group.command("check")
    def check() -> None:
        warnings.warn("not \x1bcached", RegularsWarning, stacklevel=1)
        warnings.warn("of a library", RuntimeWarning, stacklevel=1)

    with pytest.warns(RuntimeWarning, match="of a library") as others:
        text = CliRunner().invoke(group, ["check"]).stderr
    assert "NOTE: not \\x1bcached\n" in text and "RegularsWarning" not in text
    assert len(others) == 1


def test_help_lists_every_command_once_under_a_heading_and_in_full() -> None:
    text, _, codes = CliRunner().invoke(regulars.cli, ["--help"]).output.partition("Exit codes:")
    assert all(f"{code} " in " ".join(codes.split()) for code in (0, 1, 2, 3, 4, 130))
    for heading in ("Data", "Models", "Customers", "Campaigns", "Monitoring", "Reports"):
        assert f"\n{heading}:\n" in text
    listed = [line.split()[0] for line in text.split("Data:")[1].splitlines() if re.match("  [a-z]", line)]
    assert sorted(listed) == sorted(regulars.cli.commands)
    assert "..." not in text.split("Data:")[1]
    for command in regulars.cli.commands.values():
        sentence = (command.help or "").split("\n\n")[0]
        assert " ".join(sentence.split()) in " ".join(text.split())


@pytest.mark.parametrize("name", sorted(regulars.cli.commands))
def test_the_help_of_every_command_ends_with_an_example_that_can_be_run(name: str) -> None:
    text = " ".join(CliRunner().invoke(regulars.cli, [name, "--help"]).output.split())
    example = text.rpartition("Example: ")[2]
    program, command, *arguments = shlex.split(example)
    assert (program, command) == ("regulars", name)
    regulars.cli.commands[name].make_context(name, arguments)  # refuses unknown options and wrong values


def test_importing_the_command_line_loads_no_heavy_library() -> None:
    script = "import regulars, sys; print([m for m in ('mlflow', 'lightgbm', 'pandas', 'duckdb') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]"
