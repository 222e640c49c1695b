"""The first page: its numbers are those of the score table, and its groups add up."""

from __future__ import annotations

import re

import pytest

from features.config.load import Config
from serving.web.parts.output_reader import open_site, read_scored_cutoff
from serving.web.views import overview
from tests.webpages import CUTOFF, app_of, fetch, numbers


def test_numbers_on_the_first_page_are_those_of_the_scores(webpages: Config) -> None:
    known = numbers(webpages)
    text = fetch(app_of(webpages), "/").text
    assert f"{(known['churn_probability'] >= 0.5).sum()}" in re.findall(r"<strong[^>]*>([\d,]+)</strong>", text)
    assert f"{known['value'].sum():,.0f}" in text
    assert "Risk moved &lt;i&gt;" in text and text.index("Risk moved") < text.index("later")


def test_each_grouping_adds_up_to_all_customers(webpages: Config) -> None:
    site = open_site(webpages)
    page = overview.overview_page(site, read_scored_cutoff(site, str(CUTOFF)))
    for group in page["groups"]:
        for name in ("customers", "value", "value_at_risk"):
            assert sum(row[name] for row in group["rows"]) == pytest.approx(page["top"][name])
    assert [group["by"] for group in page["groups"]] == ["segment", "tier", "lifecycle"]
