"""Metrics of churn and value, for many resamples of customers at once.

A resample is a row of weights: how often it drew each customer. Every function takes weights (b, n) and gives one
figure a resample (b,); weights of one are the plain metric. Sorting is done once for all resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Figures = dict[str, np.ndarray]
GROUPS = 10


def churn_metrics(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """Quality of churn probabilities.

    Args:
        churned: What came (n,), 0 or 1.
        probability: Of churn (n,).
        weights: Of the customers (b, n).

    Returns:
        auc (the same for churn and for return), average_precision, brier and log_loss, each (b,); NaN where a resample
        has no one, or only one fate where two are needed.

    >>> found = churn_metrics(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.6, 0.1]), np.ones((1, 4)))
    >>> {name: round(float(figure[0]), 3) for name, figure in found.items()}
    {'auc': 0.75, 'average_precision': 0.833, 'brier': 0.205, 'log_loss': 0.583}
    """
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    left, right = np.log(p), np.log1p(-p)
    ones, zeros = weights * churned, weights * (1 - churned)
    up = _by_value(p)
    gained, lost = up(ones), up(zeros)
    total1, total0 = _none_is_nan(ones.sum(axis=1)), _none_is_nan(zeros.sum(axis=1))
    below = np.cumsum(lost, axis=1) - lost / 2
    above1, above0 = _from_the_top(gained), _from_the_top(lost)
    with np.errstate(invalid="ignore"):
        precision = np.where(above1 + above0 > 0, above1 / (above1 + above0), 0.0)
    return {
        "auc": (gained * below).sum(axis=1) / (total1 * total0),
        "average_precision": (precision * gained).sum(axis=1) / total1,
        "brier": _mean((p - churned) ** 2, weights),
        "log_loss": _mean(-np.where(churned == 1, left, right), weights),
    }


def value_metrics(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Figures:
    """Quality of predicted values.

    Args:
        actual: What came (n,), not below 0.
        predicted: Expected (n,).
        weights: Of the customers (b, n).

    Returns:
        spearman; gini, normalised by that of a perfect order; deviance, mean Tweedie of power 1.5 with predictions not
        below a thousandth of the mean (Jorgensen, Theory of Dispersion Models, 1997); decile_error, the mean over ten
        equal groups by prediction of |mean predicted - mean actual| over the overall mean; total_error, sum predicted
        over sum actual less 1; mae. Each (b,); NaN where nothing was spent.
    """
    mean = _none_is_nan(_mean(actual, weights))
    floored = np.maximum(predicted, actual.mean() / 1000)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 4 * (actual / np.sqrt(floored) - 2 * np.sqrt(actual) + np.sqrt(floored))
    return {
        "spearman": spearman(actual, predicted, weights),
        "gini": gini(actual, predicted, weights),
        "deviance": _mean(deviance, weights),
        "decile_error": _decile_error(actual, predicted, weights) / mean,
        "total_error": _mean(predicted, weights) / mean - 1,
        "mae": _mean(np.abs(predicted - actual), weights),
    }


def spearman(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank correlation (b,), ties at their mean rank.

    >>> spearman(np.array([0.0, 10.0, 30.0]), np.array([1.0, 12.0, 20.0]), np.ones((1, 3))).round(6).tolist()
    [1.0]
    """
    a, b = (_centred_ranks(x, weights) for x in (actual, predicted))
    size = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return (weights * a * b).sum(axis=1) / _none_is_nan(size)


def gini(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Normalised Gini (b,): how unequal `actual` is in the order of `predicted`, over that in its own order.

    >>> gini(np.array([0.0, 1.0, 5.0]), np.array([0.1, 0.2, 0.3]), np.ones((1, 3))).round(6).tolist()
    [1.0]
    """

    def area(by: np.ndarray) -> np.ndarray:
        order = np.argsort(-by, kind="stable")
        w, spent = weights[:, order], weights[:, order] * actual[order]
        share = np.cumsum(spent, axis=1) - spent / 2
        return (w * share).sum(axis=1) / _none_is_nan(w.sum(axis=1) * spent.sum(axis=1)) - 0.5

    return area(predicted) / _none_is_nan(area(actual))


def _decile_error(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(predicted, kind="stable")
    w = weights[:, order]
    place = (np.cumsum(w, axis=1) - w / 2) / w.sum(axis=1, keepdims=True)
    gap = w * (predicted - actual)[order]
    gaps = []
    for group in range(GROUPS):
        inside = (place >= group / GROUPS) & (place < (group + 1) / GROUPS)
        size = (w * inside).sum(axis=1)
        gaps.append(np.where(size > 0, np.abs((gap * inside).sum(axis=1)) / np.maximum(size, 1), np.nan))
    return np.nanmean(gaps, axis=0)


def _centred_ranks(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks (b, n) in each resample, less their weighted mean."""
    _, place = np.unique(x, return_inverse=True)
    tied = _by_value(x)(weights)
    ranks = (np.cumsum(tied, axis=1) - tied / 2)[:, place]
    return ranks - ((weights * ranks).sum(axis=1) / weights.sum(axis=1))[:, None]


def _by_value(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that adds up columns (b, n) over equal values of x (n,), the values ascending."""
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0])
    return lambda columns: np.add.reduceat(columns[:, order], starts, axis=1)


def _from_the_top(columns: np.ndarray) -> np.ndarray:
    return np.cumsum(columns[:, ::-1], axis=1)[:, ::-1]


def _mean(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights @ x) / _none_is_nan(weights.sum(axis=1))


def _none_is_nan(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, np.nan, x)
