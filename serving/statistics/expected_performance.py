"""Expected metrics of a scored cutoff before labels exist, and realised metrics once they do, all with 95% intervals.

Expected metrics assume that the probabilities are calibrated (confidence-based performance estimation: Guillory et
al., ICCV 2021; Bialek et al., Estimating Model Performance Under Covariate Shift Without Labels, 2024). The expected
Brier score is then the mean of p (1 - p). The expected AUC is the share of pairs in the right order, each pair weighted
by the probability that it is one of a churner and a stayer. Their intervals cover 95% of the metrics that such cutoffs
would have: they include the chance of each customer, and the usual shift of a cutoff in log-odds (SHIFT).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from serving.statistics.proportions import LEVEL, Estimate, wilson_estimate
from training.artifact.spread import Spread

DRAWS, MAX_SAMPLE = 300, 20_000
SHIFT = 0.1414  # usual standard deviation of the log-odds that all customers of a cutoff share
EDGE = 1e-9


def expected_metrics(
    churn: np.ndarray, worth: np.ndarray | None, spread: Spread | None, seed: int, shift: float = SHIFT
) -> dict[str, Estimate]:
    """Metrics to expect of a scored cutoff, with prediction intervals.

    Args:
        churn: Predicted probability (n,) of churn.
        worth: Expected spend (n,) of each customer who returns; None without money.
        spread: Distribution of actual values around predicted ones; None without money.
        seed: Of the simulation.
        shift: Standard deviation of the shift in log-odds that all customers of a cutoff share.

    Returns:
        auc, brier, churn (share of customers who leave) and, with money, value (sum over customers).
    """
    p = np.clip(churn, EDGE, 1 - EDGE)
    simulated = _simulate_metrics(p, seed, shift)
    metrics = {
        "auc": _normal_interval(expected_auc(p), simulated["auc"]),
        "brier": _normal_interval(float(np.mean(p * (1 - p))), simulated["brier"]),
        "churn": _normal_interval(float(p.mean()), simulated["churn"]),
    }
    if worth is not None and spread is not None:
        low, high = replace(spread, inside=LEVEL).total_interval(1 - churn, worth)
        metrics["value"] = Estimate(float(((1 - churn) * worth).sum()), low, high)
    return metrics


def realised_metrics(churn: np.ndarray, churned: np.ndarray, value: np.ndarray | None) -> dict[str, Estimate]:
    """The same metrics from the labels of a scored cutoff, with confidence intervals.

    Intervals are DeLong's for the AUC (Biometrics 44, 1988; by midranks: Sun and Xu, IEEE Signal Processing Letters 21,
    2014), Wilson's for the share, and normal ones for the Brier score and the sum.

    Args:
        churn: Predicted probability (n,) of churn.
        churned: Label (n,), 0 or 1.
        value: Actual value (n,), not below 0; None without money.

    Returns:
        churn, brier, auc (left out if all customers have the same label) and, with money, value.
    """
    z, n = float(norm.isf((1 - LEVEL) / 2)), len(churn)
    metrics = {"churn": wilson_estimate(int(churned.sum()), n)}
    if 0 < churned.sum() < n:
        metrics["auc"] = _delong_auc(churn, churned, z)
    square = (churn - churned) ** 2
    brier, error = float(square.mean()), z * float(square.std() / np.sqrt(n))
    metrics["brier"] = Estimate(brier, max(brier - error, 0.0), brier + error)
    if value is not None:
        total, error = float(value.sum()), z * float(value.std()) * float(np.sqrt(n))
        metrics["value"] = Estimate(total, max(total - error, 0.0), total + error)
    return metrics


def expected_auc(p: np.ndarray) -> float:
    """Return the expected AUC of calibrated churn probabilities (n,); NaN for a single customer.

    >>> round(expected_auc(np.array([0.9, 0.1])), 3), expected_auc(np.array([0.5, 0.5, 0.5]))
    (0.988, 0.5)
    """
    levels, place = np.unique(p, return_inverse=True)
    left, stayed = (np.bincount(place, weights=w, minlength=len(levels)) for w in (p, 1 - p))
    both = np.bincount(place, weights=p * (1 - p), minlength=len(levels))  # nobody forms a pair with themselves
    pairs = p.sum() * (1 - p).sum() - both.sum()
    in_order = (left * (np.cumsum(stayed) - stayed)).sum() + (left * stayed - both).sum() / 2
    return float(in_order / pairs) if pairs > 0 else float("nan")


def _simulate_metrics(p: np.ndarray, seed: int, shift: float) -> Mapping[str, np.ndarray]:
    """Simulate metrics (DRAWS,) of cutoffs with these probabilities.

    Of more than MAX_SAMPLE customers a sample is used, which makes the intervals wider rather than narrower.
    """
    rng = np.random.default_rng(seed)
    q = p if len(p) <= MAX_SAMPLE else rng.permutation(p)[:MAX_SAMPLE]
    shifted = expit(logit(q) + shift * rng.standard_normal(DRAWS)[:, None])
    churned = rng.random(shifted.shape) < shifted
    left = churned.sum(axis=1)
    pairs = left * (len(q) - left)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (churned @ rankdata(q) - left * (left + 1) / 2) / np.where(pairs > 0, pairs, np.nan)
    return {"auc": auc, "brier": ((q - churned) ** 2).mean(axis=1), "churn": left / len(q)}


def _normal_interval(value: float, simulated: np.ndarray) -> Estimate:
    """A figure with a normal interval: a few hundred draws fix a standard deviation better than two quantiles."""
    finite = simulated[np.isfinite(simulated)]
    half = float(norm.isf((1 - LEVEL) / 2)) * float(finite.std()) if len(finite) else 0.0
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0))


def _delong_auc(score: np.ndarray, churned: np.ndarray, z: float) -> Estimate:
    ones, zeros = score[churned == 1], score[churned == 0]
    ranks = rankdata(np.concatenate([ones, zeros]))
    above = (ranks[: len(ones)] - rankdata(ones)) / len(zeros)
    below = 1 - (ranks[len(ones) :] - rankdata(zeros)) / len(ones)
    auc = float(above.mean())
    error = z * float(np.sqrt(sum(x.var(ddof=1) / len(x) for x in (above, below) if len(x) > 1)))
    return Estimate(auc, max(auc - error, 0.0), min(auc + error, 1.0))
