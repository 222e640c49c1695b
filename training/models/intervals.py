"""Prediction intervals of customers' values, from actual and expected values at cutoffs that no model had seen.

The spend of a customer who returns is the expected spend times a ratio; the ratio's distribution is estimated from
customers of similar value. The classifier gives the probability of no spend at all. The probability asked of that
distribution is the one at which the intervals covered the wanted share: distributional conformal prediction. It was
chosen over conformal residuals because most values are 0 and the rest are skewed: one width for all fits nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from training.artifact.spread import Spread

CHANCES = tuple(float(c) for c in np.round(np.linspace(0, 1, 101), 2))
GROUPS, FEWEST = 5, 60
LEVELS = norm.ppf((np.arange(25) + 0.5) / 25)


def fit_spread(
    returns: Sequence[np.ndarray],
    spend: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    inside: float,
    level_error: float,
) -> Spread:
    """Fits the distribution of actual over expected values on later cutoffs, so that intervals cover a wanted share.

    Each cutoff's actual values are first divided by its level (total actual / total expected), because the level is one
    random number for all customers of a cutoff, not one for each. The level's error widens the ratios afterwards.

    Args:
        returns: Probability of returning (n,) at each cutoff. Where it is 1, `spend` is the expected value of all
            customers, returning or not, and the ratios include 0.
        spend: Expected spend (n,) of those who return, above 0, at each cutoff.
        actual: Actual values (n,) at each cutoff, not below 0.
        inside: The wanted coverage, in (0, 1).
        level_error: See `Spread`.

    Returns:
        The fitted distribution.
    """
    levelled = [a / _level_ratio(b * s, a) for b, s, a in zip(returns, spend, actual, strict=True)]
    spread = _fit_around_level(
        np.concatenate(returns), np.concatenate(spend), np.concatenate(levelled), inside, level_error
    )
    return replace(spread, ratios=tuple(_widen_ratios(ratios, level_error) for ratios in spread.ratios))


def _level_ratio(expected: np.ndarray, actual: np.ndarray) -> float:
    """Total actual over total expected; 1 if nothing was spent."""
    return float(actual.sum() / expected.sum()) if actual.sum() > 0 else 1.0


def _widen_ratios(ratios: Sequence[float], level_error: float) -> tuple[float, ...]:
    """Quantiles of the ratio times a log-normal level around 1."""
    levels = np.exp(level_error * LEVELS)
    return tuple(float(q) for q in np.quantile(np.outer(levels, ratios), CHANCES))


def _fit_around_level(
    returns: np.ndarray, spend: np.ndarray, actual: np.ndarray, inside: float, level_error: float
) -> Spread:
    """Fits the distribution of customers' values around their common level."""
    counts = (actual > 0) | (returns >= 1)
    value, ratio = (returns * spend)[counts], actual[counts] / spend[counts]
    order = np.argsort(value, kind="stable")
    groups = np.array_split(order, int(np.clip(len(order) // FEWEST, 1, min(GROUPS, len(np.unique(value))))))
    centres = np.maximum.accumulate([float(np.mean(np.log(value[g]))) for g in groups])
    spread = Spread(
        inside=inside,
        nominal=inside,
        chances=CHANCES,
        centres=tuple(float(c) for c in centres),
        ratios=tuple(tuple(float(q) for q in np.quantile(ratio[g], CHANCES)) for g in groups),
        squares=tuple(float(np.mean(ratio[g] ** 2)) for g in groups),
        level_error=level_error,
    )
    return replace(spread, nominal=_fit_nominal(spread, returns, spend, actual))


def _fit_nominal(spread: Spread, returns: np.ndarray, spend: np.ndarray, actual: np.ndarray) -> float:
    """The nominal coverage at which the intervals cover `inside` of the customers whose intervals are not just 0."""
    low, high = 0.5 * spread.inside, 1 - 0.1 * (1 - spread.inside)
    for _ in range(30):
        middle = (low + high) / 2
        below, above = replace(spread, nominal=middle).interval(returns, spend)
        can_miss = 1 - returns < middle
        covered = (
            np.mean((actual[can_miss] >= below[can_miss]) & (actual[can_miss] <= above[can_miss]))
            if can_miss.any()
            else 1.0
        )
        low, high = (low, middle) if covered >= spread.inside else (middle, high)
    return (low + high) / 2
