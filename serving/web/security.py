"""Guard every request: check host, token and method, and set the security headers of every answer.

A browser on this machine opens pages of strangers too. So the Host header must be one of ours (a host name that was
rebound to 127.0.0.1 is refused), other sites may not embed or fetch the pages, and access from other machines needs the
token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD")
LOCAL = ("localhost", "127.0.0.1", "::1")
MIN_TOKEN_LENGTH = 16
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
        token: The token that the first visit must show; empty if none is needed.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], wide: bool = False, token: str = "") -> None:
        self._app, self._wide, self._token = app, wide, token
        self._hosts = frozenset(host.lower() for host in hosts)
        self._sign = hashlib.sha256(f"regulars {token}".encode()).hexdigest() if token else ""
        self._cookie = f"regulars_{hashlib.sha256(self._sign.encode()).hexdigest()[:8]}"

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
            text = "This host name is not allowed. Open the page by the address that `regulars app` printed."
            return PlainTextResponse(f"{text}\n", 421)
        if scope["method"] not in METHODS:
            return PlainTextResponse("These pages are read-only.\n", 405, {"Allow": ", ".join(METHODS)})
        stranger = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if stranger and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("Other sites may not fetch from this page.\n", 403)
        return None

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:  # an IP address cannot be rebound
            return self._wide and bool(ipaddress.ip_address(host))
        except ValueError:
            return False

    def _door(self, scope: Scope) -> Response | None:
        """Ask for the token; a visit with the token in its URL is redirected without it and gets a cookie."""
        if not self._token or self._is_known(Headers(scope=scope).get("cookie", "")):
            return None
        params = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in params if name == "token"]
        if not tokens or not hmac.compare_digest(tokens[0].encode(), self._token.encode()):
            text = "A token is required: open the address that `regulars app` printed, with ?token=... at its end."
            return PlainTextResponse(f"{text}\n", 401)
        rest = urlencode([pair for pair in params if pair[0] != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # never to another host
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        answer.set_cookie(self._cookie, self._sign, httponly=True, samesite="lax", path="/")
        return answer

    def _is_known(self, cookies: str) -> bool:
        try:
            cookie = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._sign.encode())


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
