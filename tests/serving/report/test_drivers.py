"""The drivers in the report: features are named by their phrases."""

from __future__ import annotations

from collections.abc import Callable

from features.config.load import Config
from serving.language.messages import get_language
from serving.report import drivers
from serving.report.text import report_wording
from serving.scoring.score_tables import read_scores
from tests.report_samples import CUTOFF, FEATURES, read


def test_features_are_named_by_their_phrases(scored: Callable[..., Config]) -> None:
    text = read(scored())
    assert not any(name in text for name in FEATURES)
    assert "days since the last order &lt;i&gt;&amp;: 5.0 points, higher values: higher risk" in text
    assert "orders in the last 90 days &lt;i&gt;&amp;: 2.5 points, it depends" in text
    assert "said already by its family" not in text


def test_a_driver_of_levels_names_the_extreme_ones(scored: Callable[..., Config]) -> None:
    wording = report_wording(read_scores(scored(), CUTOFF), False, 0.0, get_language("en"))
    row = {"phrase": "plan", "strength": 0.05, "direction": 0.0, "highest": "gold for ever and ever", "lowest": "basic"}
    assert drivers.driver_bar(wording, row, "churn").note == "5.0 points, highest for gold for ever…, lowest for basic"
