"""The wording of a report: terms, signs and severities in its language."""

from __future__ import annotations

from collections.abc import Callable

from features.config.load import Config
from serving.language.messages import get_language
from serving.report.text import report_wording
from serving.scoring.score_tables import read_scores
from tests.report_samples import CUTOFF


def test_the_task_of_the_scores_gives_days_and_terms(scored: Callable[..., Config]) -> None:
    wording = report_wording(read_scores(scored(), CUTOFF), True, 100.0, get_language("en"))
    assert (wording.days, str(wording.last), wording.contractual) == (90, "2024-05-29", False)
    assert "365 days" in wording.words.member


def test_signs_and_severities(scored: Callable[..., Config]) -> None:
    wording = report_wording(read_scores(scored(), CUTOFF), True, 1.0, get_language("en"))
    assert wording.points(-0.123) == "−12.3 points" and wording.points(0.05) == "+5.0 points"
    assert wording.severity("critical") == "▲▲ critical" and wording.severity("new") == "● new"
