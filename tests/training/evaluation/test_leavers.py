"""Expected and observed leavers: what the interval holds, by repetition, and the lines of a terminal."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from features.task import Window
from training.data.prediction import Prediction
from training.data.time_split import Fold, Sample
from training.evaluation.evaluate import OURS, concat_evaluations, evaluate_predictions
from training.evaluation.leavers import evaluate_leavers, leaver_lines, leavers_by_tenth, leavers_interval
from training.models.base_models import OutOfTimeFold

CUTOFF, HORIZON = date(2024, 1, 1), Window(90)


def _truth(churn: np.ndarray, seed: int) -> Sample:
    churned = (np.random.default_rng(seed).random(len(churn)) < churn).astype(float)
    ids = pa.chunked_array([pa.array([str(i) for i in range(len(churn))])])
    return Sample(ids, np.zeros(len(churn), int), pa.table({"x": churn}), churned, 10 * (1 - churned))


@pytest.mark.parametrize("error", [0.0, 0.2])
def test_the_interval_holds_what_it_says(error: float) -> None:
    rng = np.random.default_rng(4)
    churn = rng.beta(2, 3, 500)
    low, high = leavers_interval(churn, error, 0.8)
    shifted = expit(logit(churn) + error * rng.normal(size=(2000, 1)))
    leavers = (rng.random(shifted.shape) < shifted).sum(axis=1)
    assert np.mean((leavers >= low) & (leavers <= high)) == pytest.approx(0.8, abs=0.04)


def test_earlier_cutoffs_that_were_off_widen_the_interval() -> None:
    churn = np.linspace(0.1, 0.9, 1000)
    truth = _truth(churn, 1)
    folds = [Fold((), date(2023, month, 1)) for month in (3, 6)]

    def width(level: float) -> float:
        shifted = (expit(logit(churn) + level), expit(logit(churn) - level))
        earlier = [
            (OutOfTimeFold(fold, truth, churn[:, None], churn[:, None]), Prediction(predicted, None))
            for fold, predicted in zip(folds, shifted, strict=True)
        ]
        row = evaluate_leavers(churn, truth, CUTOFF, earlier, HORIZON, 0.8).metrics.iloc[0]
        return float(row.high - row.low)

    assert width(0.8) > 1.5 * width(0.0)


def test_lines_have_expected_and_observed_leavers_beside_the_total() -> None:
    churn = np.linspace(0.05, 0.95, 200)
    truth = _truth(churn, 2)
    value = Prediction(churn, 10 * (1 - churn))
    common = {"seed": 1, "resamples": 50}
    evaluation = concat_evaluations(
        [
            evaluate_predictions({OURS: value}, truth, CUTOFF, **common),
            evaluate_leavers(churn, truth, CUTOFF, [], HORIZON, 0.8),
        ]
    )
    first, *rest = leaver_lines(evaluation, CUTOFF, 0.8)
    observed = int(truth.churned.sum())
    assert first.startswith("leavers: 100 expected (80% prediction interval ")
    assert f"), {observed} observed; error of the total value " in first
    assert [line.split()[0] for line in rest] == ["in", "tenth", "expected", "observed"]
    assert sum(map(int, rest[-1].split()[1:])) == observed
    assert leavers_by_tenth(evaluation, CUTOFF).predicted.sum() == pytest.approx(100)
    assert leaver_lines(evaluation, date(2023, 1, 1), 0.8) == []
