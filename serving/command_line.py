"""The parts of the command line that are not commands: the group with its help, the date type, and closing lines."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from shutil import which
from typing import Any

import click

from features.errors import RegularsError

DEFAULT_CONFIG = "regulars.toml"
LONG_SENTENCE = 10_000  # characters; click shortens a sentence only above this limit
CHATTY_LIBRARIES = ("lightgbm", "mlflow", "optuna", "pydantic", "pyspark", "sklearn")


class CommandGroup(click.Group):
    """Commands listed under headings; an expected error is printed as one message and sets the exit code.

    Args:
        sections: The names of the commands under each heading, in the order of the help.
        **options: As for `click.Group`.
    """

    def __init__(self, *, sections: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(**options)
        self.sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the first sentence of every command's help, under its heading."""
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(LONG_SENTENCE)) for name in names])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; prints an expected error and exits with its code."""
        try:
            return super().invoke(ctx)
        except RegularsError as problem:
            click.echo(f"regulars: {problem}", err=True)
            ctx.exit(problem.exit_code)


class DayType(click.ParamType):
    """A day such as 2024-01-31, which stands for its first instant."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Parses a day, or fails with the message of wrong use.

        Args:
            value: The text, or a date.
            param: The option that it belongs to.
            ctx: The context of the command.

        Returns:
            The day.
        """
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 (a calendar day has no time zone)
        except ValueError:
            self.fail(f"expected a day such as 2024-01-31, found {value!r}", param, ctx)


def closing_lines(written: str, command: str, config: str, label: str = "written") -> str:
    """The last lines of a command: what was written where, and what to run next, ready to be pasted.

    Args:
        written: What was written, beginning with its path.
        command: The next command, beginning with `regulars`.
        config: The config file in use.
        label: The word before `written`.

    Returns:
        The lines, after an empty one.
    """
    option = "" if config == DEFAULT_CONFIG else f" -c {shlex.quote(config)}"
    return f"\n{label + ':':<9}{written}\nnext:    {command.replace('regulars', program_name() + option, 1)}"


def program_name() -> str:
    """How to call this program: by its name if that is installed, otherwise by the path it was started with."""
    started = Path(sys.argv[0])
    return "regulars" if which("regulars") or started.stem != "regulars" else shlex.quote(str(started))


def prepare_process() -> None:
    """Makes new files private to the user, and hides warnings that libraries print."""
    os.umask(0o077)
    for module in CHATTY_LIBRARIES:
        warnings.filterwarnings("ignore", module=rf"{module}(\.|$).*")
