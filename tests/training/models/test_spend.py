"""The spend of those who return: right on average, positive always."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.spend import SpendRegressor, positive_spend


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
