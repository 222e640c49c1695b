"""A command prints a screen of text on a terminal, everything with --full or into a file, JSON with --json."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from regulars import cli
from serving import command_output
from serving.command_line import Command, close_command
from serving.command_output import show

LINES = [f"line {number}" for number in range(40)]


@click.command(cls=Command)
def listing() -> None:
    """A command with more lines than a screen."""
    show("\n".join(LINES), {"lines": len(LINES)})
    show("a remark")
    close_command("here", "regulars check", "regulars.toml")


def run(*arguments: str) -> str:
    return CliRunner().invoke(listing, arguments).output


def test_text_into_a_file_is_complete() -> None:
    assert all(line in run() for line in (*LINES, "a remark", "next:    ")) and "more lines" not in run()


def test_a_terminal_shows_a_screen_and_full_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_output, "_screen", lambda: (80, 24))
    shown = run().splitlines()
    assert len(shown) <= 24 and "... 22 more lines: --full shows them, --json has the figures" in shown
    assert LINES[-1] in run("--full") and "more lines" not in run("--full")


def test_json_is_one_object_with_what_was_written() -> None:
    (line,) = run("--json").splitlines()
    assert json.loads(line) == {"lines": 40, "written": "here", "next": "regulars check"}


def test_every_command_has_json_and_full() -> None:
    def options(command: Any) -> set[str]:
        return {option for param in command.params for option in param.opts}

    commands = {name: command for name, command in cli.commands.items() if isinstance(command, Command)}
    assert {name for name, command in commands.items() if not {"--json", "--full"} <= options(command)} == {"app"}
