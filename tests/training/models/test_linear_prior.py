"""The prior is a ridge regression on shapes of single features, by the same numbers as scikit-learn's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.linear_model import GammaRegressor, LogisticRegression

from training.artifact.margin import Margin
from training.models.linear_prior import RIDGE, churn_loss, fit_churn_prior, fit_spend_prior, spend_loss


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Features of made-up customers, some of them unknown."""
    rng = np.random.default_rng(0)
    days = rng.gamma(2, 30, 3_000)
    return pa.table(
        {
            "recency_days": days,
            "return_probability": expit(1 - days / 40),
            "orders_count_ever": np.floor(rng.gamma(2, 3, 3_000)) + 1,
            "order_amount_mean_ever": pa.array(np.where(rng.random(3_000) < 0.1, np.nan, rng.gamma(2, 20, 3_000))),
            "tenure_days": np.full(3_000, 400.0),
            "unrelated": rng.normal(size=3_000),
        }
    )


def _design(margin: Margin, X: pa.Table) -> np.ndarray:
    """Standardised shapes: each term's part for a weight of one."""
    return np.column_stack([np.divide(t.contribution(X), t.weight) for t in margin.terms])


def test_churn_is_the_ridge_logistic_regression_of_its_shapes(table: pa.Table) -> None:
    rng = np.random.default_rng(1)
    churned = (rng.random(3_000) < expit(table["recency_days"].to_numpy() / 30 - 2)).astype(float)
    weight = rng.uniform(0.2, 1, 3_000)
    prior = fit_churn_prior(table, churned, weight)
    width = [t.transform(table[t.feature].to_numpy()) for t in prior.terms]
    unit = np.array([np.sqrt(np.nanmean((w - np.nanmean(w)) ** 2)) for w in width])
    Z = _design(prior, table) / unit
    peer = LogisticRegression(C=1 / RIDGE, tol=1e-8, max_iter=1000).fit(Z, churned, sample_weight=weight)
    np.testing.assert_allclose(prior.predict(table), peer.decision_function(Z), atol=0.02)


def test_spend_is_the_ridge_gamma_regression_of_its_shapes(table: pa.Table) -> None:
    rng = np.random.default_rng(2)
    size = np.nan_to_num(table["order_amount_mean_ever"].to_numpy(), nan=30.0)
    spend = size * rng.gamma(2, 1, 3_000) + 0.1
    prior = fit_spend_prior(table, spend, np.ones(3_000))
    width = [t.transform(table[t.feature].to_numpy()) for t in prior.terms]
    Z = _design(prior, table) / [np.nanstd(w) for w in width]
    peer = GammaRegressor(alpha=RIDGE / 3_000, tol=1e-9, max_iter=1000).fit(Z, spend)
    np.testing.assert_allclose(np.exp(prior.predict(table)), peer.predict(Z), rtol=5e-3)


def test_terms_are_of_known_features_that_vary(table: pa.Table) -> None:
    churned = np.arange(3_000) % 2.0
    names = {t.feature for t in fit_churn_prior(table, churned, np.ones(3_000)).terms}
    assert names == {"recency_days", "return_probability", "orders_count_ever"}


def test_without_any_term_it_says_the_mean() -> None:
    X = pa.table({"unrelated": [1.0, 2.0, 3.0, 4.0]})
    prior = fit_churn_prior(X, np.array([1.0, 0, 0, 0]), np.ones(4))
    np.testing.assert_allclose(expit(prior.predict(X)), 0.25, atol=1e-6)


def test_an_unknown_value_moves_nothing(table: pa.Table) -> None:
    prior = fit_spend_prior(table, np.random.default_rng(3).gamma(2, 20, 3_000), np.ones(3_000))
    (term,) = (t for t in prior.terms if t.feature == "order_amount_mean_ever")
    unknown = np.isnan(table["order_amount_mean_ever"].to_numpy())
    assert (term.contribution(table)[unknown] == 0).all()
    assert (term.contribution(table)[~unknown] != 0).any()


@pytest.mark.parametrize("loss", [churn_loss, spend_loss])
def test_slopes_are_those_of_the_losses(loss: object) -> None:
    label, margin = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.3, -1.0, 2.0, -0.5])
    above, below = (loss(label, margin + step)[0] for step in (1e-6, -1e-6))  # type: ignore[operator]
    np.testing.assert_allclose(loss(label, margin)[1], (above - below) / 2e-6, atol=1e-6)  # type: ignore[operator]


def test_one_mistyped_order_moves_nobody_else_and_is_bounded(table: pa.Table) -> None:
    rng = np.random.default_rng(3)
    size = np.nan_to_num(table["order_amount_mean_ever"].to_numpy(), nan=30.0)
    spend = size * rng.gamma(2, 1, 3_000) + 0.1
    heavy = size.copy()
    heavy[:2] = 1e12, 9.5e9
    mistyped = table.set_column(
        table.column_names.index("order_amount_mean_ever"), "order_amount_mean_ever", pa.array(heavy)
    )
    usual, robust = (fit_spend_prior(X, spend, np.ones(3_000)) for X in (table, mistyped))
    ratio = np.exp(robust.predict(mistyped) - usual.predict(table))
    assert np.abs(np.log(ratio[2:])).max() < 0.1
    assert np.exp(robust.predict(mistyped))[:2].max() < spend.max()


def test_no_value_counts_beyond_the_range_that_was_learned(table: pa.Table) -> None:
    """So a single extreme customer cannot carry a total; the bounds are part of the terms."""
    rng = np.random.default_rng(6)
    size = np.nan_to_num(table["order_amount_mean_ever"].to_numpy(), nan=30.0)
    prior = fit_spend_prior(table, size * rng.gamma(2, 1, 3_000) + 0.1, np.ones(3_000))
    for term in prior.terms:
        known = table[term.feature].to_numpy()
        known = known[np.isfinite(known)]
        assert term.lowest is not None and term.greatest is not None
        assert 0.002 < np.mean(known > term.greatest) < 0.006 or term.greatest == known.max()
        ends = term.transform(np.array([term.lowest, term.greatest]))
        np.testing.assert_array_equal(term.transform(np.array([-1e12, 1e12])), ends)
    place = table.column_names.index("order_amount_mean_ever")
    rich = size.copy()
    rich[0] = 1e9
    before, after = (
        np.exp(prior.predict(table.set_column(place, "order_amount_mean_ever", pa.array(x)))).sum()
        for x in (size, rich)
    )
    assert after / before < 1.01
