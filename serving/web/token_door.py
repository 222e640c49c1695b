"""The door of a page without accounts: the first visit shows the token, and a cookie takes its place."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Scope

from serving.language.messages import N_
from serving.web.access_tokens import AccessToken
from serving.web.parts.visits import address_of, cookie_of, is_from_elsewhere, led_on, parameters_of

TOKEN_REQUIRED = N_(
    "A token is required: open the address that `regulars app` printed last, with ?token=... at its end. Each printed "
    "address opens the pages once."
)


class TokenDoor:
    """Asks for the token; a visit with the token in its address is led on without it and gets a cookie.

    Args:
        token: The token.
        tr: The language of the answers.
        secure: Whether browsers reach the pages by https, so that the cookie is sent by https only.
    """

    posts: tuple[str, ...] = ()

    def __init__(self, token: AccessToken, tr: Callable[[str], str] = str, secure: bool = False) -> None:
        self._token, self._tr, self._secure = token, tr, secure
        self._cookie = f"regulars_{hashlib.sha256(token.cookie.encode()).hexdigest()[:8]}"

    def ask(self, scope: Scope) -> Response | None:
        """Refuse a visit without token and cookie; None lets it in."""
        headers = Headers(scope=scope)
        if hmac.compare_digest(cookie_of(headers, self._cookie).encode(), self._token.cookie.encode()):
            return None
        tokens = [value for name, value in parameters_of(scope) if name == "token"]
        target = address_of(scope, without="token")
        if not tokens and is_from_elsewhere(headers):
            return led_on(target)  # a browser leaves the cookie out of a visit that another site began
        looks_ahead = scope["method"] != "GET" or "prefetch" in headers.get("sec-purpose", headers.get("purpose", ""))
        if not tokens or looks_ahead or not self._token.opens(tokens[0]):
            return PlainTextResponse(f"{self._tr(TOKEN_REQUIRED)}\n", 401)
        answer = led_on(target) if is_from_elsewhere(headers) else RedirectResponse(target, 303)
        answer.set_cookie(
            self._cookie, self._token.cookie, httponly=True, samesite="strict", secure=self._secure, path="/"
        )
        return answer
