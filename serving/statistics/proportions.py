"""Shares of customers with their intervals."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

LEVEL = 0.95


def wilson_interval(hits: np.ndarray, all_: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a share: `hits` of `all_` (both (n,)), by Wilson (1927); [0, 1] where there is nothing to go by.

    >>> low, high = wilson(np.array([5, 0]), np.array([10, 0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.0], [0.763, 1.0])
    """
    z = norm.ppf((1 + level) / 2)
    n = np.maximum(np.asarray(all_, float), 1e-12)
    share = np.asarray(hits, float) / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    known = np.asarray(all_) > 0
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    low, high = np.where(np.asarray(hits) == 0, 0.0, low), np.where(np.asarray(hits) == all_, 1.0, high)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)
