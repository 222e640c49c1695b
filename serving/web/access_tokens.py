"""The secrets that open the pages: a token of the user's own, or links that open them once.

Other users of a machine can reach its ports too, so every visitor must show a secret. A link is used up by the browser
that opens it, and the next one is printed; so a link in a history, a log or a terminal that was left open is worth
nothing. The cookie that takes its place is kept by the browser until it ends.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from threading import Lock
from typing import Protocol

MIN_TOKEN_LENGTH = 16


class AccessToken(Protocol):
    """A secret in an address, and the value of the cookie that takes its place."""

    cookie: str

    def opens(self, given: str) -> bool:
        """Whether a secret from an address opens the pages; one that opens once is used up."""


class FixedToken:
    """A token that the user chose; it opens the pages as often as it is shown, also after a restart."""

    def __init__(self, token: str) -> None:
        self._token = token
        self.cookie = hashlib.sha256(f"regulars {token}".encode()).hexdigest()

    def opens(self, given: str) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(given.encode(), self._token.encode())


class LinkToken:
    """A token that opens the pages once.

    Args:
        announce: Takes the token and, when it has been used, the next one.
        more: Whether there is a next one.
    """

    def __init__(self, announce: Callable[[str], object], more: bool = True) -> None:
        self._announce, self._more, self._lock = announce, more, Lock()
        self._token = secrets.token_urlsafe(32)
        self.cookie = secrets.token_hex(32)
        announce(self._token)

    def opens(self, given: str) -> bool:
        """Whether this is the newest token, which is used up by that."""
        with self._lock:
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return False
            self._token = secrets.token_urlsafe(32)
        if self._more:
            self._announce(self._token)
        return True
