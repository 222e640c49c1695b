"""Metrics of churn and value, for many resamples of customers at once.

A resample is a row of weights: how often it drew each customer. Every function takes weights (b, n) and gives one
figure a resample (b,); weights of one are the plain metric. Sorting is done once for all resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

Figures = dict[str, np.ndarray]
GROUPS = 10
NEWTON_STEPS, SETTLED = 25, 1e-6  # steps square the error: after one of a millionth it is rounding
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
        churned: What came (n,), 0 or 1.
        probability: Of churn (n,).
        weights: Of the customers (b, n).

    Returns:
        auc (the same for churn and for return), average_precision, brier and log_loss, then what `recalibration` and
        `brier_parts` give; each (b,); NaN where a resample has no one, or only one fate where two are needed.

    >>> found = churn_metrics(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.6, 0.1]), np.ones((1, 4)))
    >>> {name: round(float(found[name][0]), 3) for name in ("auc", "average_precision", "brier", "log_loss")}
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
        **recalibration_metrics(churned, p, weights),
        **brier_parts(churned, p, weights),
    }


def recalibration_metrics(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """The logistic regression of what came on the log-odds that were said (Cox, Biometrika 45, 1958).

    Args:
        churned: What came (n,), 0 or 1.
        probability: Of churn (n,), in (0, 1).
        weights: Of the customers (b, n).

    Returns:
        calibration_slope and calibration_intercept, fitted together: 1 and 0 are perfect, and a slope below 1 means
        probabilities that are too far from each other; calibration_in_the_large, the intercept where the slope is
        held at 1: above 0 means that more churned than was said. Each (b,); NaN where only one fate came, where all
        probabilities are the same (slope and intercept), or where they part the fates without an error.

    >>> said = np.repeat([0.2, 0.8], 5)
    >>> found = recalibration_metrics(np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1]), said, np.ones((1, 10)))
    >>> {name: abs(round(float(figure[0]), 6)) for name, figure in found.items()}
    {'calibration_slope': 1.0, 'calibration_intercept': 0.0, 'calibration_in_the_large': 0.0}
    """
    levels, up = np.unique(probability), _by_value(probability)
    size, came = up(np.vstack([np.ones(len(churned)), weights])), up(np.vstack([churned, weights * churned]))
    said = logit(levels)
    middle, spread = float(said.mean()), float(said.std())
    slope, intercept = np.full((2, len(weights)), np.nan)
    if len(levels) > 1:
        slope, intercept = _newton((said - middle) / spread, size, came, line=True)
        slope = slope / spread
        intercept = intercept - slope * middle
    _, shift = _newton(said, size, came, line=False)
    return {"calibration_slope": slope, "calibration_intercept": intercept, "calibration_in_the_large": shift}


def brier_parts(churned: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> Figures:
    """The Brier score taken apart in ten equal groups of customers by probability; equal probabilities stay together.

    Args:
        churned: What came (n,), 0 or 1.
        probability: Of churn (n,).
        weights: Of the customers (b, n).

    Returns:
        reliability (mean squared gap between said and came over the groups), resolution (mean squared distance of
        what came in the groups from what came on the whole) and uncertainty (the Brier score of the overall share):
        Murphy, Journal of Applied Meteorology 12, 1973. His parts add up where all of a group are told the same; what
        differs within groups is within_groups, so that brier = reliability - resolution + uncertainty + within_groups
        (Stephenson, Coelho and Jolliffe, Weather and Forecasting 23, 2008). Then calibration_error, the mean absolute
        gap over the groups. Each (b,).

    >>> found = brier_parts(np.array([0, 0, 0, 1, 1, 1]), np.repeat([0.25, 0.75], 3), np.ones((1, 6)))
    >>> {name: round(float(figure[0]), 4) for name, figure in found.items()}
    {'reliability': 0.0625, 'resolution': 0.25, 'uncertainty': 0.25, 'within_groups': 0.0, 'calibration_error': 0.25}
    """
    levels, up = np.unique(probability), _by_value(probability)
    size, came, total = up(weights), up(weights * churned), _none_is_nan(weights.sum(axis=1))
    squares = _mean((probability - churned) ** 2, weights)
    place = (np.cumsum(size, axis=1) - size / 2) / total[:, None]
    n, said, left = (_in_groups(place, x) for x in (size, size * levels, came))
    share, held = n / total[:, None], np.where(n > 0, n, 1.0)
    gap, overall = (said - left) / held, came.sum(axis=1) / total
    reliability = (share * gap**2).sum(axis=1)
    resolution = (share * (left / held - overall[:, None]) ** 2).sum(axis=1)
    uncertainty = overall * (1 - overall)
    return {
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_groups": squares - (reliability - resolution + uncertainty),
        "calibration_error": (share * np.abs(gap)).sum(axis=1),
    }


def distance_from_best(metric: str, figure: np.ndarray) -> np.ndarray:
    """How far a figure is from the best there is, for metrics of which neither more nor less is better; others as is.

    >>> distance_from_best("total_error", np.array([-0.25])), distance_from_best("auc", np.array([0.75]))
    (array([0.25]), array([0.75]))
    """
    return np.abs(figure - BEST[metric]) if metric in BEST else figure


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


def _newton(z: np.ndarray, size: np.ndarray, came: np.ndarray, *, line: bool) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept (b,) of the logistic regression of what came on z, by Newton's steps.

    Args:
        z: Of each distinct probability (k,), of mean 0 and spread 1 for a line.
        size: Customers at each (1 + b, k): everyone once, whose solution the others start from, then the resamples.
        came: How many of them churned.
        line: Fits both; else the slope is 1.

    Returns:
        NaN where it does not settle, since no finite solution is likeliest.
    """
    at = np.array([[0.0 if line else 1.0], [0.0]])
    for rows in (slice(0, 1), slice(1, None)):
        n, k = size[rows], came[rows]
        at = _steps(z, n, k, np.repeat(at, len(n), axis=1), line)
    return at[0], at[1]


def _steps(z: np.ndarray, size: np.ndarray, came: np.ndarray, start: np.ndarray, line: bool) -> np.ndarray:
    """The solutions (2, b) from a start (2, b)."""
    slope, intercept = start
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            p = expit(slope[:, None] * z + intercept[:, None])
            found = size * p
            rest, v = came - found, found * (1 - p)
            g0, h0 = rest.sum(axis=1), v.sum(axis=1)
            if line:
                g1, h1, h2 = rest @ z, v @ z, v @ (z * z)
                room = h0 * h2 - h1 * h1
                up, over = (h0 * g1 - h1 * g0) / room, (h2 * g0 - h1 * g1) / room
            else:
                up, over = np.zeros_like(g0), _shift(came.sum(axis=1), found.sum(axis=1), size.sum(axis=1), h0)
            slope, intercept = slope + up, intercept + over
            moved = np.abs(up) + np.abs(over)
            if not (moved > SETTLED).any():
                break
    return np.where(moved <= SETTLED, np.stack([slope, intercept]), np.nan)


def _shift(came: np.ndarray, found: np.ndarray, total: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Newton's step (b,) in the log-odds of the overall share, in which the way to the solution is nearly straight."""
    share = found / total
    return (logit(came / total) - logit(share)) * found * (1 - share) / slope


def _in_groups(place: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sums (b, 10) of columns (b, k) over ten equal groups by place (b, k), which ascends from 0 to 1."""
    ends = np.stack([(place < group / GROUPS).sum(axis=1) for group in range(GROUPS + 1)], axis=1)
    ends[:, -1] = place.shape[1]
    sums = np.concatenate([np.zeros((len(columns), 1)), np.cumsum(columns, axis=1)], axis=1)
    return np.diff(np.take_along_axis(sums, ends, axis=1), axis=1)


def _decile_error(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    order = np.argsort(predicted, kind="stable")
    w = weights[:, order]
    place = (np.cumsum(w, axis=1) - w / 2) / w.sum(axis=1, keepdims=True)
    size, gap = _in_groups(place, w), _in_groups(place, w * (predicted - actual)[order])
    return np.nanmean(np.where(size > 0, np.abs(gap) / np.where(size > 0, size, 1.0), np.nan), axis=1)


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
