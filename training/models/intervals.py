"""Intervals of what customers bring, from what came around what was expected on cutoffs that no model had seen.

What a customer spends, given that they return, is what was expected of them times a ratio whose distribution is that of
customers of like value; the gate says how likely nothing at all is. The probability asked of that distribution is
the one which held the promised share there: distributional conformal prediction. It was chosen over conformal residuals
because most values are 0 and the rest are skewed, so a width that is the same for all fits nobody.
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
    back: Sequence[np.ndarray],
    spend: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    inside: float,
    level_error: float,
) -> Spread:
    """The spread that held `inside` of the customers of later cutoffs, each at its own level, widened by the level's.

    What came of all of a later cutoff's customers together is set aside first, since it is one draw of the level and
    not thousands: the ratios are of customers to each other, and the level's own error widens them afterwards.

    Args:
        back: Probability of returning (n,), of each cutoff. Where it is 1, `spend` is what is expected of customers
            whether or not they return, and the ratios include 0.
        spend: Expected spend (n,) of those who return, above 0.
        actual: What came (n,), not below 0.
        inside: Probability that an interval is to hold, in (0, 1).
        level_error: See `Spread`.
    """
    levelled = [a / _level(b * s, a) for b, s, a in zip(back, spend, actual, strict=True)]
    plain = _plain(np.concatenate(back), np.concatenate(spend), np.concatenate(levelled), inside, level_error)
    return replace(plain, ratios=tuple(_widened(ratios, level_error) for ratios in plain.ratios))


def _level(expected: np.ndarray, actual: np.ndarray) -> float:
    """Total came over total expected; 1 where nothing came."""
    return float(actual.sum() / expected.sum()) if actual.sum() > 0 else 1.0


def _widened(ratios: Sequence[float], level_error: float) -> tuple[float, ...]:
    """Quantiles of a ratio times a level around 1, whose log is normal."""
    levels = np.exp(level_error * LEVELS)
    return tuple(float(q) for q in np.quantile(np.outer(levels, ratios), CHANCES))


def _plain(back: np.ndarray, spend: np.ndarray, actual: np.ndarray, inside: float, level_error: float) -> Spread:
    """The spread of customers around the level that they all had."""
    came = (actual > 0) | (back >= 1)
    value, ratio = (back * spend)[came], actual[came] / spend[came]
    order = np.argsort(value, kind="stable")
    groups = np.array_split(order, int(np.clip(len(order) // FEWEST, 1, GROUPS)))
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
    return replace(spread, nominal=_nominal(spread, back, spend, actual))


def _nominal(spread: Spread, back: np.ndarray, spend: np.ndarray, actual: np.ndarray) -> float:
    """The probability to ask for, so that `inside` of those come inside who return often enough to be missed at all."""
    low, high = 0.5 * spread.inside, 1 - 0.1 * (1 - spread.inside)
    for _ in range(30):
        middle = (low + high) / 2
        below, above = replace(spread, nominal=middle).interval(back, spend)
        open_ = 1 - back < middle
        held = np.mean((actual[open_] >= below[open_]) & (actual[open_] <= above[open_])) if open_.any() else 1.0
        low, high = (low, middle) if held >= spread.inside else (middle, high)
    return (low + high) / 2
