"""Weighted metrics against scikit-learn and SciPy on resamples that are drawn out in full, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, mean_tweedie_deviance, roc_auc_score

from training.metrics import churn_metrics, gini, spearman, value_metrics


def _drawn(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three resamples as rows of places, and as weights."""
    draws = np.random.default_rng(seed).integers(0, rows, (3, rows))
    return draws, np.stack([np.bincount(draw, minlength=rows) for draw in draws]).astype(float)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), digits=st.integers(1, 6))
def test_churn_metrics_are_those_of_scikit_learn(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    said = np.clip(rng.random(60).round(digits), 0.01, 0.99)
    churned = (rng.random(60) < said).astype(float)
    draws, weights = _drawn(seed)
    found = churn_metrics(churned, said, weights)
    for place, draw in enumerate(draws):
        y, p = churned[draw], said[draw]
        if len(np.unique(y)) < 2:
            continue
        assert found["auc"][place] == pytest.approx(roc_auc_score(y, p))
        assert found["average_precision"][place] == pytest.approx(average_precision_score(y, p))
        assert found["brier"][place] == pytest.approx(brier_score_loss(y, p))
        assert found["log_loss"][place] == pytest.approx(log_loss(y, p))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), digits=st.integers(0, 4))
def test_value_metrics_are_those_of_a_resample_drawn_out(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.gamma(2, 20, 60).round(digits) + 1
    actual = (said * rng.gamma(1, 1, 60) * (rng.random(60) < 0.6)).round(digits)
    draws, weights = _drawn(seed)
    found = value_metrics(actual, said, weights)
    for place, draw in enumerate(draws):
        y, p = actual[draw], said[draw]
        if not y.sum() > 0 or len(np.unique(p)) < 2 or len(np.unique(y)) < 2:
            continue
        assert found["spearman"][place] == pytest.approx(spearmanr(y, p).statistic)
        assert found["deviance"][place] == pytest.approx(mean_tweedie_deviance(y, p, power=1.5))
        assert found["total_error"][place] == pytest.approx(p.sum() / y.sum() - 1)
        assert found["mae"][place] == pytest.approx(np.abs(y - p).mean())


def test_one_fate_leaves_what_can_still_be_measured() -> None:
    found = churn_metrics(np.zeros(3), np.full(3, 0.2), np.ones((1, 3)))
    assert np.isnan(found["auc"][0])
    assert found["brier"][0] == pytest.approx(0.04)


def test_value_metrics_by_hand() -> None:
    actual, said = np.array([0.0, 10.0, 30.0]), np.array([1.0, 12.0, 20.0])
    found = {name: figure[0] for name, figure in value_metrics(actual, said, np.ones((1, 3))).items()}
    assert found["spearman"] == pytest.approx(1.0)
    assert found["mae"] == pytest.approx(13 / 3)
    assert found["total_error"] == pytest.approx(33 / 40 - 1)
    assert found["decile_error"] == pytest.approx((1 + 2 + 10) / 3 / (40 / 3))


def test_decile_error_of_equal_groups() -> None:
    said = np.repeat(np.arange(1.0, 11.0), 5)
    found = value_metrics(said + np.where(said > 5, 1.0, 0.0), said, np.ones((1, 50)))
    assert found["decile_error"][0] == pytest.approx(0.5 / 6.0)


def test_nothing_spent_is_not_a_number() -> None:
    found = value_metrics(np.zeros(3), np.ones(3), np.ones((1, 3)))
    assert np.isnan(found["gini"][0])
    assert found["mae"][0] == 1.0


def test_gini_is_one_for_a_perfect_order_and_its_negative_for_the_reverse() -> None:
    actual, one = np.array([0.0, 1.0, 4.0, 20.0]), np.ones((1, 4))
    assert gini(actual, actual, one)[0] == pytest.approx(1.0)
    assert gini(actual, -actual, one)[0] == pytest.approx(-1.0)
    assert spearman(actual, -actual, one)[0] == pytest.approx(-1.0)
