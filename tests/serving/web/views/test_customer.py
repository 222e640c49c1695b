"""A customer's page against the score table: waterfalls that add up, other cutoffs, what lies beside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from features.config.load import Config
from serving.web.parts.output_reader import Site, open_site, read_scored_cutoff
from serving.web.views import customer
from tests.webpages import app_of, fetch, numbers


@pytest.fixture(scope="module")
def site(webpages: Config) -> Site:
    return open_site(webpages)


@pytest.mark.parametrize("every", [False, True])
def test_a_waterfall_goes_from_the_base_to_the_shipped_number(site: Site, webpages: Config, every: bool) -> None:
    known = numbers(webpages)
    shipped = dict(zip(known["customer_id"], zip(known["churn_probability"], known["value"], strict=True), strict=True))
    for who in ("c010", "c299", "=1+1"):
        waterfalls = (
            customer.full_waterfalls(site, read_scored_cutoff(site), who)
            if every
            else customer.customer_page(site, read_scored_cutoff(site), who)["waterfalls"]
        )
        for fall, total, base in zip(waterfalls, shipped[who], (0.5, 10.0), strict=True):
            first, *moves, last = fall["steps"]
            assert (first.end, last.end) == pytest.approx((base, total))
            assert [step.start for step in moves[1:]] == pytest.approx([step.end for step in moves[:-1]])
            assert moves[0].start == pytest.approx(base) and moves[-1].end == pytest.approx(total)


def test_every_contribution_is_shown_where_they_were_written(site: Site) -> None:
    risk, value = customer.full_waterfalls(site, read_scored_cutoff(site), "c010")
    assert risk["complete"] and not value["complete"]
    expected_text = [step.label for step in risk["steps"]]
    assert (
        "last order <9> days ago" in expected_text and "orders <so far>" in expected_text
    )  # a reading, and a phrase of the manifest


def test_other_cutoffs_and_what_lies_beside(webpages: Config) -> None:
    text = fetch(app_of(webpages), "/customer?id=c010").text
    for expected_text in (
        "2024-02-01",
        "garden",
        "1.7 times",
        "prefers toys",
        "Plan &#39;retention&#39;",
        "mail",
        "champions",
    ):
        assert expected_text in text, expected_text


def test_history_is_what_the_log_knew(webpages: Config) -> None:
    text = fetch(app_of(webpages), "/customer/history?id=c010").text
    assert "1 order before 2024-03-01" in text and "2024-02-11" in text
    assert "The log has no events of this customer" in fetch(app_of(webpages), "/customer/history?id=nobody").text
    (webpages.folder / "log.parquet").rename(webpages.folder / "gone")
    try:
        answer = fetch(app_of(webpages), "/customer/history?id=c010", {"x-part": "1"})
    finally:
        (webpages.folder / "gone").rename(webpages.folder / "log.parquet")
    assert answer.status == 503 and "The log cannot be read" in answer.text and "regulars check" in answer.text


def test_what_if_without_a_champion_says_so(webpages: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.errors import UsageError
    from serving.web import live_queries

    def none(config: Any) -> Any:
        raise UsageError("no model is registered; run `regulars train` first")

    monkeypatch.setattr(live_queries, "load_champions", none)
    answer = fetch(app_of(webpages), "/customer/what-if?id=c010")
    assert answer.status == 503 and "no model is registered" in answer.text
    assert re.search(r"<code>regulars explain CUSTOMER --cutoff 2024-03-01</code>", answer.text)
