"""Intervals that hold the point, compare in pairs, and repeat themselves."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from training.baselines import Prediction
from training.evaluate import OURS, Evaluation, _draws, coverage, evaluate, together
from training.split import Sample

CUTOFF = date(2024, 1, 1)


def _truth(rows: int = 400, seed: int = 0) -> tuple[Sample, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk, worth = rng.random(rows), rng.gamma(2, 50, rows)
    churned = (rng.random(rows) < risk).astype(float)
    value = np.where(churned == 0, worth * rng.gamma(2, 0.5, rows), 0.0)
    ids = pa.chunked_array([pa.array([str(i) for i in range(rows)])])
    return Sample(ids, pa.table({"x": risk}), churned, value), risk, (1 - risk) * worth


def test_intervals_hold_the_point_and_ours_is_compared_with_each_rung() -> None:
    truth, risk, worth = _truth()
    noise = np.random.default_rng(9).random(len(truth))
    found = evaluate(
        {OURS: Prediction(risk, worth), "noise": Prediction(noise, noise)}, truth, CUTOFF, seed=1, resamples=100
    )
    auc = found.of("auc")
    assert auc["low"] < auc["value"] < auc["high"]
    gap = found.differences.set_index("metric").loc["auc"]
    assert gap["low"] > 0
    assert gap["difference"] == pytest.approx(auc["value"] - found.of("auc", "noise")["value"])


def test_the_same_seed_gives_the_same_intervals() -> None:
    truth, risk, worth = _truth()
    a, b = (evaluate({OURS: Prediction(risk, worth)}, truth, CUTOFF, seed=1, resamples=50) for _ in range(2))
    assert a.metrics.equals(b.metrics)


def test_segments_are_measured_alone_and_tiny_ones_left_out() -> None:
    truth, risk, worth = _truth()
    masks = {"half": np.arange(len(truth)) % 2 == 0, "few": np.arange(len(truth)) < 5}
    found = evaluate({OURS: Prediction(risk, worth)}, truth, CUTOFF, seed=1, resamples=50, segments=masks)
    assert set(found.metrics.segment) == {"all", "half"}
    assert found.of("auc", segment="half")["customers"] == 200
    with pytest.raises(KeyError, match="few"):
        found.of("auc", segment="few")


def test_without_money_only_churn_is_measured() -> None:
    truth, risk, _ = _truth()
    found = evaluate({OURS: Prediction(risk, None)}, truth, CUTOFF, seed=1, resamples=50)
    assert set(found.metrics.metric) == {"auc", "average_precision", "brier", "log_loss"}


def test_very_many_customers_are_resampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluate.MOST_DRAWS", 400 * 60)
    monkeypatch.setattr("training.evaluate.BLOCK", 400 * 7)
    assert sum(len(block) for block in _draws(400, 0, 300)) == 60
    assert sum(len(block) for block in _draws(400, 0, 20)) == 20


def test_coverage_counts_who_came_inside() -> None:
    truth, _, _ = _truth()
    found = coverage(truth, np.zeros(len(truth)), np.full(len(truth), 1e9), CUTOFF, seed=1, resamples=50)
    assert found.of("coverage")["value"] == 1.0


def test_evaluations_of_several_cutoffs_stand_together() -> None:
    truth, risk, worth = _truth()
    parts = [
        evaluate({OURS: Prediction(risk, worth)}, truth, date(2024, month, 1), seed=1, resamples=50) for month in (1, 2)
    ]
    both = together(parts)
    assert isinstance(both, Evaluation)
    assert both.of("auc")["cutoff"] == date(2024, 2, 1)
