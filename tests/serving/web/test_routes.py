"""Every page over a complete output folder: it answers, shows the content, and escapes everything."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from features.config.load import Config
from tests.webpages import HOSTILE, app_of, fetch, in_language

PAGES = (
    "/",
    "/segments",
    "/segments?by=rfm_group&group=lost",
    "/customers",
    "/customer?id=c010",
    "/plan",
    "/plan/at?budget=20",
    "/experiments",
    "/monitoring",
    "/models",
    "/customer/history?id=c010",
    "/customer/reasons?id=c010",
    "/?cutoff=2024-02-01",
    "/customers?by=rfm_group&group=champions",
)


@pytest.fixture(scope="module")
def app(webpages: Config) -> Any:
    return app_of(webpages)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_answers(app: Any, address: str) -> None:
    answer = fetch(app, address)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("address", PAGES)
def test_a_page_holds_no_style_or_script_of_its_own(app: Any, address: str) -> None:
    text = fetch(app, address).text
    assert not re.search(r"<style| style=| on\w+=", re.sub(r"&[a-z#0-9]+;", "", text))
    scripts = [f'<script src="/static/{name}.js" defer>' for name in ("app", "charts/charts")]
    assert re.findall(r"<script[^>]*>", text) in ([], scripts)
    assert not re.findall(r'(?:src|href|action)="(?!/|#|data:,)', text)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_speaks_chinese(webpages: Config, address: str) -> None:
    text = fetch(app_of(in_language(webpages, "zh")), address).text
    assert re.search("[\u4e00-\u9fff]", text)
    assert not re.search(r">\s*(Customers|Segment|Cutoff|Show|Expected value|Risk|Overview|Alerts)\s*<", text)


def test_names_of_groups_and_phrases_are_in_chinese(webpages: Config) -> None:
    app = app_of(in_language(webpages, "zh"))
    assert "优先挽留" in fetch(app, "/").text and "距上次下单天数" in fetch(app, "/").text
    assert "冠军客户" in fetch(app, "/segments?by=rfm_group").text
    experiments = fetch(app, "/experiments").text
    assert "优先挽留" in experiments and "目前对每个触达动作的判断" in experiments


@pytest.mark.parametrize("who", HOSTILE)
def test_a_hostile_id_is_a_customer_like_any_other(app: Any, who: str) -> None:
    answer = fetch(app, f"/customer?id={quote(who, safe='')}")
    assert answer.status == 200
    assert not re.search(r"<script>alert|<img", answer.text)
    listed = fetch(app, f"/customers?q={quote(who, safe='')}")
    assert "1 customer" in listed.text
    (link,) = re.findall(r'<th scope="row" class="id"><a href="([^"]+)"', listed.text)
    assert fetch(app, link.replace("&amp;", "&")).text == answer.text


def test_a_customer_who_does_not_exist(app: Any) -> None:
    answer = fetch(app, "/customer?id=c01")
    assert answer.status == 404
    assert "There is no customer &#39;c01&#39;" in answer.text and "c010" in answer.text
    assert fetch(app, "/customer").status == 400


def test_a_customer_of_another_cutoff_is_found_there(app: Any) -> None:
    answer = fetch(app, "/customer?id=c000")  # the newest cutoff has a hostile id in their place
    assert answer.status == 404 and "2024-02-01" in answer.text
    assert fetch(app, "/customer?id=c000&cutoff=2024-02-01").status == 200


@pytest.mark.parametrize(
    "address", ["/customer/what-if?id=c010&below=200", "/plan?budget=-1", "/plan?budget=inf", "/segments?by=../x"]
)
def test_an_invalid_request_is_explained(app: Any, address: str) -> None:
    answer = fetch(app, address)
    assert answer.status == 400 and 'id="missing"' in answer.text


@pytest.mark.parametrize(
    "query", ["risk_from=x", "sort=customer_id;DROP", "by=x&group=y", "risk_to=nan", "risk_from=x&segment=keep"]
)
def test_a_wrong_filter_keeps_the_form_and_is_named(app: Any, query: str) -> None:
    answer = fetch(app, f"/customers?{query}")
    assert answer.status == 400 and "these fields cannot be read" in answer.text and 'name="risk_from"' in answer.text
    assert 'id="list"' not in answer.text


@pytest.mark.parametrize(
    "address", ["/nix", "/../etc/passwd", "/static/../pages.py", "/plan?plan=../x", "/?cutoff=../x"]
)
def test_what_is_missing_is_explained(app: Any, address: str) -> None:
    assert fetch(app, address).status == 404


def test_a_page_asked_for_as_a_part_has_no_frame(app: Any) -> None:
    assert "<html" not in fetch(app, "/customer/history?id=c010").text
    assert "<html" not in fetch(app, "/customer?id=nobody", {"x-part": "1"}).text


def test_a_fault_of_ours_is_a_page_without_a_traceback(webpages: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = app_of(webpages)

    def fail(*given: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("serving.web.views.monitoring.models_page", fail)
    with pytest.raises(ZeroDivisionError):  # the server logs it
        fetch(broken, "/models")
    monkeypatch.setattr("tests.webpages.asyncio.run", _swallowing)
    answer = fetch(broken, "/models")
    assert answer.status == 500 and "secret" not in answer.text and "Traceback" not in answer.text


def _swallowing(asked: Any) -> None:
    import asyncio

    with pytest.raises(ZeroDivisionError), asyncio.Runner() as runner:
        runner.run(asked)
