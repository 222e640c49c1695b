"""The guard before the pages: hosts, methods, strangers, the token, and the headers of every answer."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.load import Config
from serving.web.access_tokens import LinkToken
from serving.web.security import HEADERS, allowed_hosts
from tests.webpages import app_of, fetch, in_language

TOKEN = "t" * 40


@pytest.fixture(scope="module")
def app(webpages: Config) -> Any:
    return app_of(webpages)


@pytest.fixture(scope="module")
def wide(webpages: Config) -> Any:
    return app_of(webpages, hosts=allowed_hosts("shop.example"), wide=True, token=TOKEN)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8501", "127.0.0.1:1", "[::1]:8501"])
def test_its_own_names_are_let_in(app: Any, host: str) -> None:
    assert fetch(app, "/models", {"host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "192.0.2.1"]
)
def test_other_names_are_not(app: Any, host: str) -> None:
    answer = fetch(app, "/models", {"host": host})
    assert answer.status == 421 and "shop" not in answer.text


def test_opened_wider_addresses_in_digits_and_its_name_are_let_in_and_no_others(wide: Any) -> None:
    for host, status in (("192.0.2.1", 401), ("[2001:db8::1]:80", 401), ("shop.example", 401), ("evil.example", 421)):
        assert fetch(wide, "/models", {"host": host}).status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_reading(app: Any, method: str) -> None:
    answer = fetch(app, "/customers", method=method)
    assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"


def test_another_site_may_link_here_but_not_fetch(app: Any) -> None:
    for mode, status in (("navigate", 200), ("no-cors", 403), ("cors", 403)):
        asked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
        assert fetch(app, "/customers.csv", asked).status == status


@pytest.mark.parametrize(
    "address", ["/", "/nix", "/static/app.css", "/customers.csv", "/customers.xlsx", "/customer?id=x"]
)
def test_every_answer_has_the_headers(app: Any, address: str) -> None:
    answer = fetch(app, address)
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items()
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "address", ["/", "/?token=", f"/?token={TOKEN[:-1]}", "/?token=%C3%A9", "/static/app.js", "/nix"]
)
def test_without_the_token_nothing_is_shown(wide: Any, address: str) -> None:
    answer = fetch(wide, address)
    assert answer.status == 401 and "set-cookie" not in answer.headers
    assert "A token is required" in answer.text


def test_the_token_leaves_the_address_for_a_cookie(wide: Any) -> None:
    answer = fetch(wide, f"/customers?q=c01&token={TOKEN}&tier=high")
    assert answer.status == 303 and answer.headers["location"] == "/customers?q=c01&tier=high"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    pair = cookie.split(";")[0]
    assert fetch(wide, "/models", {"cookie": f"other=1; {pair}"}).status == 200
    assert fetch(wide, "/models", {"cookie": pair[:-1]}).status == 401
    assert fetch(wide, "/models", {"cookie": "=;;\x00"}).status == 401


def test_the_token_sends_nobody_elsewhere(wide: Any) -> None:
    answer = fetch(wide, f"//evil.example/x?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/x"


def test_a_cookie_of_another_token_opens_nothing(webpages: Config, wide: Any) -> None:
    pair = fetch(wide, f"/?token={TOKEN}").headers["set-cookie"].split(";")[0]
    other = app_of(webpages, token="u" * 40)
    assert fetch(other, "/models", {"cookie": pair}).status == 401


def test_a_link_opens_once_and_the_next_is_announced(webpages: Config) -> None:
    links: list[str] = []
    app = app_of(webpages, token=LinkToken(links.append))
    assert fetch(app, "/models").status == 401
    for looking_ahead in ({"sec-purpose": "prefetch;prerender"}, {"purpose": "prefetch"}):
        assert fetch(app, f"/?token={links[0]}", looking_ahead).status == 401
    assert fetch(app, f"/?token={links[0]}", method="HEAD").status == 401
    opened = fetch(app, f"/?token={links[0]}")
    pair = opened.headers["set-cookie"].split(";")[0]
    assert opened.status == 303 and fetch(app, "/models", {"cookie": pair}).status == 200
    used = fetch(app, f"/?token={links[0]}")
    assert used.status == 401 and "opens the pages once" in used.text
    assert len(links) == 2 and fetch(app, f"/?token={links[1]}").status == 303
    assert all(link not in pair for link in links)


def test_a_visit_from_another_site_is_led_on_so_that_the_cookie_comes_along(wide: Any) -> None:
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = fetch(wide, f"/customers?q=%22%3E&token={TOKEN}", visit)
    assert answer.status == 200 and "SameSite=strict" in answer.headers["set-cookie"]
    assert 'content="0; url=/customers?q=%22%3E"' in answer.text and TOKEN not in answer.text
    bookmark = fetch(wide, "/customers?q=c01", visit)
    assert bookmark.status == 200 and 'url=/customers?q=c01"' in bookmark.text and "set-cookie" not in bookmark.headers
    assert fetch(wide, "/customers?q=c01", {"sec-fetch-site": "same-origin"}).status == 401


def test_refusals_are_in_the_language_of_the_pages(webpages: Config) -> None:
    chinese = app_of(in_language(webpages, "zh"), token=TOKEN)
    assert "需要令牌" in fetch(chinese, "/").text and "只读" in fetch(chinese, "/", method="POST").text
