"""The errors that users may see: each is one readable message with an exit code."""

from __future__ import annotations

from collections.abc import Sequence


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


def sample(values: Sequence[object], limit: int = 5) -> str:
    """Return the first few values as text for a message.

    >>> sample(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    listed = ", ".join(repr(v) for v in values[:limit])
    return listed + (f" and {len(values) - limit:,} more" if len(values) > limit else "")
