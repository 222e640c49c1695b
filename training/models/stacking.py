"""Several members as one model: weights that later cutoffs chose, drawn towards equal ones where these say little.

A member is a margin. The sum of members with weights is a margin again, so that what explains one explains all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from training.artifact.margin import Margin
from training.models.linear_prior import Loss, gain_loss

PULL_TO_EQUAL = 0.005


def weighted_sum(members: Sequence[Margin], weights: Sequence[float]) -> Margin:
    """The weighted sum of members; those of weight 0 are left out.

    >>> both = weighted_sum([Margin(1.0), Margin(3.0)], [0.5, 0.5])
    >>> both.intercept
    2.0
    """
    kept = [(m, w) for m, w in zip(members, weights, strict=True) if w > 0]
    return Margin(
        intercept=sum(w * m.intercept for m, w in kept),
        terms=tuple(replace(term, weight=w * term.weight) for m, w in kept for term in m.terms),
        trees=tuple(text for m, _ in kept for text in m.trees),
        weights=tuple(w * v for m, w in kept for v in m.weights),
    )


def stacking_weights(margins: Sequence[np.ndarray], labels: Sequence[np.ndarray], loss: Loss) -> np.ndarray:
    """Weights (k,) of members, not negative and summing to one, by their loss on later cutoffs.

    The mean of loss is taken in each cutoff by itself, with the best level for it, as level is not what members are
    chosen for. A quadratic pull towards equal weights, which halves with twice the cutoffs, keeps one cutoff's luck
    from deciding (stacking: Wolpert, Neural Networks 5, 1992).

    Args:
        margins: Of every later cutoff, (n, k).
        labels: Of the same, (n,).
        loss: Of a row, and its slope.
    """
    k = margins[0].shape[1]
    equal = np.full(k, 1 / k)

    def objective(w: np.ndarray) -> float:
        each = [_levelled(loss, label, m @ w) for m, label in zip(margins, labels, strict=True)]
        return float(np.mean(each)) + PULL_TO_EQUAL / len(margins) * float(((w - equal) ** 2).sum())

    found = minimize(
        objective,
        equal,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"ftol": 1e-9},
    )
    weights = np.where(found.x < 1e-3, 0.0, found.x)
    return weights / weights.sum()


def money_stacking_weights(margins: Sequence[np.ndarray], came: Sequence[np.ndarray]) -> np.ndarray:
    """Weights (k,) of members whose margins (n, k) are logs of expected money, by Tweedie deviance; see `stack`.

    The money (n,) of each later cutoff is measured in its mean, so that no currency decides how much is pulled.
    """
    means = [max(float(money.mean()), 1e-12) for money in came]
    scaled = [margin - np.log(mean) for margin, mean in zip(margins, means, strict=True)]
    return stacking_weights(scaled, [money / mean for money, mean in zip(came, means, strict=True)], gain_loss)


def _levelled(loss: Loss, label: np.ndarray, margin: np.ndarray) -> float:
    """Mean loss with the best shift of the margin, by Newton's steps."""
    shift = 0.0
    for _ in range(8):
        slope = loss(label, margin + shift)[1].mean()
        bend = (loss(label, margin + shift + 1e-4)[1].mean() - slope) / 1e-4
        if bend < 1e-9 or abs(slope) < 1e-9:
            break
        shift -= float(np.clip(slope / bend, -1, 1))
    return float(loss(label, margin + shift)[0].mean())
