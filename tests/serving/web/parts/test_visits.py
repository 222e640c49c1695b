"""What a visit says of itself: cookies, addresses, and the site that began it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from serving.web.parts.visits import address_of, cookie_of, is_from_elsewhere, led_on


def _scope(path: str, query: str = "") -> dict[str, Any]:
    return {"path": path, "query_string": query.encode("latin-1")}


def test_a_cookie_is_found_by_its_name_and_a_broken_header_has_none() -> None:
    headers = Headers({"cookie": "a=1; b=two"})
    assert (cookie_of(headers, "b"), cookie_of(headers, "c")) == ("two", "")
    assert cookie_of(Headers({"cookie": "\x00;;="}), "a") == "" and cookie_of(Headers({}), "a") == ""


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "///x"])
def test_an_address_is_never_that_of_another_host(path: str) -> None:
    assert not address_of(_scope(path)).startswith(("//", "/\\"))


def test_an_address_keeps_its_other_parameters() -> None:
    assert address_of(_scope("/a b", "q=%E5%AE%A2&token=s&x="), without="token") == "/a%20b?q=%E5%AE%A2&x="


def test_a_page_that_leads_on_escapes_the_address() -> None:
    assert b"<script>" not in led_on("/?q=<script>").body


@pytest.mark.parametrize(("site", "foreign"), [("cross-site", True), ("same-site", True), ("none", False), ("", False)])
def test_the_site_that_began_a_request_is_told_by_the_browser(site: str, foreign: bool) -> None:
    assert is_from_elsewhere(Headers({"sec-fetch-site": site} if site else {})) is foreign
