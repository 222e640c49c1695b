"""The list of customers in the report."""

from __future__ import annotations

import json
from collections.abc import Callable

from features.config.load import Config
from tests.report_samples import AUDIT, NASTY, Tags, read


def test_the_list_holds_fifty_by_value_at_risk_with_reasons(scored: Callable[..., Config]) -> None:
    page = Tags(read(scored()))
    listed = [float(a["data-sort"] or 0) for a in page.named("td") if "data-sort" in a]
    at_risk = listed[2::3]
    assert len(at_risk) == 50 and at_risk == sorted(at_risk, reverse=True)
    assert "+12.3 points" in page.text and "−40" in page.text
    assert "last order 74 days ago & counting" in page.text and "<b>no order</b> in 90 days" in page.text


def test_customer_ids_are_text_and_nothing_else(scored: Callable[..., Config]) -> None:
    config = scored()
    (config.output / "audit.json").write_text(json.dumps(AUDIT), encoding="utf-8")
    text = read(config)
    page = Tags(text)
    assert len(page.named("script")) == 1
    for tag in ("img", "i", "u"):
        assert not page.named(tag)
    for name in NASTY:
        assert name in page.text
    assert "<script>alert" not in text


def test_few_customers_make_a_page_too(scored: Callable[..., Config]) -> None:
    assert "The 2 customers with most value at risk" in read(scored(n=2))
