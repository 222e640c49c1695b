"""Partial pooling: effects of several groups, each drawn towards their common mean as far as its noise suggests.

The model is a normal one with a flat prior for the mean and, for the standard deviation between groups, a half-Cauchy
prior whose scale is the median standard error (Gelman, Bayesian Analysis 1, 2006). It is integrated on a grid. The
results are best guesses of each group's effect: they say nothing about significance, and a group of which little is
known gets an effect close to the mean.
"""

from __future__ import annotations

import numpy as np

POINTS = 400  # of the grid


def pool_partially(effects: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means and standard deviations (k,) of the effects of k groups.

    Args:
        effects: Estimated effects (k,).
        errors: Their standard errors (k,), above 0.

    Returns:
        Posterior means and standard deviations.

    >>> means, deviations = pool_partially(np.array([4.0, 0.0, -1.0]), np.array([2.0, 0.5, 2.0]))
    >>> means.round(2).tolist(), deviations.round(2).tolist()
    ([1.77, 0.08, -0.06], [1.78, 0.49, 1.41])
    """
    if len(effects) < 2:
        return effects, errors
    between = np.median(errors) * np.tan(np.pi / 2 * (np.arange(POINTS) + 0.5) / POINTS)
    precision = 1 / (errors**2 + between[:, None] ** 2)  # (points, k)
    mean_variance = 1 / precision.sum(axis=1)
    mean = mean_variance * (precision @ effects)
    deviance = (precision * (effects - mean[:, None]) ** 2 - np.log(precision)).sum(axis=1)
    weight = np.exp(-0.5 * (deviance - deviance.min())) * np.sqrt(mean_variance / mean_variance.max())
    weight /= weight.sum()
    shrinkage = errors**2 * precision
    means = shrinkage * mean[:, None] + (1 - shrinkage) * effects
    variances = (1 - shrinkage) * errors**2 + shrinkage**2 * mean_variance[:, None]
    pooled = weight @ means
    return pooled, np.sqrt(weight @ (variances + means**2) - pooled**2)
