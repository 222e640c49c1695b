"""The spend of those who return: right on average, positive always."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.spend import SpendRegressor, leavers_factor, positive_spend, temper_tail


def test_totals_are_right_and_predictions_positive() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 3))
    spend = np.exp(3 + X[:, 0]) * rng.gamma(2.0, 0.5, size=4000)
    predicted = SpendRegressor(n_estimators=300).fit(X[:2000], spend[:2000]).predict(X[2000:])
    assert (predicted > 0).all()
    assert predicted.sum() == pytest.approx(spend[2000:].sum(), rel=0.1)


def test_who_got_back_more_than_they_paid_counts_as_almost_nothing() -> None:
    assert positive_spend(np.array([-50.0, 0.0, 30.0, 30.0])).tolist() == [0.015, 0.015, 30.0, 30.0]


def test_no_positive_spend_is_refused() -> None:
    with pytest.raises(ValueError, match="no returning customer"):
        SpendRegressor().fit(np.ones((30, 1)), np.zeros(30))


def test_a_tempered_tail_keeps_the_total_and_leaves_no_amount_far_from_its_expectation() -> None:
    rng = np.random.default_rng(4)
    expected = rng.gamma(2, 20, 2_000)
    spend = expected * np.exp(rng.normal(-1, 1.4, 2_000))
    tempered = temper_tail(spend, expected)
    assert tempered.sum() == pytest.approx(spend.sum())
    ratio = tempered / expected
    assert ratio.max() / np.quantile(ratio, 0.98) < 2 < (spend / expected).max() / np.quantile(spend / expected, 0.98)
    small = np.array([5.0, 8.0, 12.0])
    np.testing.assert_allclose(temper_tail(small, np.full(3, 8.0)), small)


def test_one_amount_moves_everybody_by_its_part_of_the_total_only() -> None:
    expected = np.full(1_000, 10.0)
    one = np.r_[5_000.0, np.full(999, 10.0)]
    tempered = temper_tail(one, expected)
    assert np.ptp(tempered[1:]) == 0
    assert tempered[1] == pytest.approx(10 * one.sum() / (30 + 9_990))


def test_what_leavers_still_pay_is_carried_by_those_who_return() -> None:
    rng = np.random.default_rng(5)
    returned, weight = rng.random(2_000) < 0.8, rng.uniform(0.5, 1, 2_000)
    spend = np.where(returned, 90.0, rng.uniform(0, 90, 2_000))
    carried = leavers_factor(spend, returned, weight) * (weight @ (returned * spend))
    assert carried == pytest.approx(weight @ spend)
    assert leavers_factor(np.where(returned, spend, 0.0), returned, weight) == 1.0
