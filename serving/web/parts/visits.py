"""What every door reads of a visit: its cookies, its address, and whether another site began it."""

from __future__ import annotations

import html
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope


def cookie_of(headers: Headers, name: str) -> str:
    """The value of a cookie; empty if the visit has none of this name."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def parameters_of(scope: Scope) -> list[tuple[str, str]]:
    """The parameters of an address, in their order."""
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def address_of(scope: Scope, without: str = "") -> str:
    """The address of a visit, never that of another host.

    Args:
        scope: The visit.
        without: A parameter to leave out.

    Returns:
        The path with its parameters.
    """
    rest = urlencode([pair for pair in parameters_of(scope) if pair[0] != without])
    path = quote("/" + scope["path"].lstrip("/\\"), safe="/")
    return f"{path}?{rest}" if rest else path


def is_from_elsewhere(headers: Headers) -> bool:
    """Whether another site began a request."""
    return headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def led_on(target: str) -> Response:
    """A page that opens an address of ours at once: a visit that this page began has its cookies."""
    address = html.escape(target)
    return HTMLResponse(
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">'
        f'<title>regulars</title><p><a href="{address}">{address}</a></p>'
    )
