"""The report's section on lifetime value: the manifest's totals in the report's language, with what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from features.config.load import Config
from serving.language.messages import get_language
from serving.report.inputs import ReportInputs
from serving.report.lifetime import lifetime_section
from serving.report.text import report_wording
from serving.scoring.score_tables import read_scores
from tests.report_samples import CUTOFF

TOTAL = {"column": "value_24m", "days": 730, "total": 1000.0, "low": 700.0, "high": 1500.0, "profit": 400.0}
LIFETIME = {"reach": 365, "discount": 0.1, "margin": 0.4, "totals": [TOTAL]}


def test_totals_are_told_with_their_intervals_and_what_they_rest_on(scored: Callable[..., Config]) -> None:
    scores = read_scores(scored(), CUTOFF)
    scores = replace(scores, manifest=scores.manifest.model_copy(update={"lifetime": LIFETIME}))
    for code, name in (("en", "Value over 24 months"), ("zh", "24 个月的价值")):
        wording = report_wording(scores, True, 100.0, get_language(code))
        section: Any = lifetime_section(wording, cast(ReportInputs, SimpleNamespace(scores=scores)))
        (row,) = section["rows"]
        assert row["name"] == name
        assert section["profit"]
        assert "365" in section["reach"] and "10" in section["terms"]


def test_scores_without_lifetime_value_have_no_section(scored: Callable[..., Config]) -> None:
    scores = read_scores(scored(), CUTOFF)
    wording = report_wording(scores, True, 100.0, get_language("en"))
    assert lifetime_section(wording, cast(ReportInputs, SimpleNamespace(scores=scores))) == {}
