"""The prior: a linear model of a few well-known features, which trees need only correct.

Where customers are few it is what holds; its weights come from the same labels as the trees, so the levels of BG/NBD
and Gamma-Gamma, which know neither season nor growth, are set right before a tree grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize
from scipy.special import expit

from training.artifact.margin import SMALLEST, Margin, Term

RHYTHM = (
    ("return_probability", "logit"),
    ("orders_expected", "log"),
    ("recency_days", "log1p"),
    ("orders_count_ever", "log1p"),
    ("tenure_days", "log1p"),
    ("amount_sum_ever", "log1p"),
)
MONEY = (("order_amount_expected", "log"), ("order_amount_mean_ever", "log"))
RIDGE = 10.0

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
    """Log-odds of churn by a ridge logistic regression on RHYTHM.

    Args:
        X: Features (n, p).
        churned: 0 or 1 (n,), both among them.
        weight: Of the rows (n,).
    """
    mean = float(np.average(churned, weights=weight))
    return _fit(X, churn_loss, churned, weight, RHYTHM, np.log(mean / (1 - mean)))


def fit_spend_prior(X: pa.Table, spend: np.ndarray, weight: np.ndarray) -> Margin:
    """Log of spend by a ridge gamma regression on RHYTHM and MONEY; arguments as for `churn_prior`, spend above 0."""
    return _fit(X, spend_loss, spend, weight, (*RHYTHM, *MONEY), float(np.log(np.average(spend, weights=weight))))


def fit_gain_prior(X: pa.Table, gain: np.ndarray, weight: np.ndarray) -> Margin:
    """Log of what a longer horizon adds, by a ridge Tweedie regression on RHYTHM and MONEY; some gain above 0."""
    return _fit(X, gain_loss, gain, weight, (*RHYTHM, *MONEY), float(np.log(np.average(gain, weights=weight))))


def _fit(
    X: pa.Table, loss: Loss, label: np.ndarray, weight: np.ndarray, wanted: Sequence[tuple[str, str]], start: float
) -> Margin:
    """Terms on standardised shapes, their weights shrunk as by RIDGE rows of evidence."""
    terms = [term for name, shape in wanted if name in X.column_names for term in _term(X, name, shape, weight)]
    Z = np.column_stack([np.ones(X.num_rows), *(term.contribution(X) for term in terms)])
    found = minimize(
        partial(_penalised, loss=loss, label=label, weight=weight, Z=Z),
        np.r_[start, np.zeros(len(terms))],
        jac=True,
        method="L-BFGS-B",
    ).x
    told = (Term(t.feature, t.shape, t.scale, t.centre, t.weight * b) for t, b in zip(terms, found[1:], strict=True))
    return Margin(float(found[0]), tuple(told))


def _penalised(
    b: np.ndarray, loss: Loss, label: np.ndarray, weight: np.ndarray, Z: np.ndarray
) -> tuple[float, np.ndarray]:
    each, slope = loss(label, Z @ b)
    ridge = RIDGE * np.r_[0.0, b[1:]]
    total = weight.sum()
    return float(weight @ each + ridge @ b / 2) / total, ((weight * slope) @ Z + ridge) / total


def _term(X: pa.Table, name: str, shape: str, weight: np.ndarray) -> list[Term]:
    """The standardised term of a feature; none where it never varies or is never known."""
    values = X[name].to_numpy().astype(np.float64)
    some = values[values > 0]
    scale = float(np.mean(some)) if len(some) else 1.0
    shaped = Term(name, shape, scale, 0.0, 1.0).transform(values)
    known = np.isfinite(shaped)
    if not known.any() or np.ptp(shaped[known]) < SMALLEST:
        return []
    centre = float(np.average(shaped[known], weights=weight[known]))
    width = float(np.sqrt(np.average((shaped[known] - centre) ** 2, weights=weight[known])))
    return [Term(name, shape, scale, centre, 1 / width)]
