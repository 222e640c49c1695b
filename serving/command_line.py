"""The parts of the command line that are not commands: help, errors as messages, the date type, and closing lines."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import click

from features.errors import RegularsError, RegularsWarning, printable
from serving.command_output import add_output_options, print_json, show, wants_json
from serving.early_checks import refuse_early
from serving.interruption import close_progress_bars, interruption_message, is_interruption, stop_on_signals
from serving.terminal import printable_output
from serving.unforeseen import message_and_code, running_command

if TYPE_CHECKING:
    from training.registry.aliases import ChampionChange

DEFAULT_CONFIG = "regulars.toml"
SECTIONS = {  # the commands under the headings of the help
    "Data": ("demo", "init", "check", "build", "simulate"),
    "Models": ("train", "backtest", "promote", "rollback"),
    "Customers": ("score", "segments", "explain", "forget"),
    "Campaigns": ("uplift", "plan", "measure", "campaigns"),
    "Monitoring": ("monitor", "run"),
    "Reports": ("report", "app", "users"),
}
EXIT_CODES = (
    "Exit codes: 0 success; 1 a check or a gate said no; 2 wrong use, a wrong config, or a problem of this machine; "
    "3 bad data; 4 an error that nobody foresaw (the message names a private file with the details); 130 interrupted."
)
LONG_SENTENCE = 10_000  # characters; click shortens a sentence only above this limit
CHATTY_LIBRARIES = ("lightgbm", "mlflow", "optuna", "pydantic", "pyspark", "sklearn")


class Command(click.Command):
    """A command that refuses quickly what cannot succeed, and prints a screen of text, all of it, or JSON."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        add_output_options(self)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, if nothing that is quickly known refuses it."""
        if isinstance(ctx.obj, str):
            refuse_early(str(self.name), ctx.obj, ctx.params)
        try:
            result = super().invoke(ctx)
        except (RegularsError, click.exceptions.Exit):
            print_json(ctx, even_empty=False)  # what was found goes before the refusal
            raise
        print_json(ctx)
        return result


class CommandGroup(click.Group):
    """Commands listed under headings, with their exit codes; every error is printed as one message.

    Args:
        sections: The names of the commands under each heading, in the order of the help.
        **options: As for `click.Group`.
    """

    command_class = Command

    def __init__(self, *, sections: Mapping[str, Sequence[str]], **options: Any) -> None:
        options.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(**options)
        self.sections = sections
        self.running: str | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return [name for names in self.sections.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the first sentence of every command's help, under its heading."""
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(LONG_SENTENCE)) for name in names])

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Runs the command line and ends the process; whatever happens is one message with its exit code.

        Args:
            *arguments: As for `click.Group.main`.
            standalone_mode: False: return what the command returns, and raise its errors, as click does.
            **options: As for `click.Group.main`.

        Returns:
            What the command returns, if not in standalone mode.
        """
        run_group: Callable[..., Any] = super().main
        run = partial(run_group, *arguments, standalone_mode=False, **options)
        if not standalone_mode:
            return run()
        with stop_on_signals(), printable_output(), warnings_as_notes():
            sys.exit(self._exit_code(run))

    def _exit_code(self, run: Callable[[], Any]) -> int:
        """Runs the command line, prints the message of an error, and returns the exit code."""
        problem: BaseException | None = None
        try:
            code = run()
        except BaseException as caught:  # the last handler: nothing may end in a traceback
            problem = caught
        if is_interruption(problem):
            close_progress_bars()
            words, code = interruption_message()
            click.echo(f"regulars: {words}", err=True)
        elif isinstance(problem, SystemExit):
            raise problem
        elif isinstance(problem, click.ClickException):
            problem.show()
            code = problem.exit_code
        elif problem is not None:
            close_progress_bars()
            message, code = message_and_code(problem, running_command(self.running))
            click.echo(f"regulars: {printable(message)}", err=True)
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command, and remembers its name for messages."""
        prepare_process()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as problem:  # click would print an empty line before our message
            raise CommandStopped from problem
        finally:
            self.running = ctx.invoked_subcommand


class CommandStopped(Exception):  # noqa: N818 (an event, not an error)
    """A command was stopped from outside."""


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


def close_command(written: str, command: str, path: str, label: str = "written") -> None:
    """Prints what was written where, and what to run next.

    Args:
        written: What was written, beginning with its path.
        command: The next command, beginning with `regulars`.
        path: The config file in use.
        label: The word before `written`.
    """
    if wants_json():
        show("", {label: written, "next": command})
    else:
        click.echo(closing_lines(written, command, path, label))


def close_change(change: ChampionChange, path: str) -> None:
    """Prints the champions before and after a change."""
    before, after = (", ".join(labels.values()) or "none" for labels in (change.before, change.after))
    close_command(f"{after}, champion (before: {before})", "regulars score --cutoff D", path)


def program_name() -> str:
    """How to call this program: by its name if that is installed, otherwise by the path it was started with."""
    started = Path(sys.argv[0])
    return "regulars" if which("regulars") or started.stem != "regulars" else shlex.quote(str(started))


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings of ours as notes, without the line of code that gave them."""
    show = warnings.showwarning

    def show_note(message: Any, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, RegularsWarning):
            click.echo(f"NOTE: {printable(str(message))}", err=True)
        else:
            show(message, category, *place, **options)

    warnings.showwarning = show_note
    try:
        yield
    finally:
        warnings.showwarning = show


def prepare_process() -> None:
    """Makes new files private to the user, and hides warnings that libraries print."""
    os.umask(0o077)
    for module in CHATTY_LIBRARIES:
        warnings.filterwarnings("ignore", module=rf"{module}(\.|$).*")


def run_program(cli: click.Group) -> None:
    """Runs the command line as the program of this process."""
    try:
        cli()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C while Python ends would print a traceback
