"""The prior: a linear model of a few well-known features, which the trees only need to correct.

It is the stable part when customers are few. Its weights are fitted to the same labels as the trees, so they correct
the levels of BG/NBD and Gamma-Gamma, which know neither season nor growth. It has too few weights to learn what all
customers of a cutoff share, so what it leaves of that shows the level of each cutoff (`level_forecast`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize
from scipy.special import expit

from features.heavy_amounts import ordinary_limit
from training.artifact.margin import SMALLEST, Margin, Term

BEHAVIOUR_SHAPES = (
    ("return_probability", "logit"),
    ("orders_expected", "log"),
    ("recency_days", "log1p"),
    ("orders_count_ever", "log1p"),
    ("tenure_days", "log1p"),
    ("amount_sum_ever", "log1p"),
)
MONEY_SHAPES = (("order_amount_expected", "log"), ("order_amount_mean_ever", "log"))
RIDGE = 10.0
OUTSIDE = 0.005  # weighted share of the training rows on each side of a term's range: their values count as its ends

Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def churn_loss(churned: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-loss (n,) of log-odds (n,), and its slope (n,)."""
    return np.logaddexp(0, margin) - churned * margin, expit(margin) - churned


def spend_loss(spend: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gamma deviance (n,) of logs of expected spend (n,), halved and less a constant, and its slope (n,)."""
    ratio = spend * np.exp(-margin)
    return margin + ratio, 1 - ratio


def gain_loss(gain: np.ndarray, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tweedie deviance (n,), power 1.5, of logs of expected gain (n,), halved and less a constant, and its slope."""
    root = np.exp(margin / 2)
    return 2 * (gain / root + root), root - gain / root


def fit_churn_prior(X: pa.Table, churned: np.ndarray, weight: np.ndarray) -> Margin:
    """Fits the log-odds of churn by ridge logistic regression on BEHAVIOUR_SHAPES.

    Args:
        X: Features (n, p).
        churned: Labels (n,), 0 or 1; both must occur.
        weight: Weights (n,) of the rows.

    Returns:
        The fitted margin.
    """
    mean = float(np.average(churned, weights=weight))
    return fit_linear(X, churn_loss, churned, weight, BEHAVIOUR_SHAPES, np.log(mean / (1 - mean)))


def fit_spend_prior(X: pa.Table, spend: np.ndarray, weight: np.ndarray) -> Margin:
    """Fits the log of spend by ridge gamma regression on BEHAVIOUR_SHAPES and MONEY_SHAPES.

    Args:
        X: Features (n, p).
        spend: Spend (n,), above 0.
        weight: Weights (n,) of the rows.

    Returns:
        The fitted margin.
    """
    start = float(np.log(np.average(spend, weights=weight)))
    return fit_linear(X, spend_loss, spend, weight, (*BEHAVIOUR_SHAPES, *MONEY_SHAPES), start)


def fit_gain_prior(X: pa.Table, gain: np.ndarray, weight: np.ndarray) -> Margin:
    """Fits the log of the gain by ridge Tweedie regression on BEHAVIOUR_SHAPES and MONEY_SHAPES.

    Args:
        X: Features (n, p).
        gain: Gains (n,) of a longer horizon, not below 0, some above 0.
        weight: Weights (n,) of the rows.

    Returns:
        The fitted margin.
    """
    start = float(np.log(np.average(gain, weights=weight)))
    return fit_linear(X, gain_loss, gain, weight, (*BEHAVIOUR_SHAPES, *MONEY_SHAPES), start)


def fit_orders_prior(X: pa.Table, further: np.ndarray, weight: np.ndarray) -> Margin:
    """Fits the log of further purchases by ridge Tweedie regression on BEHAVIOUR_SHAPES.

    Args:
        X: Features (n, p).
        further: Purchases after the first one (n,), not below 0, some above 0.
        weight: Weights (n,) of the rows.

    Returns:
        The fitted margin.
    """
    start = float(np.log(np.average(further, weights=weight)))
    return fit_linear(X, gain_loss, further, weight, BEHAVIOUR_SHAPES, start)


def fit_linear(
    X: pa.Table, loss: Loss, label: np.ndarray, weight: np.ndarray, shapes: Sequence[tuple[str, str]], start: float
) -> Margin:
    """Fits standardised terms with a ridge penalty of RIDGE.

    Args:
        X: Features (n, p).
        loss: Loss and slope of each row.
        label: Labels (n,).
        weight: Weights (n,) of the rows.
        shapes: Features and their transforms (`Term`); those that X lacks are left out.
        start: Where the search for the intercept starts.

    Returns:
        The fitted margin.
    """
    terms = [
        term for name, shape in shapes if name in X.column_names for term in _standardised_term(X, name, shape, weight)
    ]
    Z = np.column_stack([np.ones(X.num_rows), *(term.contribution(X) for term in terms)])
    coefficients = minimize(
        partial(_penalised_loss, loss=loss, label=label, weight=weight, Z=Z),
        np.r_[start, np.zeros(len(terms))],
        jac=True,
        method="L-BFGS-B",
    ).x
    weighted_terms = (replace(t, weight=t.weight * b) for t, b in zip(terms, coefficients[1:], strict=True))
    return Margin(float(coefficients[0]), tuple(weighted_terms))


def _penalised_loss(
    b: np.ndarray, loss: Loss, label: np.ndarray, weight: np.ndarray, Z: np.ndarray
) -> tuple[float, np.ndarray]:
    each, slope = loss(label, Z @ b)
    ridge = RIDGE * np.r_[0.0, b[1:]]
    total = weight.sum()
    return float(weight @ each + ridge @ b / 2) / total, ((weight * slope) @ Z + ridge) / total


def _standardised_term(X: pa.Table, name: str, shape: str, weight: np.ndarray) -> list[Term]:
    """The standardised term of a feature; empty if the feature is constant or always null.

    Values outside the term's range (`_learned_range`) count as its ends, in training and at prediction.
    """
    values = X[name].to_numpy().astype(np.float64)
    if not np.isfinite(values).any():
        return []
    lowest, greatest = _learned_range(values, weight)
    values = np.clip(values, lowest, greatest)
    above_zero = values[values > 0]
    scale = float(np.mean(above_zero)) if len(above_zero) else 1.0
    term = Term(name, shape, scale, 0.0, 1.0, greatest, lowest)
    shaped = term.transform(values)
    known = np.isfinite(shaped)
    if np.ptp(shaped[known]) < SMALLEST:
        return []
    centre = float(np.average(shaped[known], weights=weight[known]))
    width = float(np.sqrt(np.average((shaped[known] - centre) ** 2, weights=weight[known])))
    return [replace(term, centre=centre, weight=1 / width)]


def _learned_range(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """The lowest and the greatest value (n,) that a term distinguishes; of both there are enough rows to learn from.

    They are weighted quantiles of the training rows, and no value that outweighs all others (`ordinary_limit`).

    >>> _learned_range(np.array([1.0, 2.0, 3.0, np.nan]), np.ones(4))
    (1.0, 3.0)
    """
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]
    ordered, share = values[order], np.cumsum(weight[order]) / weight[order].sum()
    low, high = ordered[np.searchsorted(share, [OUTSIDE, 1 - OUTSIDE])]
    return float(low), float(min(high, ordinary_limit(values)))
