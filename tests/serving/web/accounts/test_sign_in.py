"""Signing in and out, roles, proxies, forged forms, and the log of downloads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.web.accounts import users_file
from serving.web.accounts.audit_log import read_audit_log
from serving.web.accounts.sign_in import Accounts, open_accounts, own_address
from tests.scored import CUTOFF
from tests.webpages import Answer, app_of, fetch, in_language

PASSWORD = "correct horse"  # noqa: S105
PAGES = ("/", "/segments", "/customers", "/customers.csv", "/plan", "/models", "/customer?id=c001", "/newest")


@pytest.fixture(scope="module")
def shop(webpages: Config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The pages with two users and a proxy, and their accounts."""
    folder: Path = tmp_path_factory.mktemp("accounts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users_file, "COST", {"n": 2, "r": 8, "p": 1})
        rules = webpages.app.model_copy(update={"users": str(folder / "users.json"), "proxy_header": "X-User"})
        config = webpages.model_copy(update={"app": rules})
        file = users_file.UsersFile(folder / "users.json")
        with pytest.raises(UsageError, match="names no user yet"):
            open_accounts(config)
        file.add("ann", "customers", PASSWORD)
        file.add("ben", "groups", PASSWORD)
        opened = open_accounts(config)
        assert opened is not None
        accounts = replace(opened, audit_log=type(opened.audit_log)(folder / "downloads.jsonl"))
        yield app_of(config, accounts=accounts), accounts


@pytest.fixture
def app(shop: Any) -> Any:
    return shop[0]


@pytest.fixture
def accounts(shop: Any) -> Accounts:
    return shop[1]  # type: ignore[no-any-return]


def _cookie(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def _post(app: Any, path: str, cookie: str, headers: Any = None, **form: str) -> Answer:
    return fetch(app, path, {"cookie": cookie, **(headers or {})}, "POST", urlencode(form).encode())


def _sign_in(app: Any, name: str, password: str = PASSWORD, target: str = "/plan", headers: Any = None) -> Answer:
    form = fetch(app, f"/sign-in?next={target}")
    token = re.search(r'name="form_token" value="([^"]+)"', form.text)
    assert token
    fields = {"name": name, "password": password, "next": target, "form_token": token[1]}
    return _post(app, "/sign-in", _cookie(form), headers, **fields)


def test_without_a_session_nothing_is_shown_and_visits_are_led_to_the_form(app: Any) -> None:
    for page in PAGES:
        answer = fetch(app, page)
        assert answer.status == 303 and answer.headers["location"].startswith("/sign-in?next=%2F"), page
    assert fetch(app, "/customers", {"x-part": "1"}).status == 401
    form = fetch(app, "/sign-in")
    assert form.status == 200 and 'type="password"' in form.text and "c001" not in form.text


def test_the_right_password_opens_the_page_that_was_asked_for(app: Any) -> None:
    answer = _sign_in(app, "ann", target="/segments")
    assert answer.status == 303 and answer.headers["location"] == "/segments"
    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said and "SameSite=strict" in said and "Path=/" in said
    page = fetch(app, "/customers", {"cookie": _cookie(answer)})
    assert page.status == 200 and "Sign out" in page.text and ">ann<" in page.text


def test_over_https_cookies_are_for_https_only(shop: Any, webpages: Config) -> None:
    secure = app_of(webpages, accounts=replace(shop[1], secure=True))
    said = _sign_in(secure, "ann").headers["set-cookie"]
    assert said.startswith("__Host-regulars_session=") and "Secure" in said


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer_and_have_to_wait(shop: Any, webpages: Config) -> None:
    app = app_of(webpages, accounts=replace(shop[1], throttle=type(shop[1].throttle)()))
    texts = {_sign_in(app, name, "wrong password").text.count("The name or the password is wrong") for name in "xy"}
    assert texts == {1}
    answers = [_sign_in(app, "ann", "wrong password") for _ in range(6)]
    assert {answer.status for answer in answers} == {401, 429} and "retry-after" in answers[-1].headers
    assert _sign_in(app, "ann").status == 429  # even the right one waits


def test_a_form_of_another_site_or_without_its_token_is_refused(app: Any) -> None:
    form = fetch(app, "/sign-in")
    fields = {"name": "ann", "password": PASSWORD, "next": "/"}
    assert _post(app, "/sign-in", _cookie(form), **fields).status == 403
    assert _post(app, "/sign-in", "", **{**fields, "form_token": "x"}).status == 403
    for foreign in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"},
    ):
        assert _sign_in(app, "ann", headers=foreign).status == 403
    assert _sign_in(app, "ann", headers={"origin": "http://localhost", "sec-fetch-site": "same-origin"}).status == 303


def test_only_the_two_forms_accept_a_post_and_a_long_one_is_not_read(app: Any) -> None:
    cookie = _cookie(_sign_in(app, "ann"))
    assert _post(app, "/customers", cookie).status == 405
    assert _post(app, "/sign-in", cookie, name="x" * 20_000).status == 403


def test_signing_out_ends_the_session_and_needs_its_token(app: Any) -> None:
    cookie = _cookie(_sign_in(app, "ann"))
    _post(app, "/sign-out", cookie, **{"form_token": "wrong"})
    page = fetch(app, "/", {"cookie": cookie})
    assert page.status == 200
    token = re.search(r'action="/sign-out"><input type="hidden" name="form_token" value="([^"]+)"', page.text)
    assert token and _post(app, "/sign-out", cookie, form_token=token[1]).headers["location"] == "/sign-in"
    assert fetch(app, "/", {"cookie": cookie}).status == 303


def test_a_removed_user_is_out_at_once(shop: Any) -> None:
    app, accounts = shop
    accounts.users.add("eve", "customers", PASSWORD)
    cookie = _cookie(_sign_in(app, "eve"))
    assert fetch(app, "/", {"cookie": cookie}).status == 200
    accounts.users.remove("eve")
    assert fetch(app, "/", {"cookie": cookie}).status == 303


@pytest.mark.parametrize(
    "page", ["/customers", "/customers.csv", "/customers.xlsx", "/customer?id=c001", "/customer/history?id=c001",
             "/customer/what-if?id=c001", "/customer/reasons?id=c001", "/plan.csv", "/plan.csv?list=holdout",
             "/plan.xlsx", "/plan/campaign.csv"],
)  # fmt: skip
def test_a_user_of_groups_sees_no_customer(app: Any, page: str) -> None:
    cookie = _cookie(_sign_in(app, "ben"))
    answer = fetch(app, page, {"cookie": cookie})
    assert answer.status == 403 and "groups of customers" in answer.text


def test_no_page_that_a_user_of_groups_may_open_names_a_customer(app: Any, webpages: Config) -> None:
    part = webpages.output / "scores" / f"cutoff={CUTOFF}" / "part-00000.parquet"
    ids = set(pq.ParquetFile(part).read(["customer_id"])["customer_id"].to_pylist())
    cookie = _cookie(_sign_in(app, "ben"))
    for page in ("/", "/segments", "/plan", "/plan/at", "/experiments", "/monitoring", "/models"):
        answer = fetch(app, page, {"cookie": cookie})
        named = [one for one in ids if re.search(rf"[>= ]{re.escape(one)}[<&\" ]", answer.text)]
        assert answer.status == 200 and not named, (page, named[:3])


def test_a_proxy_signs_in_known_users_and_only_a_proxy_does(app: Any) -> None:
    assert fetch(app, "/customers", {"x-user": "ann"}).status == 200
    assert fetch(app, "/customers", {"x-user": "ben"}).status == 403
    refused = fetch(app, "/", {"x-user": "<eve>"})
    assert refused.status == 403 and "regulars users add" in refused.text
    assert refused.headers["content-type"].startswith("text/plain")
    assert fetch(app, "/customers", {"x-user": "ann"}, client="192.0.2.7").status == 303


def test_downloads_are_logged_with_who_and_what_and_no_customer(shop: Any) -> None:
    app, accounts = shop
    for name in ("ann", "ben"):
        cookie = _cookie(_sign_in(app, name))
        fetch(app, "/customers.csv?tier=high&q=c001", {"cookie": cookie})
    ann, ben = read_audit_log(accounts.audit_log.path)[-2:]
    assert (ann["user"], ann["what"], ann["allowed"], ann["tier"]) == ("ann", "/customers.csv", True, "high")
    assert (ben["user"], ben["allowed"]) == ("ben", False)
    assert ann["also_filtered_by"] == ["q"] and "c001" not in accounts.audit_log.path.read_text()
    assert accounts.audit_log.path.stat().st_mode & 0o077 == 0


def test_the_form_is_in_the_language_of_the_pages(shop: Any, webpages: Config) -> None:
    chinese = app_of(in_language(webpages, "zh"), accounts=shop[1])
    assert "登录" in fetch(chinese, "/sign-in").text


@pytest.mark.parametrize("address", ["//evil.example/", "https://evil.example", "/\\evil", "", "/a\r\nb"])
def test_no_form_leads_to_another_host(app: Any, address: str) -> None:
    assert own_address(address) == "/"
