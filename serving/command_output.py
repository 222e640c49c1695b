"""What a command prints: at most a screen of text on a terminal, all of it with --full, one JSON object with --json."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from features.storage.json_files import json_line, read_object

STATE = "regulars.output"  # of the running command, in its context
KEPT_FREE = 5  # lines of a screen for what is written, what is next, and the prompt
AS_JSON = ("--json", "Print one JSON object instead of text.")
IN_FULL = ("--full", "Print everything; on a terminal, only a screen of text is shown otherwise.")


def add_output_options(command: click.Command) -> None:
    """Give a command the options --full and --json, unless it has such an option of its own."""
    known = {option for param in command.params for option in param.opts}
    for flag, explained in (IN_FULL, AS_JSON):
        if flag not in known and command.name != "app":
            command.params.append(
                click.Option([flag], is_flag=True, expose_value=False, callback=_remember, help=explained)
            )


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value:
        _state(ctx)[str(param.name)] = True
    return value


def _state(ctx: click.Context) -> dict[str, Any]:
    state: dict[str, Any] = ctx.meta.setdefault(STATE, {"facts": {}})
    return state


def wants_json() -> bool:
    """Whether the running command prints JSON instead of text."""
    ctx = click.get_current_context(silent=True)
    return bool(ctx and _state(ctx).get("json"))


def show(text: str, facts: Mapping[str, Any] | Path | None = None, nl: bool = True) -> None:
    """Print a text on the screen, or keep the facts for the JSON object that the command prints at its end.

    Args:
        text: What people read.
        facts: The same as an object, or a JSON file that has it; None if it is a remark only.
        nl: Whether the text ends a line.
    """
    if not wants_json():
        click.echo(_on_screen(text), nl=nl)
    elif facts is not None:
        values = read_object(facts, "write it again") if isinstance(facts, Path) else facts
        _state(click.get_current_context())["facts"].update(values)


def print_json(ctx: click.Context, even_empty: bool = True) -> None:
    """Print the facts that a command has shown as one line of JSON; nothing without --json."""
    facts = _state(ctx)["facts"]
    if _state(ctx).get("json") and (facts or even_empty):
        click.echo(json_line(facts))


def _on_screen(text: str) -> str:
    """The beginning of a text that fits on the terminal, and how to see the rest; the text itself elsewhere."""
    ctx = click.get_current_context(silent=True)
    size = _screen()
    if size is None or ctx is None or _state(ctx).get("full"):
        return text
    return cut_to_screen(text, *size)


def _screen() -> tuple[int, int] | None:
    """Columns and lines of the terminal; None where the output goes elsewhere."""
    return tuple(shutil.get_terminal_size()) if sys.stdout.isatty() else None  # type: ignore[return-value]


def cut_to_screen(text: str, columns: int, lines: int) -> str:
    r"""The beginning of a text that fits on a screen, with a line that says how to see the rest.

    Args:
        text: The text.
        columns: The width of the screen; longer lines wrap.
        lines: Its height.

    Returns:
        The text itself if it fits.

    >>> print(cut_to_screen("\n".join("abcdefgh"), 80, 10))
    a
    b
    c
    d
    ... 4 more lines: --full shows them, --json has the figures
    """
    rows = text.split("\n")
    room, shown = max(lines - KEPT_FREE, 1), 0
    heights = [max(-(-len(row) // max(columns, 1)), 1) for row in rows]
    if sum(heights) <= room:
        return text
    while shown < len(rows) and sum(heights[: shown + 1]) < room:
        shown += 1
    rest = len(rows) - shown
    return "\n".join([*rows[:shown], f"... {rest:,} more lines: --full shows them, --json has the figures"])
