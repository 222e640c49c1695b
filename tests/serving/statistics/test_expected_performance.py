"""Expected metrics of calibrated scores agree with realised ones, and intervals cover as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from serving.statistics import expected_performance
from serving.statistics.expected_performance import SHIFT, expected_auc, expected_metrics, realised_metrics
from serving.statistics.proportions import wilson_estimate
from training.artifact.spread import Spread

SPREAD = Spread(0.8, 0.8, (0.0, 0.5, 1.0), (1.0, 4.0), ((0.0, 1.0, 3.0), (0.5, 1.0, 2.0)), (1.5, 1.1), 0.1)


def risks(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.beta(1.5, 2.0, n)


def test_expected_metrics_are_the_mean_of_realised_ones() -> None:
    rng = np.random.default_rng(1)
    p = risks(rng, 2000)
    realised = [realised_metrics(p, (rng.random(2000) < p).astype(float), None) for _ in range(100)]
    expected = expected_metrics(p, None, None, seed=1)
    for metric in ("auc", "brier", "churn"):
        assert np.mean([c[metric].value for c in realised]) == pytest.approx(expected[metric].value, abs=0.003)


@pytest.mark.parametrize("metric", ["auc", "brier", "churn"])
def test_realised_metrics_lie_inside_as_often_as_promised(metric: str) -> None:
    rng, inside, cutoffs = np.random.default_rng(2), 0, 200
    p = risks(rng, 400)
    expected = expected_metrics(p, None, None, seed=1)[metric]
    for _ in range(cutoffs):
        shifted = expit(logit(p) + SHIFT * rng.standard_normal())
        inside += expected.holds(realised_metrics(p, (rng.random(400) < shifted).astype(float), None)[metric].value)
    assert 0.89 <= inside / cutoffs <= 0.99


@pytest.mark.parametrize("metric", ["auc", "brier", "churn"])
def test_intervals_of_realised_metrics_cover_the_truth(metric: str) -> None:
    rng, inside, cutoffs = np.random.default_rng(3), 0, 200
    for _ in range(cutoffs):
        p = risks(rng, 400)
        truth = {"auc": 0.7733, "brier": 0.1905, "churn": 1.5 / 3.5}[metric]  # of this distribution, see below
        realised = realised_metrics(p, (rng.random(400) < p).astype(float), None)[metric]
        inside += realised.holds(truth)
    assert 0.89 <= inside / cutoffs <= 0.99


def test_the_truth_above() -> None:
    p = risks(np.random.default_rng(4), 400_000)
    assert expected_auc(p) == pytest.approx(0.7733, abs=0.001)
    assert float(np.mean(p * (1 - p))) == pytest.approx(0.1905, abs=0.0005)


def test_the_auc_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(5)
    p, churned = np.round(rng.random(300), 1), rng.integers(0, 2, 300).astype(float)
    assert realised_metrics(p, churned, None)["auc"].value == pytest.approx(roc_auc_score(churned, p))


def test_expected_auc_by_hand() -> None:
    p = np.array([0.8, 0.5, 0.5])
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    weight = {(i, j): p[i] * (1 - p[j]) for i, j in pairs}
    order = {(i, j): 1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0 for i, j in pairs}
    assert expected_auc(p) == pytest.approx(sum(weight[k] * order[k] for k in pairs) / sum(weight.values()))


def test_probabilities_that_are_not_calibrated_are_found_out() -> None:
    rng = np.random.default_rng(6)
    p = risks(rng, 3000)
    churned = (rng.random(3000) < expit(logit(p) + 0.8)).astype(float)
    assert not expected_metrics(p, None, None, seed=1)["churn"].holds(realised_metrics(p, churned, None)["churn"].value)


def test_money_is_the_sum_with_the_spread_of_the_model() -> None:
    p, worth = np.full(100, 0.25), np.full(100, 20.0)
    expected = expected_metrics(p, worth, SPREAD, seed=1)["value"]
    assert expected.value == pytest.approx(1500) and expected.low < 1500 < expected.high
    low, high = SPREAD.total_interval(1 - p, worth)
    assert expected.low < low and high < expected.high  # 95% and not the 80% of the customers' intervals
    realised = realised_metrics(p, np.zeros(100), np.full(100, 15.0))["value"]
    assert (realised.low, realised.value, realised.high) == (1500, 1500, 1500)


def test_one_label_has_no_auc_and_shares_never_leave_their_range() -> None:
    assert "auc" not in realised_metrics(np.full(5, 0.2), np.zeros(5), None)
    assert wilson_estimate(0, 5).low == 0.0 and 0 < wilson_estimate(0, 5).high < 1 and wilson_estimate(5, 5).high == 1.0


def test_many_customers_are_sampled_and_the_same_seed_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_performance, "MAX_SAMPLE", 1000)
    p = risks(np.random.default_rng(7), 3000)
    assert expected_metrics(p, None, None, seed=1) == expected_metrics(p, None, None, seed=1)
    assert expected_metrics(p, None, None, seed=1)["brier"].value == pytest.approx(float(np.mean(p * (1 - p))))
