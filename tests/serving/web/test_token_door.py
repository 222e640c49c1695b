"""The door that asks for the token; `test_security.py` tries it behind the guard."""

from __future__ import annotations

from typing import Any

from serving.web.access_tokens import FixedToken
from serving.web.token_door import TokenDoor

TOKEN = "t" * 40


def _scope(query: str = "", method: str = "GET", **headers: str) -> dict[str, Any]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/plan", "query_string": query.encode(), "headers": given}


def test_the_token_is_asked_for_and_a_look_ahead_does_not_use_it_up() -> None:
    door = TokenDoor(FixedToken(TOKEN))
    for scope in (_scope(), _scope(f"token={TOKEN}x"), _scope(f"token={TOKEN}", "HEAD"),
                  _scope(f"token={TOKEN}", sec_purpose="prefetch")):  # fmt: skip
        answer = door.ask(scope)
        assert answer is not None and answer.status_code == 401


def test_the_cookie_opens_and_is_for_https_only_where_there_is_https() -> None:
    for secure in (False, True):
        door = TokenDoor(FixedToken(TOKEN), secure=secure)
        answer = door.ask(_scope(f"token={TOKEN}&a=1"))
        assert answer is not None and answer.headers["location"] == "/plan?a=1"
        said = answer.headers["set-cookie"]
        assert ("Secure" in said) is secure
        assert door.ask(_scope(cookie=said.partition(";")[0])) is None
