"""Calibration of probabilities and totals on later cutoffs than those that the model learned from.

Probabilities are calibrated by Platt scaling, which is smooth, so that explanations can follow it exactly. One later
cutoff may show no more than its season, so levels are forecast for the next cutoff from all later cutoffs
together (`level_forecast`): the fewer the cutoffs are and the less they agree, the nearer to no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy.special import expit

from features.task import Window
from training.models.level_forecast import LevelSeries, Shift, churn_levels, forecast_level, money_levels, unknown_level

EPOCH = date(1970, 1, 1)
DOUBT = 8.0  # see `forecast_level`: what can be forecast was forecast from the training cutoffs already
MONEY_NOISE = (
    4.0  # times the variance of single customers: who is far off is so at several cutoffs, which share customers
)


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


@dataclass(frozen=True)
class LaterCutoffs:
    """The later cutoffs that a model is calibrated on, and the cutoff that it is calibrated for.

    Attributes:
        days: The later cutoffs (c,).
        target: The next cutoff.
        horizon: Of the labels.
        inside: The probability of the intervals that errors of levels are for, in (0, 1).
    """

    days: tuple[date, ...]
    target: date
    horizon: Window
    inside: float

    def dates(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """The cutoffs of all rows as days since 1970-01-01, for rows (n,) in groups by cutoff."""
        days = [(day - EPOCH).days for day in self.days]
        return np.repeat(days, [len(group) for group in groups])

    def forecast(self, levels: LevelSeries) -> Shift:
        """Forecasts the level of the next cutoff."""
        return forecast_level(levels, (self.target - EPOCH).days, self.horizon, DOUBT, self.inside)


def fit_platt(margins: Sequence[np.ndarray], outcomes: Sequence[np.ndarray], cutoffs: LaterCutoffs) -> Platt:
    """Forecasts the shift of the log-odds from all later cutoffs together.

    Args:
        margins: Out-of-time log-odds (n,) at each cutoff.
        outcomes: 0 or 1 (n,) at each cutoff.
        cutoffs: The cutoffs.

    Returns:
        The calibrator; no change if there are no cutoffs.
    """
    if not margins:
        return Platt()
    levels = churn_levels(np.concatenate(margins), np.concatenate(outcomes), cutoffs.dates(margins))
    return Platt(1.0, cutoffs.forecast(levels).shift)


def fit_level(predicted: Sequence[np.ndarray], actual: Sequence[np.ndarray], cutoffs: LaterCutoffs) -> Shift:
    """Forecasts log(total actual / total expected) from all later cutoffs together.

    A shift needs strong evidence, so the chance of single customers counts MONEY_NOISE times for it. The error must not
    be explained away by chance, so it is the larger one with and without that.

    Args:
        predicted: Out-of-time expected values (n,), above 0, at each cutoff.
        actual: Actual values (n,) at each cutoff, not below 0.
        cutoffs: The cutoffs.

    Returns:
        The level's shift and its error.
    """
    if not predicted:
        return unknown_level(cutoffs.horizon, cutoffs.inside)
    levels = money_levels(np.log(np.concatenate(predicted)), np.concatenate(actual), cutoffs.dates(predicted))
    doubtful = cutoffs.forecast(replace(levels, variances=MONEY_NOISE * levels.variances))
    return replace(doubtful, error=max(doubtful.error, cutoffs.forecast(levels).error))
