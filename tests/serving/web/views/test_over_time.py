"""The first page's charts over cutoffs: up to the shown cutoff, with links to each cutoff and its segments."""

from __future__ import annotations

from features.config.load import Config
from serving.web.parts.output_reader import open_site, read_scored_cutoff
from serving.web.views.over_time import history_charts
from tests.serving.charts.drawn import of_class
from tests.webpages import EARLIER


def test_two_cutoffs_are_drawn_with_links_and_one_is_not(webpages: Config) -> None:
    site = open_site(webpages)
    charts = history_charts(site, read_scored_cutoff(site))
    assert len(charts) == 4
    first = of_class(charts[0]["svg"], "mark")[0]
    assert first.attrib["href"] == f"/?cutoff={EARLIER}"
    assert of_class(charts[3]["svg"], "mark")[0].attrib["href"].startswith("/customers?segment=")
    assert history_charts(site, read_scored_cutoff(site, str(EARLIER))) == []
