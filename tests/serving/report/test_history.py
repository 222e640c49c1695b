"""The report's history: sums of each scored cutoff up to its own; one that cannot be read is left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from features.config.load import Config
from serving.report.history import read_history
from serving.scoring.score_tables import MANIFEST
from tests.report_samples import CUTOFF


def test_each_cutoff_is_summed_up(scored: Callable[..., Config], caplog: pytest.LogCaptureFixture) -> None:
    config = scored(80)
    (totals,) = read_history(config, CUTOFF)
    assert (totals.day, totals.customers, totals.at_risk) == (CUTOFF, 80, 40)
    assert totals.leaving == pytest.approx(40.0) and totals.segments == {"save first": 40, "maintain": 40}
    assert totals.value > 0 and totals.value_at_risk > 0
    assert read_history(config, CUTOFF - timedelta(1)) == []
    (config.outputs.scores(CUTOFF) / MANIFEST).write_text("{}", encoding="utf-8")
    assert read_history(config, CUTOFF) == [] and "left out of the report's history" in caplog.text


def test_without_money_the_sums_of_value_are_zero(scored: Callable[..., Config]) -> None:
    (totals,) = read_history(scored(80, money=False), CUTOFF)
    assert (totals.value, totals.value_at_risk) == (0.0, 0.0)
