"""The level of the next cutoff, forecast from the levels of earlier ones by a small structural time series model.

A level is what all customers of a cutoff share: the shift of a fitted model's margins that makes its total right there.
A series of levels has few points, so the model is computed directly as a Gaussian process. Its parts are a lasting
level, a wandering one, a season, and a shock that does not come again. How large they are is not estimated but averaged
over by the evidence of the series (Bayesian model averaging: Hoeting and others, Statistical Science 14, 1999), so a
short or contradicting series forecasts almost no shift, with a large error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from features.task import Window

YEAR_DAYS = 365.25
SIZES = (0.03, 0.08, 0.2, 0.5)  # standard deviations of a level
STRUCTURES = (  # shares of the variance: lasting, wandering, season, shock; and the structure's prior weight
    (0.0, 0.0, 0.0, 1.0, 1.0),
    (0.5, 0.0, 0.0, 0.5, 1.0),
    (0.0, 0.8, 0.0, 0.2, 1.0),
    (0.0, 0.1, 0.8, 0.1, 2.0),
    (0.2, 0.3, 0.3, 0.2, 1.0),
)
WANDERING_HORIZONS = 4.0  # after so many horizons the correlation of the wandering part has fallen to 1 / e
SEASON_WIDTH = 0.7  # of the periodic kernel: smaller ones allow more peaks a year
ROUNDING = 1e-6  # variance that keeps matrices invertible
PSEUDO_ROWS = 1.0  # weight of no shift, in rows of information
HALVINGS = 40  # of the search for the end of an interval


@dataclass(frozen=True)
class Shift:
    """The shift expected at the next cutoff, and how far the actual one may lie from it.

    Attributes:
        shift: Expected.
        error: Standard deviation of the normal distribution that gives the same interval around `shift` as the
            forecast's own distribution, at the probability that was asked for.
    """

    shift: float
    error: float


@dataclass(frozen=True)
class LevelSeries:
    """The levels of some cutoffs.

    Attributes:
        days: The cutoffs (c,) as days since 1970-01-01, ascending.
        shifts: Their levels (c,).
        variances: Of the levels (c,), from the chance of single customers alone.
    """

    days: np.ndarray
    shifts: np.ndarray
    variances: np.ndarray

    def at(self, dates: np.ndarray) -> np.ndarray:
        """The levels (n,) of rows from some of these cutoffs (n,).

        >>> LevelSeries(np.array([10, 40]), np.array([0.5, -0.1]), np.zeros(2)).at(np.array([40, 10, 40])).tolist()
        [-0.1, 0.5, -0.1]
        """
        return self.shifts[np.searchsorted(self.days, dates)]


def unknown_level(horizon: Window, inside: float) -> Shift:
    """The forecast of a level when none was seen; `inside` as in `forecast_level`."""
    return forecast_level(LevelSeries(np.empty(0), np.empty(0), np.empty(0)), 0.0, horizon, inside=inside)


def churn_levels(margin: np.ndarray, churned: np.ndarray, dates: np.ndarray) -> LevelSeries:
    """The shift of the log-odds at each cutoff with which as many customers churn as did.

    Args:
        margin: Log-odds (n,) of a model.
        churned: Labels (n,), 0 or 1.
        dates: Cutoffs (n,) in days.

    Returns:
        The levels.
    """
    days = np.unique(dates)
    fits = [_logistic_shift(margin[dates == day], churned[dates == day]) for day in days]
    return LevelSeries(days, np.array([shift for shift, _ in fits]), np.array([variance for _, variance in fits]))


def money_levels(margin: np.ndarray, money: np.ndarray, dates: np.ndarray) -> LevelSeries:
    """Log(total actual / total expected) at each cutoff.

    Money has heavy tails: at a cutoff where no rare large amount happened to fall, the error that its own rows show is
    too small. So one variance function, proportional to the expected money to the power 1.5, serves all cutoffs.

    Args:
        margin: Logs of expected money (n,).
        money: Actual money (n,); a total below 0 counts as 0.
        dates: Cutoffs (n,) in days.

    Returns:
        The levels.
    """
    days, place = np.unique(dates, return_inverse=True)
    expected = np.exp(margin)
    total, actual = np.bincount(place, expected), np.maximum(np.bincount(place, money), 0.0)
    rows = np.bincount(place)
    pseudo = PSEUDO_ROWS * total / rows
    shifts = np.log((actual + pseudo) / (total + pseudo))
    expected = expected * np.exp(shifts)[place]
    dispersion = float(np.mean((money - expected) ** 2 / expected**1.5))
    return LevelSeries(days, shifts, dispersion * np.bincount(place, expected**1.5) / np.bincount(place, expected) ** 2)


def forecast_level(
    levels: LevelSeries, target: float, horizon: Window, doubt: float = 1.0, inside: float = 0.8
) -> Shift:
    """Forecasts the level of a later cutoff.

    Levels of cutoffs less than a horizon apart share days, so both their shocks and their errors are correlated by the
    share of the horizon that they have in common. The mixture of all structures and sizes has heavier tails than a
    normal distribution, so its standard deviation would make an interval of 80% too wide.

    Args:
        levels: Of earlier cutoffs; may be empty.
        target: The later cutoff in days.
        horizon: Of the labels.
        doubt: Prior weight of a level that is only shock, so cannot be forecast; the others together have 5.
        inside: The probability of the interval that the error is for, in (0, 1).

    Returns:
        Mean and error of the mixture.

    >>> months = LevelSeries(np.arange(0, 360, 90), np.full(4, 0.2), np.full(4, 1e-4))
    >>> one = LevelSeries(np.array([270]), np.array([0.2]), np.array([1e-4]))
    >>> 0 < forecast_level(one, 360, Window(90)).shift < forecast_level(months, 360, Window(90)).shift < 0.2
    True
    """
    apart = (levels.days[:, None] - levels.days[None, :]).astype(float)
    noise = np.sqrt(np.outer(levels.variances, levels.variances)) * _common_share(apart, horizon)
    noise += ROUNDING * np.eye(len(apart))
    means, variances, evidence = [], [], []
    for size in SIZES:
        for *shares, weight in STRUCTURES:
            within = np.linalg.cholesky(size**2 * _correlation(apart, horizon, shares) + noise)
            ahead = size**2 * _correlation(target - levels.days.astype(float), horizon, shares)
            shocks, weights = np.linalg.solve(within, levels.shifts), np.linalg.solve(within, ahead)
            means.append(float(weights @ shocks))
            variances.append(size**2 * sum(shares) - float(weights @ weights))
            prior = doubt if shares[-1] == 1.0 else weight
            evidence.append(np.log(prior) - float(shocks @ shocks) / 2 - float(np.log(np.diag(within)).sum()))
    chance = np.exp(np.array(evidence) - max(evidence))
    chance /= chance.sum()
    mean = float(chance @ means)
    half_width = _half_width(np.array(means) - mean, np.sqrt(variances), chance, inside)
    return Shift(mean, half_width / float(norm.ppf((1 + inside) / 2)))


def _half_width(means: np.ndarray, deviations: np.ndarray, chance: np.ndarray, inside: float) -> float:
    """Half the width of the interval around 0 that holds a share of a mixture of normal distributions (k,).

    >>> round(_half_width(np.zeros(1), np.ones(1), np.ones(1), 0.8), 3)
    1.282
    """
    low, high = 0.0, float(np.max(np.abs(means) + 10 * deviations))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        share = chance @ (norm.cdf((middle - means) / deviations) - norm.cdf((-middle - means) / deviations))
        low, high = (middle, high) if share < inside else (low, middle)
    return high


def _correlation(apart: np.ndarray, horizon: Window, shares: list[float]) -> np.ndarray:
    """The correlation of levels some days apart, by the shares of the parts."""
    lasting, wandering, season, shock = shares
    return (
        lasting
        + wandering * np.exp(-np.abs(apart) / (WANDERING_HORIZONS * horizon.days))
        + season * np.exp(-2 * (np.sin(np.pi * apart / YEAR_DAYS) / SEASON_WIDTH) ** 2)
        + shock * _common_share(apart, horizon)
    )


def _common_share(apart: np.ndarray, horizon: Window) -> np.ndarray:
    """The share of the horizon that labels some days apart have in common."""
    return np.maximum(1 - np.abs(apart) / horizon.days, 0.0)


def _logistic_shift(margin: np.ndarray, outcome: np.ndarray) -> tuple[float, float]:
    """The likeliest shift of log-odds (n,), pulled to 0 by PSEUDO_ROWS, and its variance; by Newton's method."""
    shift = information = 0.0
    for _ in range(25):
        p = expit(margin + shift)
        information = float((p * (1 - p)).sum()) + PSEUDO_ROWS
        step = float(np.clip(((outcome - p).sum() - PSEUDO_ROWS * shift) / information, -1, 1))
        shift += step
        if abs(step) < 1e-9:
            break
    return shift, 1 / information
