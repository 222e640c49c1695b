"""Probabilities, totals and intervals that hold on a later cutoff than the one learned from.

The calibrator of probabilities is Platt's: smooth, so that explanations can follow it exactly. All three are shrunk
towards 'change nothing', by an amount that a few hundred customers outweigh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

SHRINK = 20.0
LEVEL_SHRINK = 100.0
BINS = 10


@dataclass(frozen=True)
class Platt:
    """Calibrated log-odds as slope x margin + intercept (Platt, Advances in Large Margin Classifiers, 1999)."""

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, margin: np.ndarray) -> np.ndarray:
        """Calibrated probability (n,) of a margin (n,).

        >>> Platt(2.0, 0.0).probability(np.array([0.0]))
        array([0.5])
        """
        return expit(self.slope * margin + self.intercept)


def fit_platt(margin: np.ndarray, outcome: np.ndarray) -> Platt:
    """Maximum likelihood on a later cutoff, with a ridge of SHRINK customers towards slope 1 and intercept 0.

    Args:
        margin: Log-odds (n,) of a model that did not learn from these rows.
        outcome: 0 or 1 (n,).
    """

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        z = at[0] * margin + at[1]
        error = expit(z) - outcome
        ridge = SHRINK * np.array([at[0] - 1, at[1]])
        value = float(np.logaddexp(0, z).sum() - (outcome * z).sum() + ridge @ np.array([at[0] - 1, at[1]]) / 2)
        return value, np.array([error @ margin, error.sum()]) + ridge

    best = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.05, 20.0), (-10.0, 10.0)])
    return Platt(float(best.x[0]), float(best.x[1]))


def fit_level(predicted: np.ndarray, actual: np.ndarray, bought: int) -> float:
    """The log of the factor by which totals were off on a later cutoff, shrunk towards 0.

    Args:
        predicted: Expected values (n,).
        actual: What came (n,), not below 0.
        bought: How many customers bought: the evidence.
    """
    if not (predicted.sum() > 0 and actual.sum() > 0):
        return 0.0
    return float(np.log(actual.sum() / predicted.sum()) * bought / (bought + LEVEL_SHRINK))


def fit_intervals(predicted: np.ndarray, actual: np.ndarray, inside: float) -> dict[str, Any]:
    """What came, by groups of equal size in the predicted value of a later cutoff.

    Args:
        predicted: Expected values (n,).
        actual: What came (n,).
        inside: Probability inside, in (0, 1).

    Returns:
        'centre' (median prediction of each group, ascending), 'low' and 'high' (quantiles of what came in it), and
        'inside'; ModelBundle.bounds joins them by straight lines.
    """
    order = np.argsort(predicted, kind="stable")
    groups = [g for g in np.array_split(order, min(BINS, max(1, len(order) // 20))) if len(g)]
    centre = np.maximum.accumulate([np.median(predicted[g]) for g in groups])
    low, high = zip(*(_quantiles(actual[g], inside) for g in groups), strict=True)
    return {"centre": [float(c) for c in centre], "low": list(low), "high": list(high), "inside": inside}


def _quantiles(actual: np.ndarray, inside: float) -> tuple[float, float]:
    """Low and high that hold `inside` of the values; where many are 0, low is 0 and all of the rest is cut on top."""
    tail = (1 - inside) / 2
    if float(np.mean(actual <= 0)) >= tail:
        return 0.0, float(np.quantile(actual, inside))
    return float(np.quantile(actual, tail)), float(np.quantile(actual, 1 - tail))
