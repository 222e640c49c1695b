"""Sessions end, and wrong passwords make wait."""

from __future__ import annotations

from serving.web.accounts.sessions import HOURS, KEPT, LONGEST_WAIT, LoginThrottle, Sessions


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


def test_a_session_is_found_by_its_cookie_until_it_ends() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    cookie, other = sessions.begin("ann"), sessions.begin("ann")
    found = sessions.find(cookie)
    assert found is not None and found.user == "ann" and cookie != other
    sessions.end(cookie)
    assert sessions.find(cookie) is None and sessions.find(other) is not None
    clock.now = HOURS * 3600
    assert sessions.find(other) is None and sessions.find("") is None


def test_memory_holds_a_limited_number_of_sessions_and_no_cookie() -> None:
    sessions = Sessions(Clock())
    first = sessions.begin("ann")
    for _ in range(KEPT):
        sessions.begin("ben")
    assert sessions.find(first) is None
    assert first not in repr(vars(sessions))


def test_waiting_grows_has_an_end_and_is_forgotten_after_the_right_password() -> None:
    clock = Clock()
    throttle = LoginThrottle(clock)
    waits = []
    for _ in range(20):
        throttle.failed("name ann", "address 1")
        waits.append(throttle.wait("name ann"))
    assert waits[:5] == [0.0] * 5 and waits[5:8] == [1.0, 2.0, 4.0] and max(waits) == LONGEST_WAIT
    assert throttle.wait("name ben", "address 1") == LONGEST_WAIT  # one address that tries many names
    clock.now = LONGEST_WAIT
    assert throttle.wait("name ann") == 0.0
    throttle.passed("name ann")
    throttle.failed("name ann")
    assert throttle.wait("name ann") == 0.0
