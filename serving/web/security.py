"""Guard every request: check host, token and method, and set the security headers of every answer.

A browser on this machine opens pages of strangers too. So the Host header must be one of ours (a host name that was
rebound to 127.0.0.1 is refused), and other sites may not embed or fetch the pages. Other users of this machine can
reach its ports, so every first visit needs the token; a cookie takes its place.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.language.messages import N_
from serving.web.access_tokens import AccessToken, FixedToken

METHODS = ("GET", "HEAD")
LOCAL = ("localhost", "127.0.0.1", "::1")
HOST_REFUSED = N_("This host name is not allowed. Open the page by the address that `regulars app` printed.")
READ_ONLY = N_("These pages are read-only.")
FETCH_REFUSED = N_("Other sites may not fetch from this page.")
TOKEN_REQUIRED = N_(
    "A token is required: open the address that `regulars app` printed last, with ?token=... at its end. Each printed "
    "address opens the pages once."
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class AccessGuard:
    """An application behind the guard.

    Args:
        app: The application.
        hosts: The allowed names in the Host header; if `wide`, an IP address is allowed too.
        wide: Whether the pages are open to other machines.
        token: What the first visit must show; a text is a token of the user's own, and empty text asks for none.
        tr: The language of the answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        wide: bool = False,
        token: str | AccessToken = "",
        tr: Callable[[str], str] = str,
    ) -> None:
        self._app, self._wide, self._tr = app, wide, tr
        self._token = (FixedToken(token) if token else None) if isinstance(token, str) else token
        self._hosts = frozenset(host.lower() for host in hosts)
        sign = self._token.cookie if self._token else ""
        self._cookie = f"regulars_{hashlib.sha256(sign.encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the security headers on its answer, or refuse it."""
        if scope["type"] != "http":
            raise RuntimeError(f"expected a request over HTTP, found {scope['type']}")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refusal(scope) or self._door(scope)
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse a foreign host, a method that writes, and requests by other sites."""
        headers = Headers(scope=scope)
        if not self._is_ours(host_name(headers.get("host", ""))):
            return self._say(HOST_REFUSED, 421)
        if scope["method"] not in METHODS:
            return self._say(READ_ONLY, 405, {"Allow": ", ".join(METHODS)})
        if _is_from_elsewhere(headers) and headers.get("sec-fetch-mode") != "navigate":
            return self._say(FETCH_REFUSED, 403)
        return None

    def _say(self, message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        return PlainTextResponse(f"{self._tr(message)}\n", status, headers)

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:  # an IP address cannot be rebound
            return self._wide and bool(ipaddress.ip_address(host))
        except ValueError:
            return False

    def _door(self, scope: Scope) -> Response | None:
        """Ask for the token; a visit with the token in its URL is led on without it and gets a cookie."""
        headers = Headers(scope=scope)
        if self._token is None or self._is_known(headers.get("cookie", "")):
            return None
        params = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in params if name == "token"]
        rest = urlencode([pair for pair in params if pair[0] != "token"])
        path = quote("/" + scope["path"].lstrip("/\\"), safe="/")  # never to another host
        target = f"{path}?{rest}" if rest else path
        if not tokens and _is_from_elsewhere(headers):
            return _led_on(target)  # a browser leaves the cookie out of a visit that another site began
        looks_ahead = scope["method"] != "GET" or "prefetch" in headers.get("sec-purpose", headers.get("purpose", ""))
        if not tokens or looks_ahead or not self._token.opens(tokens[0]):
            return self._say(TOKEN_REQUIRED, 401)
        answer = _led_on(target) if _is_from_elsewhere(headers) else RedirectResponse(target, 303)
        answer.set_cookie(self._cookie, self._token.cookie, httponly=True, samesite="strict", path="/")
        return answer

    def _is_known(self, cookies: str) -> bool:
        try:
            cookie = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        sign = self._token.cookie if self._token else ""
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), sign.encode())


def _is_from_elsewhere(headers: Headers) -> bool:
    """Whether another site began a request."""
    return headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def _led_on(target: str) -> Response:
    """A page that opens an address of ours at once: a visit that this page began has its cookies."""
    address = html.escape(target)
    return HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">'
        f'<title>regulars</title><p><a href="{address}">{address}</a></p>'
    )


def host_name(header: str) -> str:
    """Extract the name from a Host header, without the port.

    >>> host_name("LOCALHOST:8000"), host_name("[::1]:80"), host_name("evil.example:80"), host_name("")
    ('localhost', '::1', 'evil.example', '')
    """
    name = header.strip().lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def is_local(host: str) -> bool:
    """Check whether a host is reachable from this machine only.

    >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0"), is_local("shop.example")
    (True, True, False, False)
    """
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, also: Collection[str] = ()) -> frozenset[str]:
    """List the names by which a page that listens at `host` may be opened."""
    own = () if is_local(host) else (host, socket.gethostname(), socket.getfqdn())
    return frozenset(name.lower() for name in (*LOCAL, *own, *also) if name)
