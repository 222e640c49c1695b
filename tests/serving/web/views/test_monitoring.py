"""The page of monitoring: alerts by gravity, and never `no alerts` where nothing was monitored."""

from __future__ import annotations

import pytest

from features.config.load import Config
from features.outputs.layout import OutputFolder
from serving.web.parts.output_reader import MissingOutput, open_site
from serving.web.views import monitoring
from tests.webpages import app_of, fetch


def test_alerts_go_by_gravity(webpages: Config) -> None:
    alerts = monitoring.newest_alerts(open_site(webpages)) or []
    severities = [alert["severity"] for alert in alerts]
    assert severities[-1] == "info" and severities[0] != "info"


def test_nothing_monitored_is_not_the_same_as_no_alerts(webpages: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutputFolder, "monitored_cutoffs", lambda self: [])
    site = open_site(webpages)
    assert monitoring.newest_alerts(site) is None
    text = fetch(app_of(webpages), "/").text
    assert "Nothing has been monitored yet." in text and "No alerts." not in text
    with pytest.raises(MissingOutput, match="Nothing has been monitored yet"):
        monitoring.monitoring_page(site, "")


def test_a_cutoff_that_was_not_monitored_is_named(webpages: Config) -> None:
    with pytest.raises(MissingOutput, match=r"Cutoff 1999-01-01 has not been monitored.*2024"):
        monitoring.monitoring_page(open_site(webpages), "1999-01-01")


def test_an_unknown_metric_keeps_its_name(webpages: Config) -> None:
    site = open_site(webpages)
    assert monitoring.metric_name(site, "auc").startswith("AUC") and monitoring.metric_name(site, "new") == "new"
