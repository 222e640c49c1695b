"""Who is signed in, and who has to wait after wrong passwords; both are kept in memory and end with the server."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

HOURS = 12  # after which a user signs in again
FREE_ATTEMPTS = 5  # before an attempt has to wait
LONGEST_WAIT = 900.0  # seconds
KEPT = 10_000  # sessions, and names and addresses with wrong passwords


@dataclass(frozen=True)
class Session:
    """A user who has signed in.

    Attributes:
        user: The user's name.
        form_token: What a form of this session must send (against cross-site request forgery).
        ends: When it ends, in seconds of a monotonic clock.
    """

    user: str
    form_token: str
    ends: float


class Sessions:
    """The sessions by the hash of their cookie, so that memory holds no cookie.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, user: str) -> str:
        """Begin a session of a user and return its cookie."""
        cookie = secrets.token_urlsafe(32)
        session = Session(user, secrets.token_urlsafe(32), self._clock() + HOURS * 3600)
        with self._lock:
            self._sessions[_key(cookie)] = session
            while len(self._sessions) > KEPT:
                self._sessions.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None if there is none or it has ended."""
        with self._lock:
            session = self._sessions.get(_key(cookie))
            if session and session.ends <= self._clock():
                del self._sessions[_key(cookie)]
                return None
            return session

    def end(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_key(cookie), None)


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


class LoginThrottle:
    """Makes those wait who give wrong passwords: after five, 1 s, then twice as long each time, at most 15 minutes.

    A name and an address are counted apart, so that neither one name is tried from many addresses nor many names from
    one.

    Args:
        clock: Returns seconds.

    >>> now = [0.0]
    >>> throttle = LoginThrottle(lambda: now[0])
    >>> for _ in range(7):
    ...     throttle.failed("ann")
    >>> throttle.wait("ann"), throttle.wait("ben")
    (2.0, 0.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Return how many seconds must pass before the next attempt; 0: none."""
        with self._lock:
            until = max((self._failed.get(key, (0, 0.0))[1] for key in keys), default=0.0)
        return max(until - self._clock(), 0.0)

    def failed(self, *keys: str) -> None:
        """Count a wrong password."""
        with self._lock:
            for key in keys:
                count = self._failed.pop(key, (0, 0.0))[0] + 1
                pause = min(2.0 ** (count - FREE_ATTEMPTS - 1), LONGEST_WAIT) if count > FREE_ATTEMPTS else 0.0
                self._failed[key] = (count, self._clock() + pause)
                while len(self._failed) > KEPT:
                    self._failed.popitem(last=False)

    def passed(self, *keys: str) -> None:
        """Forget the wrong passwords of those who gave the right one."""
        with self._lock:
            for key in keys:
                self._failed.pop(key, None)
