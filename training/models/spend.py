"""The second part of the hurdle model: what a customer spends within the horizon, given that they return."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from training.models.lightgbm_base import LightGBMEstimator

SMALLEST_SHARE = 1e-3
TAIL_CHANCE, TAIL_RATIO = 0.99, 3.0  # an amount is in the tail above both: this quantile of the ratios, and this ratio


class SpendRegressor(RegressorMixin, LightGBMEstimator):
    """Expected spend of a customer who returns (gamma deviance); the margin is its log.

    Expected value is this times the classifier's probability of returning, so value and churn never contradict each
    other (a hurdle model: Cragg, Econometrica 39, 1971). Amounts below a thousandth of the mean, such as those of
    customers whose refunds cancel their purchases, are raised to it.
    """

    objective = "gamma"

    def fit(self, X: Any, y: Any) -> SpendRegressor:
        """Fits the features (n, p) and the spend (n,) of customers who returned.

        Raises:
            ValueError: No spend is above zero.
        """
        return self.fit_margin(X, y)

    def predict(self, X: Any) -> np.ndarray:
        """Expected spend (n,) if the customer returns."""
        return np.exp(self.margin(X))

    def _label(self, y: np.ndarray) -> np.ndarray:
        return positive_spend(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class GainRegressor(RegressorMixin, LightGBMEstimator):
    """Expected gain of value from one horizon to a longer one, mostly 0 (Tweedie deviance, power 1.5).

    The margin is the log of the gain (Jorgensen, Journal of the Royal Statistical Society B 49, 1987).
    """

    objective = "tweedie"

    def fit(self, X: Any, y: Any) -> GainRegressor:
        """Fits the features (n, p) and the gains (n,), not below 0.

        Raises:
            ValueError: A gain is below zero, or no gain is above zero.
        """
        return self.fit_margin(X, y)

    def predict(self, X: Any) -> np.ndarray:
        """Expected gain (n,)."""
        return np.exp(self.margin(X))

    def _label(self, y: np.ndarray) -> np.ndarray:
        if y.min() < 0 or not y.max() > 0:
            raise ValueError(f"expected gains of 0 or more, some above 0; found {y.min():g} to {y.max():g}")
        return y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


def positive_spend(spend: np.ndarray) -> np.ndarray:
    """Spend (n,), raised to a thousandth of its mean where it is below; raises ValueError if none is positive.

    >>> positive_spend(np.array([10.0, -2.0, 20.0])).round(3).tolist()
    [10.0, 0.01, 20.0]
    """
    mean = float(np.maximum(spend, 0).mean()) if len(spend) else 0.0
    if not mean > 0:
        raise ValueError("no returning customer spent more than was refunded: there is no value to learn")
    return np.maximum(spend, SMALLEST_SHARE * mean)


def leavers_factor(spend: np.ndarray, returned: np.ndarray, weight: np.ndarray) -> float:
    """The spend of all customers over that of those who return: who cancels a contract pays until it ends.

    Value is the probability of returning times the spend of those who return, so their spend has to carry what leavers
    still pay. Where leaving means no purchase, leavers spend nothing and the factor is 1.

    Args:
        spend: Spend (n,), not below 0.
        returned: Who returned (n,).
        weight: Weights (n,) of the rows.

    Returns:
        The factor, at least 1.

    >>> leavers_factor(np.array([30.0, 30.0, 15.0]), np.array([True, True, False]), np.ones(3))
    1.25
    """
    leavers = float(weight[~returned] @ spend[~returned])
    return 1 + leavers / float(weight[returned] @ spend[returned]) if leavers > 0 else 1.0


def temper_tail(spend: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Winsorises spend relative to what was expected, and spreads what is cut off over all customers.

    A few of the largest amounts would otherwise decide about the splits of trees. They say little about who spends
    much, but much about the total, so their excess raises all amounts by the same factor (a pooled tail).

    Args:
        spend: Spend (n,), above 0.
        expected: Expected spend (n,), above 0.

    Returns:
        Spend (n,) with the same total.

    >>> temper_tail(np.array([*[10.0] * 99, 1010.0]), np.full(100, 10.0)).round(2)[[0, -1]].tolist()
    [19.61, 58.82]
    """
    ratio = spend / expected
    limit = max(float(np.quantile(ratio, TAIL_CHANCE)), TAIL_RATIO)
    capped = np.minimum(ratio, limit) * expected
    return capped * (float(spend.sum()) / float(capped.sum()))
