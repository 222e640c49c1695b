"""Partial pooling of shares: each group's rate is drawn towards that of all groups as far as its noise suggests.

The rates of the groups follow a beta distribution whose mean and spread are unknown (a beta-binomial model; Gelman et
al., 'Bayesian Data Analysis', 2013, chapter 5). Both are integrated on a grid: the mean with a flat prior on its
log-odds around the overall rate, the spread with a flat prior of 1 / sqrt(1 + strength) in (0, 1). Unlike a normal
approximation it holds for shares near 0 and 1, and for groups in which nobody or everybody counts.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, expit, logit
from scipy.stats import beta

POINTS, REACH = 40, 3.0  # of the grid in each direction; reach of the mean's log-odds around the overall rate


def pool_shares(counts: np.ndarray, sizes: np.ndarray, inside: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the posterior means (k,) of the rates of k groups, and the ends of their intervals.

    Args:
        counts: How many of each group count (k,).
        sizes: The sizes of the groups (k,), above 0.
        inside: What the intervals hold, in (0, 1).

    Returns:
        Means, low ends and high ends. One group alone has Jeffreys' prior.

    >>> mean, low, high = pool_shares(np.array([200, 210, 10]), np.array([1000, 1000, 10]), 0.95)
    >>> mean.round(2).tolist(), low.round(2).tolist(), high.round(2).tolist()
    ([0.2, 0.21, 0.94], [0.18, 0.19, 0.7], [0.23, 0.24, 1.0])
    """
    tail = (1 - inside) / 2
    if len(counts) < 2:
        a, b = counts + 0.5, sizes - counts + 0.5
        return a / (a + b), beta.ppf(tail, a, b), beta.ppf(1 - tail, a, b)
    centre = logit((counts.sum() + 0.5) / (sizes.sum() + 1))
    mean = expit(centre + np.linspace(-REACH, REACH, POINTS))[:, None, None]
    spread = (np.arange(POINTS) + 0.5) / POINTS
    strength = (1 / spread**2 - 1)[None, :, None]
    a, b = mean * strength, (1 - mean) * strength
    a_after, b_after = counts + a, sizes - counts + b  # (means, spreads, groups)
    evidence = (betaln(a_after, b_after) - betaln(a, b)).sum(axis=2)
    weight = np.exp(evidence - evidence.max())[:, :, None]
    weight /= weight.sum()
    total = a_after + b_after
    each = a_after / total
    middle = (weight * each).sum(axis=(0, 1))
    variance = (weight * (each * (1 - each) / (total + 1) + each**2)).sum(axis=(0, 1)) - middle**2
    size = middle * (1 - middle) / np.maximum(variance, 1e-15) - 1
    return (
        middle,
        beta.ppf(tail, middle * size, (1 - middle) * size),
        beta.ppf(1 - tail, middle * size, (1 - middle) * size),
    )
