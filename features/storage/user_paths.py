"""Paths as users write them: a leading ~ is their home, and neither an unknown user nor a circle of links is an error.

A path that leads nowhere is refused where it is opened, with a message that names it.
"""

from __future__ import annotations

import os
from pathlib import Path


def user_path(text: str, folder: Path) -> Path:
    """A path that a user wrote, relative to a folder.

    Args:
        text: The path; `~` and `~name` are homes, if there is such a user.
        folder: What it is relative to.

    Returns:
        The path.

    >>> user_path("data/log.csv", Path("/shop")).as_posix(), user_path("~nobody-at-all/a", Path("/shop")).as_posix()
    ('/shop/data/log.csv', '/shop/~nobody-at-all/a')
    """
    return folder / os.path.expanduser(text)


def real_path(path: Path) -> Path:
    """An absolute path in which links are followed; a link that leads to itself stays."""
    return Path(os.path.realpath(path))
