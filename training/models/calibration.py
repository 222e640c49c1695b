"""Calibration of probabilities and totals on later cutoffs than those that the model learned from.

Probabilities are calibrated by Platt scaling, which is smooth, so that explanations can follow it exactly. One later
cutoff may show no more than its season, so slope, intercept and level are estimated from all later cutoffs together.
They are shrunk towards no change: the more, the fewer the cutoffs are and the less they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

DRIFT = 0.10  # prior standard deviation of a cutoff's shift around the lasting shift
BELIEF = 0.10  # prior standard deviation of the lasting shift
DRIFT_PER_HORIZON = 0.20  # standard deviation of the lasting shift's change from one horizon to the next
SEASON = 0.70  # share of the variance between cutoffs that repeats a year later


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
class Shift:
    """The shift expected at the next cutoff, and the standard deviation of the actual shift around it."""

    shift: float
    error: float


def predict_shift(
    shifts: Sequence[float], errors: Sequence[float], ages: Sequence[float], same_season: Sequence[bool] = ()
) -> Shift:
    """Predicts the next cutoff's shift from the shifts at several earlier cutoffs.

    A random-effects mean (DerSimonian and Laird, Controlled Clinical Trials 7, 1986) with a prior: shifts vary around a
    lasting shift with standard deviation DRIFT; the lasting shift has mean 0 and standard deviation BELIEF, and it
    drifts, so older cutoffs count less. A shift of 0 counts as one more cutoff, so a large shift at a single cutoff is
    taken for variation rather than a lasting shift. Most of the variation between cutoffs is seasonal, so a cutoff with
    the season of the next one also predicts that part (best linear prediction: Henderson, Biometrics 31, 1975).

    Args:
        shifts: Shifts (c,).
        errors: Their standard errors (c,) from sampling alone.
        ages: Ages (c,) of the cutoffs in horizons; see `fold_ages`.
        same_season: Which cutoffs (c,) have the season of the next cutoff; none by default.

    Returns:
        The expected shift and its standard deviation.

    >>> predict_shift([0.2], [0.01], [0]).shift < predict_shift([0.2, 0.2], [0.01, 0.01], [0, 1]).shift < 0.2
    True
    >>> abs(predict_shift([0.3, -0.3], [0.01, 0.01], [0, 0]).shift) < 0.05
    True
    >>> predict_shift([0.3, -0.3], [0.01, 0.01], [0, 0], [True, False]).shift > 0.15
    True
    """
    if not shifts:
        return Shift(0.0, float(np.hypot(DRIFT, BELIEF)))
    observed, noise = np.array(shifts), np.array(errors) ** 2 + DRIFT_PER_HORIZON**2 * np.array(ages)
    weight = 1 / (noise + DRIFT**2)
    centre = float(weight @ observed / (weight.sum() + 1 / DRIFT**2))
    excess = float(np.maximum((observed - centre) ** 2 - noise, 0).sum()) + centre**2
    between = (DRIFT**2 + excess) / (len(observed) + 1)
    same = np.array(same_season or [False] * len(observed), float)
    shared = BELIEF**2 + SEASON * between * same
    seasons = SEASON * between * (np.outer(same, same) + np.diag(1 - same))
    within = BELIEF**2 + seasons + np.diag(noise + (1 - SEASON) * between)
    weights = np.linalg.solve(within, shared)
    return Shift(float(weights @ observed), float(np.sqrt(BELIEF**2 + between - weights @ shared)))


def fit_platt(
    margins: Sequence[np.ndarray],
    outcomes: Sequence[np.ndarray],
    ages: Sequence[float],
    same_season: Sequence[bool] = (),
) -> Platt:
    """Fits slope and intercept to all later cutoffs together; see `predict_shift`.

    A single cutoff does not show whether a shift is seasonal or lasting, so it gives a slope but no shift.

    Args:
        margins: Out-of-time log-odds (n,) at each cutoff, the newest cutoff first.
        outcomes: 0 or 1 (n,) at each cutoff.
        ages: See `predict_shift`.
        same_season: See `predict_shift`.

    Returns:
        The calibrator; no change if there are no cutoffs.
    """
    if not margins:
        return Platt()
    fits = [_fit_logistic(margin, outcome) for margin, outcome in zip(margins, outcomes, strict=True)]
    slope = predict_shift([b[1] - 1 for b, _ in fits], [e[1] for _, e in fits], ages).shift
    lifts, errors = [b[0] for b, _ in fits], [e[0] for _, e in fits]
    lift = predict_shift(lifts, errors, ages, same_season).shift if len(fits) > 1 else 0.0
    return Platt(1 + slope, lift - slope * float(margins[0].mean()))


def fit_level(
    predicted: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    ages: Sequence[float],
    same_season: Sequence[bool] = (),
) -> Shift:
    """Estimates log(total actual / total expected) from all later cutoffs together; see `predict_shift`.

    A single cutoff does not show whether a shift is seasonal or lasting: it gives an error but no shift.

    Args:
        predicted: Out-of-time expected values (n,) at each cutoff.
        actual: Actual values (n,) at each cutoff, not below 0.
        ages: See `predict_shift`.
        same_season: See `predict_shift`.

    Returns:
        The level's shift and its standard deviation.
    """
    cutoffs = zip(predicted, actual, ages, same_season or [False] * len(predicted), strict=True)
    usable = [(p, a, age, same) for p, a, age, same in cutoffs if p.sum() > 0 and a.sum() > 0]
    shifts = [float(np.log(a.sum() / p.sum())) for p, a, *_ in usable]
    errors = [float(np.sqrt(((a - p * a.sum() / p.sum()) ** 2).sum()) / a.sum()) for p, a, *_ in usable]
    shift = predict_shift(shifts, errors, [age for *_, age, _ in usable], [same for *_, same in usable])
    return shift if len(usable) > 1 else Shift(0.0, float(np.hypot(shift.error, shift.shift)))


def _fit_logistic(margin: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits a logistic regression of the outcome on the margin by Newton's method.

    Returns:
        (2,) the change of the log-odds at the mean margin, and the slope around it; (2,) their standard errors.
    """
    Z = np.column_stack([np.ones(len(margin)), margin - margin.mean()])
    b = np.array([margin.mean(), 1.0])
    ridge = np.diag([0.0, 1.0])
    for _ in range(25):
        p = expit(Z @ b)
        gradient = Z.T @ (outcome - p) - ridge @ (b - [0.0, 1.0])
        hessian = (Z * (p * (1 - p))[:, None]).T @ Z + ridge + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, gradient), -1, 1)
        b = b + step
        if np.abs(step).max() < 1e-9:
            break
    return np.array([b[0] - margin.mean(), b[1]]), np.sqrt(np.diag(np.linalg.inv(hessian)))
