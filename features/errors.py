"""The errors a user may meet: one readable message each, and the exit code that goes with it."""

from __future__ import annotations

from collections.abc import Sequence


class RegularsError(Exception):
    """A problem the user can act on: expected, found, where, what to do. Shown without a traceback."""

    exit_code = 2


class RefusedError(RegularsError):
    """A check or a gate said no (exit 1)."""

    exit_code = 1


class UsageError(RegularsError):
    """Wrong use of a command or a bad config (exit 2)."""

    exit_code = 2


class DataError(RegularsError):
    """The data cannot serve (exit 3)."""

    exit_code = 3


class EmptyError(DataError):
    """There is no row to read (exit 3)."""


def sample(values: Sequence[object], limit: int = 5) -> str:
    """The first few values as text for a message.

    >>> sample(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    listed = ", ".join(repr(v) for v in values[:limit])
    return listed + (f" and {len(values) - limit:,} more" if len(values) > limit else "")
