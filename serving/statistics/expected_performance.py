"""How good scores are expected to be before anything came of them, and how good they were: figures with intervals.

Expected figures take the probabilities at their word (confidence-based performance estimation: Guillory et al., ICCV
2021; Bialek et al., Estimating Model Performance Under Covariate Shift Without Labels, 2024): with calibrated ones the
Brier score is expected to be the mean of p (1 - p), and the AUC the share of pairs in order, each pair weighed by the
probability that it is one of a leaver and a stayer. Their intervals hold what would come of 95% of such cutoffs:
chance, customer by customer, and the shift in log-odds that a cutoff usually has (`training.models.calibration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from training.artifact.bundle import Spread
from training.models.calibration import BELIEF, DRIFT

LEVEL, DRAWS, MAX_SAMPLE = 0.95, 300, 20_000
SHIFT = float(np.hypot(DRIFT, BELIEF))
EDGE = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float
    high: float

    def holds(self, number: float) -> bool:
        """Whether a number lies inside."""
        return self.low <= number <= self.high


def expected_metrics(
    churn: np.ndarray, worth: np.ndarray | None, spread: Spread | None, seed: int, shift: float = SHIFT
) -> dict[str, Estimate]:
    """What is expected of a scored cutoff: auc, brier, churn (share that leaves) and, with money, value (the sum).

    Args:
        churn: Probability (n,) of churn.
        worth: Expected spend (n,) of those who return; None without money.
        spread: What comes around values; None without money.
        seed: Of the draws.
        shift: Standard deviation of what moves all log-odds of a cutoff together.
    """
    p = np.clip(churn, EDGE, 1 - EDGE)
    drawn = _draws(p, seed, shift)
    found = {
        "auc": _around(expected_auc(p), drawn["auc"]),
        "brier": _around(float(np.mean(p * (1 - p))), drawn["brier"]),
        "churn": _around(float(p.mean()), drawn["churn"]),
    }
    if worth is not None and spread is not None:
        low, high = replace(spread, inside=LEVEL).total(1 - churn, worth)
        found["value"] = Estimate(float(((1 - churn) * worth).sum()), low, high)
    return found


def realised_metrics(churn: np.ndarray, churned: np.ndarray, value: np.ndarray | None) -> dict[str, Estimate]:
    """What came of a scored cutoff, in the same figures; those that cannot be told (one fate only) are left out.

    Intervals are DeLong's for the AUC (Biometrics 44, 1988; by midranks: Sun and Xu, IEEE Signal Processing Letters 21,
    2014), Wilson's for the share, and normal ones for the Brier score and the sum.

    Args:
        churn: Probability (n,) that was said.
        churned: What came (n,), 0 or 1.
        value: What they brought (n,), not below 0; None without money.
    """
    z, n = float(norm.isf((1 - LEVEL) / 2)), len(churn)
    found = {"churn": wilson_estimate(int(churned.sum()), n)}
    if 0 < churned.sum() < n:
        found["auc"] = _delong(churn, churned, z)
    square = (churn - churned) ** 2
    brier, error = float(square.mean()), z * float(square.std() / np.sqrt(n))
    found["brier"] = Estimate(brier, max(brier - error, 0.0), brier + error)
    if value is not None:
        total, error = float(value.sum()), z * float(value.std()) * float(np.sqrt(n))
        found["value"] = Estimate(total, max(total - error, 0.0), total + error)
    return found


def expected_auc(p: np.ndarray) -> float:
    """The AUC that calibrated probabilities (n,) of churn are expected to have; NaN for a single customer.

    >>> round(expected_auc(np.array([0.9, 0.1])), 3), expected_auc(np.array([0.5, 0.5, 0.5]))
    (0.988, 0.5)
    """
    levels, place = np.unique(p, return_inverse=True)
    left, stayed = (np.bincount(place, weights=w, minlength=len(levels)) for w in (p, 1 - p))
    both = np.bincount(place, weights=p * (1 - p), minlength=len(levels))  # nobody is a pair with themselves
    pairs = p.sum() * (1 - p).sum() - both.sum()
    in_order = (left * (np.cumsum(stayed) - stayed)).sum() + (left * stayed - both).sum() / 2
    return float(in_order / pairs) if pairs > 0 else float("nan")


def wilson_estimate(count: int, n: int) -> Estimate:
    """A share with Wilson's interval (Journal of the American Statistical Association 22, 1927).

    >>> figure = wilson(50, 100)
    >>> figure.value, round(figure.low, 3), round(figure.high, 3)
    (0.5, 0.404, 0.596)
    """
    z2 = float(norm.isf((1 - LEVEL) / 2)) ** 2
    share = count / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    room = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Estimate(share, max(float(middle - room), 0.0), min(float(middle + room), 1.0))


def _draws(p: np.ndarray, seed: int, shift: float) -> Mapping[str, np.ndarray]:
    """Figures (DRAWS,) of what might come; of very many customers a sample is drawn, whose chance is the larger."""
    rng = np.random.default_rng(seed)
    q = p if len(p) <= MAX_SAMPLE else rng.permutation(p)[:MAX_SAMPLE]
    moved = expit(logit(q) + shift * rng.standard_normal(DRAWS)[:, None])
    came = rng.random(moved.shape) < moved
    left = came.sum(axis=1)
    pairs = left * (len(q) - left)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (came @ rankdata(q) - left * (left + 1) / 2) / np.where(pairs > 0, pairs, np.nan)
    return {"auc": auc, "brier": ((q - came) ** 2).mean(axis=1), "churn": left / len(q)}


def _around(value: float, drawn: np.ndarray) -> Estimate:
    """A figure with the normal interval of what was drawn, which a few hundred draws settle better than its ends."""
    told = drawn[np.isfinite(drawn)]
    room = float(norm.isf((1 - LEVEL) / 2)) * float(told.std()) if len(told) else 0.0
    return Estimate(value, max(value - room, 0.0), min(value + room, 1.0))


def _delong(score: np.ndarray, came: np.ndarray, z: float) -> Estimate:
    ones, zeros = score[came == 1], score[came == 0]
    ranks = rankdata(np.concatenate([ones, zeros]))
    above = (ranks[: len(ones)] - rankdata(ones)) / len(zeros)
    below = 1 - (ranks[len(ones) :] - rankdata(zeros)) / len(ones)
    auc = float(above.mean())
    error = z * float(np.sqrt(sum(x.var(ddof=1) / len(x) for x in (above, below) if len(x) > 1)))
    return Estimate(auc, max(auc - error, 0.0), min(auc + error, 1.0))
