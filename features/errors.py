"""The errors that users may see: each is one readable message with an exit code."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

TEXT_DIRECTION = (
    "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"  # changes the order of characters
)


class RegularsError(Exception):
    """A problem that the user can solve. Its message says what was expected and found, where, and what to do."""

    exit_code = 2


class RefusedError(RegularsError):
    """A check or gate failed (exit code 1)."""

    exit_code = 1


class UsageError(RegularsError):
    """A command was used wrongly, or the config is wrong (exit code 2)."""

    exit_code = 2


class DataError(RegularsError):
    """The data cannot be used (exit code 3)."""

    exit_code = 3


class EmptyError(DataError):
    """A file or table has no rows (exit code 3)."""


class RegularsWarning(UserWarning):
    """Something that stops nothing but should be known: the command line prints it as a note."""


def sample(values: Sequence[object], limit: int = 5) -> str:
    """Return the first few values as text for a message.

    >>> sample(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    listed = ", ".join(repr(v) for v in values[:limit])
    return listed + (f" and {len(values) - limit:,} more" if len(values) > limit else "")


def printable(text: str, keep: str = "\n") -> str:
    r"""Return a text in which control characters are escaped: they could change a terminal or a log.

    Args:
        text: Any text, such as an id from the data.
        keep: Control characters that stay; new lines do by default, and should not in a single value.

    Returns:
        The text.

    >>> printable("customer 'a\x1b[2J'\nnext"), printable("a\nb", keep="")
    ("customer 'a\\x1b[2J'\nnext", 'a\\nb')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if c not in keep and _is_control(c) else c for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in TEXT_DIRECTION


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
