"""The first page: its numbers are those of the score table, and its groups add up."""

from __future__ import annotations

import re
from dataclasses import replace

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


def test_the_first_page_says_what_changed_and_how_far_to_trust_it(webpages: Config) -> None:
    site = open_site(webpages)
    at = read_scored_cutoff(site, str(CUTOFF))
    changes = overview.changes_since(site, at)
    assert changes and str(changes["since"]) == "2024-02-01"
    text = fetch(app_of(webpages), "/").text
    assert "What happened since 2024-02-01" in text and changes["sentences"][0] in text
    assert overview.grade_of(site, at) is None and "these scores hold no grade" in text
    figures = {"skill": True, "auc": 0.8, "auc_low": 0.75, "level_error": 0.1, "cutoffs": 3, "worst_auc": 0.78,
               "worst_error": 0.1}  # fmt: skip
    graded = replace(at, manifest=at.manifest.model_copy(update={"grade": figures}))
    shown = overview.grade_of(site, graded)
    assert shown and shown["grade"].letter == "A" and shown["text"].startswith("The ranking by risk is reliable")
    first = read_scored_cutoff(site, "2024-02-01")
    assert overview.changes_since(site, first) is None
