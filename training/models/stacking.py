"""Stacking: base models combined into one by weights that are fitted to out-of-time predictions.

A base model is a margin. A weighted sum of margins is a margin again, so one explanation method serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from training.artifact.margin import Margin
from training.models.linear_prior import Loss, gain_loss

PULL_TO_EQUAL = 0.005


def weighted_sum(margins: Sequence[Margin], weights: Sequence[float]) -> Margin:
    """The weighted sum of base models; those of weight 0 are left out.

    >>> both = weighted_sum([Margin(1.0), Margin(3.0)], [0.5, 0.5])
    >>> both.intercept
    2.0
    """
    kept = [(m, w) for m, w in zip(margins, weights, strict=True) if w > 0]
    return Margin(
        intercept=sum(w * m.intercept for m, w in kept),
        terms=tuple(replace(term, weight=w * term.weight) for m, w in kept for term in m.terms),
        trees=tuple(text for m, _ in kept for text in m.trees),
        weights=tuple(w * v for m, w in kept for v in m.weights),
    )


def stacking_weights(margins: Sequence[np.ndarray], labels: Sequence[np.ndarray], loss: Loss) -> np.ndarray:
    """Stacking weights that minimise the loss on later cutoffs (Wolpert, Neural Networks 5, 1992).

    The loss is averaged within each cutoff, after the best shift of the margin for that cutoff, because weights are not
    to correct the level. A quadratic penalty pulls the weights towards equal ones; it halves when the cutoffs double,
    so a single cutoff decides little.

    Args:
        margins: Out-of-time margins (n, k) at each cutoff.
        labels: Labels (n,) at each cutoff.
        loss: Loss and slope of each row.

    Returns:
        Weights (k,), not negative, summing to one.
    """
    k = margins[0].shape[1]
    equal = np.full(k, 1 / k)

    def objective(w: np.ndarray) -> float:
        each = [_loss_at_best_level(loss, label, m @ w) for m, label in zip(margins, labels, strict=True)]
        return float(np.mean(each)) + PULL_TO_EQUAL / len(margins) * float(((w - equal) ** 2).sum())

    solution = minimize(
        objective,
        equal,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-9},
    )
    weights = np.where(solution.x < 1e-3, 0.0, solution.x)
    return weights / weights.sum()


def money_stacking_weights(margins: Sequence[np.ndarray], actual: Sequence[np.ndarray]) -> np.ndarray:
    """Stacking weights (k,) for margins (n, k) that are logs of expected money, by Tweedie deviance.

    The actual money (n,) at each cutoff is divided by its mean, so that the penalty does not depend on the currency.
    See `stacking_weights`.
    """
    means = [max(float(money.mean()), 1e-12) for money in actual]
    scaled = [margin - np.log(mean) for margin, mean in zip(margins, means, strict=True)]
    return stacking_weights(scaled, [money / mean for money, mean in zip(actual, means, strict=True)], gain_loss)


def _loss_at_best_level(loss: Loss, label: np.ndarray, margin: np.ndarray) -> float:
    """Mean loss after the best shift of the margin, by Newton's method."""
    shift = 0.0
    for _ in range(8):
        slope = loss(label, margin + shift)[1].mean()
        curvature = (loss(label, margin + shift + 1e-4)[1].mean() - slope) / 1e-4
        if curvature < 1e-9 or abs(slope) < 1e-9:
            break
        shift -= float(np.clip(slope / curvature, -1, 1))
    return float(loss(label, margin + shift)[0].mean())
