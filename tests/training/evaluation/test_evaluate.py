"""Intervals that hold the point, compare in pairs, and repeat themselves."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from features.task import Window
from training.data.prediction import Prediction, PredictionInterval
from training.data.time_split import Sample
from training.evaluation.evaluate import (
    OURS,
    Evaluation,
    bootstrap_weights,
    calibration_groups,
    concat_evaluations,
    evaluate_coverage,
    evaluate_predictions,
    evaluation_segments,
    weighted_metrics,
)

CUTOFF = date(2024, 1, 1)


def _truth(rows: int = 400, seed: int = 0) -> tuple[Sample, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk, worth = rng.random(rows), rng.gamma(2, 50, rows)
    churned = (rng.random(rows) < risk).astype(float)
    value = np.where(churned == 0, worth * rng.gamma(2, 0.5, rows), 0.0)
    ids = pa.chunked_array([pa.array([str(i) for i in range(rows)])])
    return Sample(ids, np.zeros(len(ids), int), pa.table({"x": risk}), churned, value), risk, (1 - risk) * worth


def test_intervals_hold_the_point_and_ours_is_compared_with_each_baseline() -> None:
    truth, risk, worth = _truth()
    noise = np.random.default_rng(9).random(len(truth))
    measured = evaluate_predictions(
        {OURS: Prediction(risk, worth), "noise": Prediction(noise, noise)}, truth, CUTOFF, seed=1, resamples=100
    )
    auc = measured.row("auc")
    assert auc["low"] < auc["value"] < auc["high"]
    gap = measured.differences.set_index("metric").loc["auc"]
    assert gap["low"] > 0
    assert gap["difference"] == pytest.approx(auc["value"] - measured.row("auc", "noise")["value"])


def test_the_same_seed_gives_the_same_intervals() -> None:
    truth, risk, worth = _truth()
    a, b = (
        evaluate_predictions({OURS: Prediction(risk, worth)}, truth, CUTOFF, seed=1, resamples=50) for _ in range(2)
    )
    assert a.metrics.equals(b.metrics)


def test_segments_are_measured_alone_and_tiny_ones_left_out() -> None:
    truth, risk, worth = _truth()
    masks = {"half": np.arange(len(truth)) % 2 == 0, "few": np.arange(len(truth)) < 5}
    measured = evaluate_predictions(
        {OURS: Prediction(risk, worth)}, truth, CUTOFF, seed=1, resamples=50, segments=masks
    )
    assert set(measured.metrics.segment) == {"all", "half"}
    assert measured.row("auc", segment="half")["customers"] == 200
    with pytest.raises(KeyError, match="few"):
        measured.row("auc", segment="few")


def test_without_money_only_churn_is_measured() -> None:
    truth, risk, _ = _truth()
    measured = evaluate_predictions({OURS: Prediction(risk, None)}, truth, CUTOFF, seed=1, resamples=50)
    assert {"auc", "brier", "calibration_slope", "reliability"} <= set(measured.metrics.metric)
    assert not {"spearman", "gini", "total_error", "coverage"} & set(measured.metrics.metric)
    assert set(measured.groups.number) == {"churn"}


def test_very_many_customers_are_resampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.evaluate.MAX_WEIGHTS", 400 * 60)
    monkeypatch.setattr("training.evaluation.evaluate.WEIGHTS_PER_BLOCK", 400 * 7)
    assert sum(len(block) for block in bootstrap_weights(400, 0, 300)) == 60
    assert sum(len(block) for block in bootstrap_weights(400, 0, 20)) == 20


def test_coverage_counts_who_came_inside() -> None:
    truth, _, _ = _truth()
    measured = evaluate_coverage(truth, np.zeros(len(truth)), np.full(len(truth), 1e9), CUTOFF, seed=1, resamples=50)
    assert measured.row("coverage")["value"] == 1.0


def test_evaluations_of_several_cutoffs_stand_together() -> None:
    truth, risk, worth = _truth()
    parts = [
        evaluate_predictions({OURS: Prediction(risk, worth)}, truth, date(2024, month, 1), seed=1, resamples=50)
        for month in (1, 2)
    ]
    both = concat_evaluations(parts)
    assert isinstance(both, Evaluation)
    assert both.row("auc")["cutoff"] == date(2024, 2, 1)


def test_figures_of_recalibration_are_compared_by_their_distance_from_the_best() -> None:
    truth, risk, worth = _truth()
    log_odds = np.log(risk / (1 - risk))
    flat = 1 / (1 + np.exp(-log_odds / 3))  # slope 3: too near each other
    measured = evaluate_predictions(
        {OURS: Prediction(risk, worth), "flat": Prediction(flat, worth)}, truth, CUTOFF, seed=1, resamples=50
    )
    gap = measured.differences.set_index("metric").loc["calibration_slope"]
    ours, theirs = measured.row("calibration_slope")["value"], measured.row("calibration_slope", "flat")["value"]
    assert theirs > 2 > ours
    assert gap["difference"] == pytest.approx(abs(ours - 1) - abs(theirs - 1))
    assert gap["high"] < 0
    assert not {"uncertainty", "within_groups", "coverage"} & set(measured.differences.metric)


def test_intervals_of_gaps_hold_the_figure_that_noise_makes() -> None:
    truth, risk, worth = _truth()
    measured = evaluate_predictions({OURS: Prediction(risk, worth)}, truth, CUTOFF, seed=1, resamples=200)
    for metric in ("reliability", "calibration_error", "decile_error"):
        row = measured.row(metric)
        assert 0 <= row["low"] < row["value"] < row["high"]
    drawn = np.concatenate(
        [weighted_metrics(Prediction(risk, worth), truth, w)["reliability"] for w in bootstrap_weights(400, 1, 200)]
    )
    assert (
        np.mean(drawn < measured.row("reliability")["value"]) < 0.2
    )  # resampled noise comes on top of that of customers
    moved = drawn - drawn.mean() + measured.row("reliability")["value"]
    assert measured.row("reliability")["high"] == pytest.approx(np.percentile(moved, 97.5))


def test_groups_are_said_against_came_by_segment_with_intervals() -> None:
    truth, risk, worth = _truth()
    half = np.arange(len(truth)) % 2 == 0
    few = np.arange(len(truth)) < 35
    given = {OURS: Prediction(risk, worth)}
    measured = evaluate_predictions(
        given, truth, CUTOFF, seed=1, resamples=50, segments={"half": half, "few": few}
    ).groups
    sizes = measured[measured.number == "churn"].groupby("segment").customers.agg(["size", "sum"])
    assert sizes.to_dict("index") == {
        "all": {"size": 10, "sum": 400},
        "half": {"size": 10, "sum": 200},
        "few": {"size": 3, "sum": 35},
    }
    top = measured[(measured.number == "value") & (measured.segment == "half")].iloc[-1]
    best = np.flatnonzero(half)[np.argsort(worth[half], kind="stable")[-20:]]
    assert top.predicted == pytest.approx(worth[best].mean())
    assert top.actual == pytest.approx(truth.spend[best].mean())
    assert top.low < top.actual < top.high


def test_what_intervals_held_is_told_by_predicted_value() -> None:
    truth, risk, worth = _truth()
    dear = worth > np.median(worth)
    bounds = PredictionInterval(np.zeros(len(truth)), np.where(dear, 1e9, -1.0), 0.8)
    ours = Prediction(risk, worth, bounds)
    measured = calibration_groups(ours, truth, CUTOFF, seed=1, resamples=50)
    covered = measured[measured.number == "covered"]
    assert covered.actual.tolist() == [0.0] * 5 + [1.0] * 5
    assert set(covered.predicted) == {0.8}
    assert weighted_metrics(ours, truth, np.ones((1, 400)))["coverage"].tolist() == [0.5]
    assert ours.take(dear).interval is not None
    assert weighted_metrics(ours.take(dear), truth.take(dear), np.ones((1, 200)))["coverage"].tolist() == [1.0]


def _customers(**text: list[str | None]) -> Sample:
    rows = len(next(iter(text.values())))
    tenure = np.where(np.arange(rows) < 40, 5.0, 500.0)
    columns = {name: pa.array(values, pa.string()) for name, values in text.items()}
    ids = pa.chunked_array([pa.array([str(i) for i in range(rows)])])
    return Sample(
        ids, np.zeros(rows, int), pa.table({"tenure_days": tenure, **columns}), np.zeros(rows), np.zeros(rows)
    )


def test_segments_are_lifecycle_and_the_levels_of_text_with_few() -> None:
    rows = _customers(
        plan=["gold"] * 100 + ["basic"] * 60 + [None] * 40,
        name=[f"person {n}" for n in range(200)],
        lifecycle=["new"] * 40 + ["active"] * 100 + ["dormant"] * 60,
        country=["here"] * 200,
    )
    measured = evaluation_segments(rows, Window(30))
    assert {name: int(mask.sum()) for name, mask in measured.items()} == {
        "new within a horizon": 40,  # lifecycle: new says the same
        "established": 160,
        "lifecycle: active": 100,
        "lifecycle: dormant": 60,
        "plan: gold": 100,
        "plan: basic": 60,
        "plan: unknown": 40,
    }


def test_segments_are_at_most_twelve_and_not_tiny() -> None:
    many = _customers(**{f"text_{n}": [str(i % (n + 2)) for i in range(500)] for n in range(4)})
    assert len(evaluation_segments(many, Window(30))) == 12
    few = _customers(plan=["a"] * 171 + ["b"] * 29)
    assert "plan: b" not in evaluation_segments(few, Window(30))
