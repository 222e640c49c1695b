"""The one place through which text reaches a terminal or a log: control characters of data are escaped there.

Ids, categories, file names and messages come from data and from users. Written as they are, they could move the cursor,
recolour a terminal, reverse the order of letters, or forge a line of a log.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from features.errors import printable

OF_PROGRESS_BARS = re.compile(r"\r?\n*(?:\x1b\[A)*")  # how a bar moves the cursor; it writes that alone


class PrintableStream:
    """A text stream that escapes control characters, except new lines and what moves a progress bar.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; return how many of its characters were written."""
        if not isinstance(text, str):
            raise TypeError(f"expected text, found {type(text).__name__}")
        start = "\r" if text.startswith("\r") else ""
        safe = text if OF_PROGRESS_BARS.fullmatch(text) else start + printable(text.removeprefix("\r"))
        try:
            self._stream.write(safe)
        except UnicodeEncodeError:  # a terminal that lacks letters
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            self._stream.write(safe.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Let all that is written to the terminal, by messages, logs and warnings, pass through `PrintableStream`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (PrintableStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
