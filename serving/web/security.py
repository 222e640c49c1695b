"""Guard every request: check host, token and method, and set the security headers of every answer.

A browser on this machine opens pages of strangers too. So the Host header must be one of ours (a host name that was
rebound to 127.0.0.1 is refused), and other sites may not embed or fetch the pages. Other users of this machine can
reach its ports, so every first visit needs the token; a cookie takes its place.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.language.messages import N_
from serving.web.parts.visits import is_from_elsewhere

METHODS = ("GET", "HEAD")
LOCAL = ("localhost", "127.0.0.1", "::1")
HOST_REFUSED = N_("This host name is not allowed. Open the page by the address that `regulars app` printed.")
READ_ONLY = N_("These pages are read-only.")
FETCH_REFUSED = N_("Other sites may not fetch from this page.")
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


class Door(Protocol):
    """What lets visitors in: those with the token, or users who have signed in.

    Attributes:
        posts: Paths at which it reads a form.
    """

    @property
    def posts(self) -> tuple[str, ...]:
        """The paths."""

    def ask(self, scope: Scope) -> Response | None:
        """Refuse a visit, or lead it elsewhere; None lets it in."""


class AccessGuard:
    """An application behind the guard.

    Args:
        app: The application.
        hosts: The allowed names in the Host header; if `wide`, an IP address is allowed too.
        wide: Whether the pages are open to other machines.
        door: What lets visitors in; None: everybody may.
        tr: The language of the answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        wide: bool = False,
        door: Door | None = None,
        tr: Callable[[str], str] = str,
    ) -> None:
        self._app, self._wide, self._tr, self._door = app, wide, tr, door
        self._hosts = frozenset(host.lower() for host in hosts)

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

        answer = self._refusal(scope) or (self._door.ask(scope) if self._door else None)
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Refuse a foreign host, a method that writes, and requests by other sites."""
        headers = Headers(scope=scope)
        if not self._is_ours(host_name(headers.get("host", ""))):
            return self._say(HOST_REFUSED, 421)
        reads = scope["method"] in METHODS
        if not reads and not (scope["method"] == "POST" and self._door and scope["path"] in self._door.posts):
            return self._say(READ_ONLY, 405, {"Allow": ", ".join(METHODS)})
        if is_from_elsewhere(headers) and not (reads and headers.get("sec-fetch-mode") == "navigate"):
            return self._say(FETCH_REFUSED, 403)
        if not reads and not _is_own_form(headers):
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


def _is_own_form(headers: Headers) -> bool:
    """Whether a page of this host sent a form, by what browsers say of it; the form's own token is checked besides."""
    site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin", "null")
    own = origin.partition("://")[2].lower() == headers.get("host", "").lower()
    return site == "same-origin" and (own or origin == "null")  # null: our pages send no referrer


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
