"""Metrics of churn and value, for many resamples of customers at once.

A resample is a row of weights: how often each customer was drawn. Every function takes weights (b, n) and returns one
figure for each resample (b,); weights of one give the metric of the data itself. Sorting is done once for all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

Figures = dict[str, np.ndarray]
GROUPS = 10
NEWTON_STEPS, SETTLED = 25, 1e-6  # each step squares the error: after a step of a millionth only rounding is left
# More distinct log-odds than this are rounded to so many steps of their standard deviation, before a line is fitted to
# them: it changes a slope of 1 by a millionth.
MOST_LOG_ODDS, STEPS = 2000, 250
TITLES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "calibration_in_the_large": "calibration in the large",
    "reliability": "reliability (of Brier)",
    "resolution": "resolution (of Brier)",
    "uncertainty": "uncertainty (of Brier)",
    "within_groups": "within groups (of Brier)",
    "calibration_error": "expected calibration error",
    "spearman": "Spearman",
    "gini": "Gini (normalised)",
    "deviance": "Tweedie deviance 1.5",
    "decile_error": "error over value deciles",
    "total_error": "error of the total",
    "mae": "MAE",
    "coverage": "inside the value interval",
}
BEST = {"calibration_slope": 1.0, "calibration_intercept": 0.0, "calibration_in_the_large": 0.0, "total_error": 0.0}


def churn_metrics(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """Quality of churn probabilities.

    Args:
        churned: Labels (n,), 0 or 1.
        probability: Of churn (n,).
        weights: Of the customers (b, n).

    Returns:
        auc (the same for churn and for return), average_precision, brier and log_loss, then those of
        `recalibration_metrics` and `brier_parts`; each (b,). NaN for a resample without customers, or with one label
        only where both are needed.

    >>> metrics = churn_metrics(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.6, 0.1]), np.ones((1, 4)))
    >>> {name: round(float(metrics[name][0]), 3) for name in ("auc", "average_precision", "brier", "log_loss")}
    {'auc': 0.75, 'average_precision': 0.833, 'brier': 0.205, 'log_loss': 0.583}
    """
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    log_p, log_not_p = np.log(p), np.log1p(-p)
    ones, zeros = weights * churned, weights * (1 - churned)
    sum_by_value = _sum_by_value(p)
    churners, retained = sum_by_value(ones), sum_by_value(zeros)
    total1, total0 = _zero_to_nan(ones.sum(axis=1)), _zero_to_nan(zeros.sum(axis=1))
    below = np.cumsum(retained, axis=1) - retained / 2
    above1, above0 = _reverse_cumsum(churners), _reverse_cumsum(retained)
    with np.errstate(invalid="ignore"):
        precision = np.where(above1 + above0 > 0, above1 / (above1 + above0), 0.0)
    return {
        "auc": (churners * below).sum(axis=1) / (total1 * total0),
        "average_precision": (precision * churners).sum(axis=1) / total1,
        "brier": _mean((p - churned) ** 2, weights),
        "log_loss": _mean(-np.where(churned == 1, log_p, log_not_p), weights),
        **recalibration_metrics(churned, p, weights),
        **brier_parts(churned, p, weights),
    }


def recalibration_metrics(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """Logistic regression of the labels on the predicted log-odds (Cox, Biometrika 45, 1958).

    Args:
        churned: Labels (n,), 0 or 1.
        probability: Of churn (n,), in (0, 1).
        weights: Of the customers (b, n).

    Returns:
        calibration_slope and calibration_intercept, fitted together: 1 and 0 are perfect, and a slope below 1 means
        that probabilities are too extreme; calibration_in_the_large, the intercept with the slope fixed at 1: above 0
        means that more customers churned than predicted. Each (b,). NaN if only one label occurs, if all probabilities
        are the same (slope and intercept), or if they separate the labels perfectly.

    >>> predicted = np.repeat([0.2, 0.8], 5)
    >>> metrics = recalibration_metrics(np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1]), predicted, np.ones((1, 10)))
    >>> {name: abs(round(float(figure[0]), 6)) for name, figure in metrics.items()}
    {'calibration_slope': 1.0, 'calibration_intercept': 0.0, 'calibration_in_the_large': 0.0}
    """
    rounded = _round_many(logit(probability))
    log_odds, sum_by_value = np.unique(rounded), _sum_by_value(rounded)
    customers, churners = (
        sum_by_value(np.vstack([np.ones(len(churned)), weights])),
        sum_by_value(np.vstack([churned, weights * churned])),
    )
    middle, spread = float(log_odds.mean()), float(log_odds.std())
    slope, intercept = np.full((2, len(weights)), np.nan)
    if len(log_odds) > 1:
        slope, intercept = _fit_logistic((log_odds - middle) / spread, customers, churners, line=True)
        slope = slope / spread
        intercept = intercept - slope * middle
    _, shift = _fit_logistic(log_odds, customers, churners, line=False)
    return {"calibration_slope": slope, "calibration_intercept": intercept, "calibration_in_the_large": shift}


def brier_parts(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """The Brier score decomposed over ten equal groups of customers by probability; ties stay in one group.

    Args:
        churned: Labels (n,), 0 or 1.
        probability: Of churn (n,).
        weights: Of the customers (b, n).

    Returns:
        reliability (mean squared gap between predicted and actual share over the groups), resolution (mean squared
        distance of the groups' actual shares from the overall share) and uncertainty (the Brier score of the overall
        share): Murphy, Journal of Applied Meteorology 12, 1973. These add up if all of a group have the same
        prediction; within_groups is the rest, so that brier = reliability - resolution + uncertainty + within_groups
        (Stephenson, Coelho and Jolliffe, Weather and Forecasting 23, 2008). Then calibration_error, the mean absolute
        gap over the groups. Each (b,).

    >>> parts = brier_parts(np.array([0, 0, 0, 1, 1, 1]), np.repeat([0.25, 0.75], 3), np.ones((1, 6)))
    >>> {name: round(float(figure[0]), 4) for name, figure in parts.items()}
    {'reliability': 0.0625, 'resolution': 0.25, 'uncertainty': 0.25, 'within_groups': 0.0, 'calibration_error': 0.25}
    """
    levels, sum_by_value = np.unique(probability), _sum_by_value(probability)
    size, churners, total = sum_by_value(weights), sum_by_value(weights * churned), _zero_to_nan(weights.sum(axis=1))
    squares = _mean((probability - churned) ** 2, weights)
    ends = _group_ends((np.cumsum(size, axis=1) - size / 2) / total[:, None])
    n, predicted_sum, churned_sum = (_group_sums(ends, x) for x in (size, size * levels, churners))
    share, divisor = n / total[:, None], np.where(n > 0, n, 1.0)
    gap, overall = (predicted_sum - churned_sum) / divisor, churners.sum(axis=1) / total
    reliability = (share * gap**2).sum(axis=1)
    resolution = (share * (churned_sum / divisor - overall[:, None]) ** 2).sum(axis=1)
    uncertainty = overall * (1 - overall)
    return {
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_groups": squares - (reliability - resolution + uncertainty),
        "calibration_error": (share * np.abs(gap)).sum(axis=1),
    }


def distance_from_best(metric: str, figure: np.ndarray) -> np.ndarray:
    """The distance from the best value for metrics in BEST; other metrics are returned unchanged.

    >>> distance_from_best("total_error", np.array([-0.25])), distance_from_best("auc", np.array([0.75]))
    (array([0.25]), array([0.75]))
    """
    return np.abs(figure - BEST[metric]) if metric in BEST else figure


def value_metrics(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> Figures:
    """Quality of predicted values.

    Args:
        actual: Actual values (n,), not below 0.
        predicted: Expected values (n,).
        weights: Of the customers (b, n).

    Returns:
        spearman; gini, normalised by that of a perfect order; deviance, mean Tweedie of power 1.5 with predictions not
        below a thousandth of the mean (Jorgensen, Theory of Dispersion Models, 1997); decile_error, the mean over ten
        equal groups by prediction of |mean predicted - mean actual| over the overall mean; total_error, sum predicted
        over sum actual minus 1; mae. Each (b,); NaN if nothing was spent.
    """
    mean = _zero_to_nan(_mean(actual, weights))
    floored = np.maximum(predicted, actual.mean() / 1000)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 4 * (actual / np.sqrt(floored) - 2 * np.sqrt(actual) + np.sqrt(floored))
    return {
        "spearman": spearman(actual, predicted, weights),
        "gini": gini(actual, predicted, weights),
        "deviance": _mean(deviance, weights),
        "decile_error": decile_error(actual, predicted, weights) / mean,
        "total_error": _mean(predicted, weights) / mean - 1,
        "mae": _mean(np.abs(predicted - actual), weights),
    }


def spearman(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank correlation, ties at their mean rank.

    Args:
        actual: Actual values (n,).
        predicted: Expected values (n,).
        weights: Of the customers (b, n).

    Returns:
        Correlations (b,).

    >>> spearman(np.array([0.0, 10.0, 30.0]), np.array([1.0, 12.0, 20.0]), np.ones((1, 3))).round(6).tolist()
    [1.0]
    """
    a, b = (_centred_ranks(x, weights) for x in (actual, predicted))
    size = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return (weights * a * b).sum(axis=1) / _zero_to_nan(size)


def gini(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Normalised Gini: how unequal `actual` is in the order of `predicted`, ties as equal, over that in its own order.

    Args:
        actual: Actual values (n,).
        predicted: Expected values (n,).
        weights: Of the customers (b, n).

    Returns:
        Normalised Gini coefficients (b,); 1 is a perfect order.

    >>> actual, ones = np.array([0.0, 1.0, 5.0]), np.ones((1, 3))
    >>> [gini(actual, np.array(p), ones).round(6).tolist() for p in ([0.1, 0.2, 0.3], [0.2, 0.2, 0.2])]
    [[1.0], [0.0]]
    """

    def area(by: np.ndarray) -> np.ndarray:
        sum_by_value = _sum_by_value(by)
        w, spent = sum_by_value(weights), sum_by_value(weights * actual)
        share = _reverse_cumsum(spent) - spent / 2
        return (w * share).sum(axis=1) / _zero_to_nan(w.sum(axis=1) * spent.sum(axis=1)) - 0.5

    return area(predicted) / _zero_to_nan(area(actual))


def _fit_logistic(
    z: np.ndarray, size: np.ndarray, churners: np.ndarray, *, line: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept (b,) of the logistic regression of the labels on z, by Newton's method.

    Args:
        z: Of each distinct probability (k,), with mean 0 and standard deviation 1 if `line`.
        size: Customers at each (1 + b, k): the data itself, whose solution is the start for the others, then resamples.
        churners: How many of them churned (1 + b, k).
        line: Whether to fit the slope, too; else it is 1.

    Returns:
        Slope and intercept (b,); NaN without convergence: then no finite solution is the likeliest.
    """
    at = np.array([[0.0 if line else 1.0], [0.0]])
    for rows in (slice(0, 1), slice(1, None)):
        n, k = size[rows], churners[rows]
        at = _newton_steps(z, n, k, np.repeat(at, len(n), axis=1), line)
    return at[0], at[1]


def _newton_steps(z: np.ndarray, size: np.ndarray, churners: np.ndarray, start: np.ndarray, line: bool) -> np.ndarray:
    """Newton's method from a start (2, b); returns the solutions (2, b)."""
    slope, intercept = start
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            p = expit(slope[:, None] * z + intercept[:, None])
            expected = size * p
            rest, v = churners - expected, expected * (1 - p)
            g0, h0 = rest.sum(axis=1), v.sum(axis=1)
            if line:
                g1, h1, h2 = rest @ z, v @ z, v @ (z * z)
                room = h0 * h2 - h1 * h1
                up, over = (h0 * g1 - h1 * g0) / room, (h2 * g0 - h1 * g1) / room
            else:
                up, over = (
                    np.zeros_like(g0),
                    _intercept_step(churners.sum(axis=1), expected.sum(axis=1), size.sum(axis=1), h0),
                )
            slope, intercept = slope + up, intercept + over
            moved = np.abs(up) + np.abs(over)
            if not (moved > SETTLED).any():
                break
    return np.where(moved <= SETTLED, np.stack([slope, intercept]), np.nan)


def _intercept_step(churners: np.ndarray, expected: np.ndarray, total: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Newton's step (b,) in the log-odds of the overall share, which is nearly linear in the intercept."""
    share = expected / total
    return (logit(churners / total) - logit(share)) * expected * (1 - share) / slope


def _round_many(log_odds: np.ndarray) -> np.ndarray:
    """Log-odds (n,), rounded if more than MOST_LOG_ODDS of them are distinct."""
    spread = float(log_odds.std())
    if len(np.unique(log_odds)) <= MOST_LOG_ODDS or not np.isfinite(spread):
        return log_odds
    return np.round(log_odds * (STEPS / spread)) * (spread / STEPS)


def _group_ends(place: np.ndarray) -> np.ndarray:
    """Where (b, 11) ten equal groups by place (b, k), which ascends from 0 to 1, begin and end."""
    starts = np.array([np.searchsorted(row, np.arange(GROUPS) / GROUPS) for row in place], dtype=int)
    return np.column_stack([starts, np.full(len(place), place.shape[1])])


def _group_sums(ends: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums (b, 10) of columns (b, k) over the groups between `ends` (b, 11)."""
    sums = np.concatenate([np.zeros((len(columns), 1)), np.cumsum(columns, axis=1)], axis=1)
    return np.diff(np.take_along_axis(sums, ends, axis=1), axis=1)


def decile_error(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over ten equal groups by prediction of |mean predicted - mean actual|.

    Args:
        actual: Actual values (n,).
        predicted: Expected values (n,).
        weights: Of the customers (b, n).

    Returns:
        Errors (b,), in the unit of the values.
    """
    order = np.argsort(predicted, kind="stable")
    w = weights[:, order]
    ends = _group_ends((np.cumsum(w, axis=1) - w / 2) / w.sum(axis=1, keepdims=True))
    size, gap = _group_sums(ends, w), _group_sums(ends, w * (predicted - actual)[order])
    return np.nanmean(np.where(size > 0, np.abs(gap) / np.where(size > 0, size, 1.0), np.nan), axis=1)


def _centred_ranks(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks (b, n) in each resample, less their weighted mean."""
    _, place = np.unique(x, return_inverse=True)
    tied = _sum_by_value(x)(weights)
    ranks = (np.cumsum(tied, axis=1) - tied / 2)[:, place]
    return ranks - ((weights * ranks).sum(axis=1) / weights.sum(axis=1))[:, None]


def _sum_by_value(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that sums columns (b, n) over equal values of x (n,), the values ascending."""
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0])
    return lambda columns: np.add.reduceat(columns[:, order], starts, axis=1)


def _reverse_cumsum(columns: np.ndarray) -> np.ndarray:
    return np.cumsum(columns[:, ::-1], axis=1)[:, ::-1]


def _mean(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (weights @ x) / _zero_to_nan(weights.sum(axis=1))


def _zero_to_nan(x: np.ndarray) -> np.ndarray:
    return np.where(x == 0, np.nan, x)
