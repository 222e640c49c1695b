"""Curves and areas: by hand, as in another library, and with intervals that hold."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from training.uplift.metrics import (
    ConfidenceInterval,
    arm_outcomes,
    cluster_bootstrap,
    clustered_standard_error,
    doubly_robust_area,
    effect_calibration,
    qini_area,
    qini_curve,
)

N = 2_000


@pytest.fixture
def simulated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visits, arms of different sizes, and an informative score with ties."""
    rng = np.random.default_rng(4)
    score, treated = rng.normal(size=N).round(1), rng.random(N) < 0.3
    visit = rng.random(N) < 0.3 + 0.1 * treated * (score > 0)
    return visit.astype(float), treated, score


def test_the_qini_curve_is_that_of_scikit_uplift(simulated: tuple[np.ndarray, ...]) -> None:
    from sklift import metrics as peer

    visit, treated, score = simulated
    outcomes, given = arm_outcomes(visit, treated), (visit.astype(int), score, treated.astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about what the peer calls
        np.testing.assert_allclose(qini_curve(outcomes, score), peer.qini_curve(*given), atol=1e-9)
        perfect = peer.perfect_qini_curve(visit.astype(int), treated.astype(int))
        best = np.trapezoid(perfect[1], perfect[0]) - N * perfect[1][-1] / 2
        assert qini_area(outcomes, score) * N * N / best == pytest.approx(peer.qini_auc_score(*given))


def test_areas_of_money_by_hand() -> None:
    spend, treated, score = (
        np.array([30.0, 10.0, 6.0, 2.0]),
        np.array([True, False, True, False]),
        np.array([4.0, 3, 2, 1]),
    )
    outcomes = arm_outcomes(spend, treated)
    # targeted 1, 2, 3, 4: treated 30, 30, 36, 36; controls, as many as treated: 0 (nobody), 10, 20, 12
    np.testing.assert_allclose(qini_curve(outcomes, score)[1], [0, 30, 20, 16, 24])
    assert qini_area(outcomes, score) == pytest.approx(((30 / 2 + 50 / 2 + 36 / 2 + 40 / 2) / 4 - 12) / 4)
    # gains 2, 3, 3, 2 over 4 customers after 1, 2, 3, 4
    area = (2 / 2 + 5 / 2 + 6 / 2 + 5 / 2) / 4 / 4 - 0.5 / 2
    assert doubly_robust_area(np.array([2.0, 1.0, 0.0, -1.0]), score) == pytest.approx(area)


def test_one_score_for_all_is_random_targeting(simulated: tuple[np.ndarray, ...]) -> None:
    visit, treated, _ = simulated
    outcomes = arm_outcomes(visit, treated)
    assert qini_area(outcomes, np.ones(N)) == pytest.approx(0)
    assert doubly_robust_area(visit, np.ones(N)) == pytest.approx(0)


def test_inverse_propensity_weights_remove_selection() -> None:
    rng = np.random.default_rng(2)
    x = rng.random(40_000)
    sends = 0.1 + 0.8 * x
    treated = rng.random(len(x)) < sends
    visit = (rng.random(len(x)) < 0.1 + 0.5 * x + 0.1 * treated).astype(float)
    plain = arm_outcomes(visit, treated)
    weighted = arm_outcomes(visit, treated, np.where(treated, sends, 1 - sends))
    assert plain.difference() > 0.2
    assert weighted.difference() == pytest.approx(0.1, abs=0.02)


def test_the_areas_agree_where_arms_are_even() -> None:
    rng = np.random.default_rng(5)
    n = 60_000
    treated, score = rng.random(n) < 0.5, rng.normal(size=n)
    visit = (rng.random(n) < 0.3 + treated * 0.1 * (score > 0)).astype(float)
    psi = np.where(treated, visit / 0.5, -visit / 0.5)
    outcomes = arm_outcomes(visit, treated)
    truth = 0.1 * 0.5 / 4  # gains 0.1 a share up to a half: 3/8 of 0.05... less half of 0.05
    assert doubly_robust_area(psi, score) == pytest.approx(truth, abs=0.002)
    assert qini_area(outcomes, score) == pytest.approx(truth / 2, abs=0.001)


def test_intervals_resample_customers_with_all_their_rows() -> None:
    rng = np.random.default_rng(3)
    units = np.repeat(np.arange(200), 5)
    values = np.repeat(rng.normal(size=200), 5)
    interval = cluster_bootstrap(lambda at: float(values[at].mean()), units, 300, seed=1)
    error = float(values.std() / np.sqrt(200))
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert clustered_standard_error(values, units) == pytest.approx(error, rel=0.01)
    assert interval == cluster_bootstrap(lambda at: float(values[at].mean()), units, 300, seed=1)
    assert str(ConfidenceInterval(1.0, 0.5, 1.5)) == "1 (0.5 to 1.5)"


def test_calibration_compares_predicted_effects_with_scores() -> None:
    rng = np.random.default_rng(6)
    predicted = rng.normal(size=5_000)
    table = effect_calibration(2 * predicted + rng.normal(size=5_000), predicted, np.arange(5_000))
    assert len(table) == 10 and table.customers.sum() == 5_000
    np.testing.assert_allclose(table.found, 2 * table.said, atol=0.2)
    assert ((table.low < 2 * table.said) & (2 * table.said < table.high)).mean() >= 0.8
    assert len(effect_calibration(predicted, np.ones(5_000), np.arange(5_000))) == 1
