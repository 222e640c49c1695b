"""Nothing that reaches a terminal or a log can move its cursor, recolour it, or reverse its letters."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest
from click.testing import CliRunner
from tqdm import tqdm

from features.storage.json_files import json_line
from serving.command_line import CommandGroup
from serving.terminal import PrintableStream, printable_output

EVIL = "x\x1b[31m\x07\x9b2J\u202egpj\u2066\u2028\ud800"


@contextmanager
def screen() -> Iterator[io.StringIO]:
    """A terminal, for both streams (pytest sets its own ones before each test)."""
    both, before = io.StringIO(), (sys.stdout, sys.stderr)
    sys.stdout = sys.stderr = both
    try:
        with printable_output():
            yield both
        assert sys.stdout is both and sys.stderr is both
    finally:
        sys.stdout, sys.stderr = before


def is_clean(text: str) -> bool:
    return not any(c in text for c in "\x1b\x07\x9b\u202e\u2066\u2028\ud800")


def test_messages_logs_and_tracebacks_are_escaped() -> None:
    record = logging.getLogger("regulars.test").makeRecord("n", logging.WARNING, "f", 1, "%s", (EVIL,), None)
    with screen() as terminal:
        sys.stdout.write(f"id {EVIL} 客户\n")
        sys.stderr.writelines([EVIL, "\n"])
        click.echo(EVIL, err=True, color=True)
        assert logging.lastResort is not None
        logging.lastResort.emit(record)
        sys.excepthook(ValueError, ValueError(EVIL), None)
    text = terminal.getvalue()
    assert is_clean(text) and "客户\n" in text and text.count("\\x1b[31m") == 5


def test_progress_bars_still_move() -> None:
    with screen() as terminal, tqdm(total=2, desc=EVIL, disable=False) as bar:
        with tqdm(total=1, desc="inner", leave=False, disable=False) as inner:
            inner.update()
        bar.update()
    text = terminal.getvalue()
    assert "\r" in text and "\x1b[A" in text and is_clean(text.replace("\x1b[A", ""))


def test_a_terminal_that_lacks_letters_gets_escapes() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PrintableStream(ascii_only).write("客")
    ascii_only.flush()
    assert ascii_only.buffer.getvalue() == b"\\u5ba2"  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        PrintableStream(ascii_only).write(b"x")  # type: ignore[arg-type]


def test_every_message_of_the_command_line_is_escaped() -> None:
    @click.group(cls=CommandGroup, sections={"": ("show",)})
    def cli() -> None:
        pass

    @cli.command()
    @click.argument("name")
    def show(name: str) -> None:
        click.echo(f"customer {name}")
        if name.endswith("!"):
            raise ValueError(name)

    safe = EVIL.replace("\ud800", "")
    for words in (["show", safe], ["show", f"{safe}!"], ["show", safe, safe], [safe]):
        result = CliRunner().invoke(cli, words, color=True)
        assert is_clean(result.output) and result.output, result.output


def test_a_line_of_json_stays_json() -> None:
    line = json_line({"id": EVIL.replace("\ud800", "") + "\n客"})
    assert is_clean(line) and "\n" not in line and "客" in line
    assert json.loads(line) == {"id": EVIL.replace("\ud800", "") + "\n客"}
