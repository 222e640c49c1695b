"""Shares of customers with Wilson's confidence interval (Journal of the American Statistical Association 22, 1927).

SciPy has the same interval for one share (`scipy.stats.binomtest(...).proportion_ci(method="wilson")`). The formulas
here take many shares at once, and give the last digits that files written before hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def holds(self, number: float) -> bool:
        """Whether a number lies inside the interval."""
        return self.low <= number <= self.high


def wilson_interval(hits: np.ndarray, totals: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's confidence intervals of many shares.

    Args:
        hits: Customers (n,) with the property.
        totals: Customers (n,) altogether.
        level: Confidence level, between 0 and 1.

    Returns:
        Lower and upper ends, (n,) each; 0 and 1 for a share of no customers.

    >>> low, high = wilson_interval(np.array([5, 0]), np.array([10, 0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.0], [0.763, 1.0])
    """
    z = float(norm.ppf((1 + level) / 2))
    n = np.maximum(np.asarray(totals, float), 1e-12)
    middle, scale, variance = _wilson_terms(np.asarray(hits, float) / n, n, z)
    half = z / scale * np.sqrt(variance)
    known = np.asarray(totals) > 0
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    low, high = np.where(np.asarray(hits) == 0, 0.0, low), np.where(np.asarray(hits) == totals, 1.0, high)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)


def wilson_estimate(hits: int, total: int) -> Estimate:
    """Return one share with Wilson's 95% confidence interval; `total` is at least 1.

    The half width is the one of `wilson_interval`, rounded in another order: monitor.json holds these last digits.

    >>> figure = wilson_estimate(50, 100)
    >>> figure.value, round(figure.low, 3), round(figure.high, 3)
    (0.5, 0.404, 0.596)
    """
    z = float(norm.ppf((1 + LEVEL) / 2))
    share = hits / total
    middle, scale, variance = _wilson_terms(share, total, z)
    half = np.sqrt(z * z * variance) / scale
    return Estimate(share, max(float(middle - half), 0.0), min(float(middle + half), 1.0))


def _wilson_terms(share: Any, n: Any, z: float) -> tuple[Any, Any, Any]:
    """Middle of the interval, and scale and variance of its half width z sqrt(variance) / scale."""
    scale = 1 + z * z / n
    return (share + z * z / (2 * n)) / scale, scale, share * (1 - share) / n + z * z / (4 * n * n)
