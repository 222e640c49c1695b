"""Weighted metrics against scikit-learn and SciPy on resamples that are drawn out in full, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, mean_tweedie_deviance, roc_auc_score

from training.evaluation.metrics import (
    brier_parts,
    churn_metrics,
    distance_from_best,
    gini,
    recalibration_metrics,
    spearman,
    value_metrics,
)


def _drawn(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Three resamples as rows of places, and as weights."""
    draws = np.random.default_rng(seed).integers(0, rows, (3, rows))
    return draws, np.stack([np.bincount(draw, minlength=rows) for draw in draws]).astype(float)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), digits=st.integers(1, 6))
def test_churn_metrics_are_those_of_scikit_learn(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = np.clip(rng.random(60).round(digits), 0.01, 0.99)
    churned = (rng.random(60) < predicted).astype(float)
    draws, weights = _drawn(seed)
    figures = churn_metrics(churned, predicted, weights)
    for place, draw in enumerate(draws):
        y, p = churned[draw], predicted[draw]
        if len(np.unique(y)) < 2:
            continue
        assert figures["auc"][place] == pytest.approx(roc_auc_score(y, p))
        assert figures["average_precision"][place] == pytest.approx(average_precision_score(y, p))
        assert figures["brier"][place] == pytest.approx(brier_score_loss(y, p))
        assert figures["log_loss"][place] == pytest.approx(log_loss(y, p))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), digits=st.integers(0, 4))
def test_value_metrics_are_those_of_a_resample_drawn_out(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.gamma(2, 20, 60).round(digits) + 1
    actual = (predicted * rng.gamma(1, 1, 60) * (rng.random(60) < 0.6)).round(digits)
    draws, weights = _drawn(seed)
    figures = value_metrics(actual, predicted, weights)
    for place, draw in enumerate(draws):
        y, p = actual[draw], predicted[draw]
        if not y.sum() > 0 or len(np.unique(p)) < 2 or len(np.unique(y)) < 2:
            continue
        assert figures["spearman"][place] == pytest.approx(spearmanr(y, p).statistic)
        assert figures["deviance"][place] == pytest.approx(mean_tweedie_deviance(y, p, power=1.5))
        assert figures["total_error"][place] == pytest.approx(p.sum() / y.sum() - 1)
        assert figures["mae"][place] == pytest.approx(np.abs(y - p).mean())


def test_one_fate_leaves_what_can_still_be_measured() -> None:
    figures = churn_metrics(np.zeros(3), np.full(3, 0.2), np.ones((1, 3)))
    assert np.isnan(figures["auc"][0])
    assert figures["brier"][0] == pytest.approx(0.04)


def test_value_metrics_by_hand() -> None:
    actual, predicted = np.array([0.0, 10.0, 30.0]), np.array([1.0, 12.0, 20.0])
    figures = {name: figure[0] for name, figure in value_metrics(actual, predicted, np.ones((1, 3))).items()}
    assert figures["spearman"] == pytest.approx(1.0)
    assert figures["mae"] == pytest.approx(13 / 3)
    assert figures["total_error"] == pytest.approx(33 / 40 - 1)
    assert figures["decile_error"] == pytest.approx((1 + 2 + 10) / 3 / (40 / 3))


def test_decile_error_of_equal_groups() -> None:
    predicted = np.repeat(np.arange(1.0, 11.0), 5)
    figures = value_metrics(predicted + np.where(predicted > 5, 1.0, 0.0), predicted, np.ones((1, 50)))
    assert figures["decile_error"][0] == pytest.approx(0.5 / 6.0)


def test_nothing_spent_is_not_a_number() -> None:
    figures = value_metrics(np.zeros(3), np.ones(3), np.ones((1, 3)))
    assert np.isnan(figures["gini"][0])
    assert figures["mae"][0] == 1.0


def test_gini_is_one_for_a_perfect_order_and_its_negative_for_the_reverse() -> None:
    actual, one = np.array([0.0, 1.0, 4.0, 20.0]), np.ones((1, 4))
    assert gini(actual, actual, one)[0] == pytest.approx(1.0)
    assert gini(actual, -actual, one)[0] == pytest.approx(-1.0)
    assert spearman(actual, -actual, one)[0] == pytest.approx(-1.0)


def _slow_recalibration(y: np.ndarray, p: np.ndarray, shift_only: bool) -> tuple[float, float]:
    """Intercept and slope that maximise the likelihood, by a search that knows no gradient."""
    margin = np.log(p / (1 - p))

    def loss(at: np.ndarray) -> float:
        z = at[0] + (margin if shift_only else at[1] * margin)
        return float(np.mean(np.logaddexp(0, z) - y * z))

    best = minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 4000})
    return float(best.x[0]), float(best.x[1])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), slope=st.floats(0.3, 2.0), shift=st.floats(-1.5, 1.5))
def test_recalibration_is_the_likeliest_line_of_a_resample_drawn_out(seed: int, slope: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    margin = rng.normal(0.5, 1.2, 120)
    predicted = 1 / (1 + np.exp(-margin))
    churned = (rng.random(120) < 1 / (1 + np.exp(-(slope * margin + shift)))).astype(float)
    draws, weights = _drawn(seed, 120)
    figures = recalibration_metrics(churned, predicted, weights)
    for place, draw in enumerate(draws):
        if len(np.unique(churned[draw])) < 2:
            continue
        intercept, line = _slow_recalibration(churned[draw], predicted[draw], shift_only=False)
        assert figures["calibration_slope"][place] == pytest.approx(line, abs=1e-4)
        assert figures["calibration_intercept"][place] == pytest.approx(intercept, abs=1e-4)
        large, _ = _slow_recalibration(churned[draw], predicted[draw], shift_only=True)
        assert figures["calibration_in_the_large"][place] == pytest.approx(large, abs=1e-4)


def test_recalibration_finds_what_was_done_to_the_probabilities() -> None:
    rng = np.random.default_rng(1)
    margin = rng.normal(0, 1.5, 200_000)
    churned = (rng.random(200_000) < 1 / (1 + np.exp(-margin))).astype(float)
    too_far = 1 / (1 + np.exp(-(2 * margin + 1)))  # margin = (log-odds said - 1) / 2
    figures = recalibration_metrics(churned, too_far, np.ones((1, 200_000)))
    assert figures["calibration_slope"][0] == pytest.approx(0.5, abs=0.01)
    assert figures["calibration_intercept"][0] == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize(
    ("churned", "predicted"),
    [
        ([1.0, 1.0, 1.0], [0.2, 0.5, 0.9]),
        ([0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.8, 0.9]),
        ([0.0, 1.0, 0.0], [0.3, 0.3, 0.3]),
    ],
    ids=["one fate", "parted without an error", "all told the same"],
)
def test_recalibration_says_where_no_line_is_likeliest(churned: list[float], predicted: list[float]) -> None:
    figures = recalibration_metrics(np.array(churned), np.array(predicted), np.ones((2, len(predicted))))
    assert np.isnan(figures["calibration_slope"]).all()
    assert np.isnan(figures["calibration_intercept"]).all()


def test_extreme_probabilities_are_recalibrated_too() -> None:
    predicted = np.r_[np.full(50, 1e-9), np.full(50, 1 - 1e-9), np.full(20, 0.4)]
    churned = np.r_[np.zeros(45), np.ones(5), np.ones(48), np.zeros(2), np.tile([0.0, 1.0], 10)]
    figures = recalibration_metrics(churned, predicted, np.ones((1, 120)))
    assert 0 < figures["calibration_slope"][0] < 0.3
    assert abs(figures["calibration_in_the_large"][0]) < 20


def _slow_brier_parts(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """Murphy's parts by counting: each distinct probability goes where the middle of its customers stands."""
    groups: dict[int, list[tuple[float, float]]] = {}
    below = 0
    for value in sorted(set(p.tolist())):
        same = [(a, value) for a, b in zip(y.tolist(), p.tolist(), strict=True) if b == value]
        groups.setdefault(int((below + len(same) / 2) / len(p) * 10), []).extend(same)
        below += len(same)
    n, overall = len(p), sum(y) / len(p)
    parts = {"reliability": 0.0, "resolution": 0.0, "uncertainty": overall * (1 - overall), "calibration_error": 0.0}
    inside = 0.0
    for rows in groups.values():
        churned_share, predicted = (sum(row[i] for row in rows) / len(rows) for i in (0, 1))
        parts["reliability"] += len(rows) / n * (predicted - churned_share) ** 2
        parts["resolution"] += len(rows) / n * (churned_share - overall) ** 2
        parts["calibration_error"] += len(rows) / n * abs(predicted - churned_share)
        inside += sum((b - predicted) ** 2 - 2 * (a - churned_share) * (b - predicted) for a, b in rows) / n
    return parts | {"within_groups": inside}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), digits=st.integers(1, 6))
def test_brier_parts_are_those_counted_out_and_add_up(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = np.clip(rng.random(60).round(digits), 0.01, 0.99)
    churned = (rng.random(60) < predicted).astype(float)
    draws, weights = _drawn(seed)
    figures = brier_parts(churned, predicted, weights)
    for place, draw in enumerate(draws):
        slow = _slow_brier_parts(churned[draw], predicted[draw])
        assert {name: figure[place] for name, figure in figures.items()} == pytest.approx(slow, abs=1e-12)
        brier = slow["reliability"] - slow["resolution"] + slow["uncertainty"] + slow["within_groups"]
        assert brier == pytest.approx(brier_score_loss(churned[draw], predicted[draw], labels=[0, 1]))


def test_all_told_the_overall_share_is_reliable_and_resolves_nothing() -> None:
    churned = np.array([0.0, 1.0, 1.0, 1.0])
    figures = brier_parts(churned, np.full(4, 0.75), np.ones((1, 4)))
    assert figures["reliability"][0] == figures["resolution"][0] == figures["within_groups"][0] == 0
    assert figures["uncertainty"][0] == pytest.approx(0.1875)


def test_distances_are_from_what_is_best() -> None:
    assert distance_from_best("calibration_slope", np.array([0.7, 1.2])).tolist() == pytest.approx([0.3, 0.2])
    assert distance_from_best("total_error", np.array([-0.4])).tolist() == [0.4]
    assert distance_from_best("brier", np.array([0.2])).tolist() == [0.2]


def test_rounding_many_log_odds_changes_no_digit_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    log_odds = rng.normal(1.0, 1.3, 6000)
    churned = (rng.random(6000) < 1 / (1 + np.exp(-0.8 * log_odds))).astype(float)
    data = churned, 1 / (1 + np.exp(-log_odds)), rng.poisson(1.0, (5, 6000)).astype(float)
    rounded = recalibration_metrics(*data)
    monkeypatch.setattr("training.evaluation.metrics.MOST_LOG_ODDS", 6000)
    for name, exact in recalibration_metrics(*data).items():
        np.testing.assert_allclose(rounded[name], exact, atol=2e-4)
