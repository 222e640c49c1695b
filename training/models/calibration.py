"""Probabilities and totals that hold on a later cutoff than the one learned from.

The calibrator of probabilities is Platt's: smooth, so that explanations can follow it exactly. What one later cutoff
shows may be its season's alone, so slope, intercept and level are those of all later cutoffs together, drawn towards
'change nothing' the more, the fewer they are and the less they agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

DRIFT = 0.10  # usual scatter (standard deviation) of the shift that one cutoff shows, where they cannot tell themselves
BELIEF = 0.10  # of the lasting shift behind them, before any was seen
DRIFT_PER_HORIZON = 0.20  # by which the lasting shift wanders from one horizon to the next
SEASON = 0.70  # share of the variance between cutoffs that comes back a year later


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
    """What to expect of the next cutoff: a shift, and the standard deviation of what comes around it."""

    shift: float
    error: float


def predict_shift(
    found: Sequence[float], errors: Sequence[float], ages: Sequence[float], season: Sequence[bool] = ()
) -> Shift:
    """What the shifts seen at several cutoffs say of the next one's.

    A random-effects mean (DerSimonian and Laird, Controlled Clinical Trials 7, 1986) with a prior: shifts scatter from
    cutoff to cutoff by about DRIFT, the lasting one is 0 give or take BELIEF, and it wanders, so older ones say less.
    No shift counts as one more cutoff, so what one cutoff alone shows is more likely scatter the larger it is. Where
    cutoffs disagree, most of it is their seasons', and one of the next cutoff's season shows its share of that, too
    (best linear prediction: Henderson, Biometrics 31, 1975).

    Args:
        found: Shifts (c,).
        errors: Their standard errors (c,), by chance alone.
        ages: How many horizons (c,) each lies further back than the newest one could.
        season: Which (c,) have the season of the next cutoff; none by default.

    >>> predict_shift([0.2], [0.01], [0]).shift < predict_shift([0.2, 0.2], [0.01, 0.01], [0, 1]).shift < 0.2
    True
    >>> abs(predict_shift([0.3, -0.3], [0.01, 0.01], [0, 0]).shift) < 0.05
    True
    >>> predict_shift([0.3, -0.3], [0.01, 0.01], [0, 0], [True, False]).shift > 0.15
    True
    """
    if not found:
        return Shift(0.0, float(np.hypot(DRIFT, BELIEF)))
    seen, noise = np.array(found), np.array(errors) ** 2 + DRIFT_PER_HORIZON**2 * np.array(ages)
    weight = 1 / (noise + DRIFT**2)
    about = float(weight @ seen / (weight.sum() + 1 / DRIFT**2))
    apart = float(np.maximum((seen - about) ** 2 - noise, 0).sum()) + about**2
    between = (DRIFT**2 + apart) / (len(seen) + 1)
    alike = np.array(season or [False] * len(seen), float)
    shared = BELIEF**2 + SEASON * between * alike
    seasons = SEASON * between * (np.outer(alike, alike) + np.diag(1 - alike))
    within = BELIEF**2 + seasons + np.diag(noise + (1 - SEASON) * between)
    told = np.linalg.solve(within, shared)
    return Shift(float(told @ seen), float(np.sqrt(BELIEF**2 + between - told @ shared)))


def fit_platt(
    margins: Sequence[np.ndarray], outcomes: Sequence[np.ndarray], ages: Sequence[float], season: Sequence[bool] = ()
) -> Platt:
    """Slope and intercept that later cutoffs show together; see `steady`.

    One cutoff alone cannot tell its season from a lasting shift, so it gives a slope but no shift.

    Args:
        margins: Log-odds of a model that did not learn from these rows, (n,) of each cutoff, the newest first.
        outcomes: 0 or 1, (n,) of each.
        ages: Of the cutoffs, and
        season: which have the next one's; see `steady`.
    """
    if not margins:
        return Platt()
    each = [_logistic(margin, outcome) for margin, outcome in zip(margins, outcomes, strict=True)]
    slope = predict_shift([b[1] - 1 for b, _ in each], [e[1] for _, e in each], ages).shift
    lifts, errors = [b[0] for b, _ in each], [e[0] for _, e in each]
    lift = predict_shift(lifts, errors, ages, season).shift if len(each) > 1 else 0.0
    return Platt(1 + slope, lift - slope * float(margins[0].mean()))


def fit_level(
    predicted: Sequence[np.ndarray], actual: Sequence[np.ndarray], ages: Sequence[float], season: Sequence[bool] = ()
) -> Shift:
    """The log of total came over total expected that later cutoffs show together; see `steady`.

    One cutoff alone cannot tell its season from a lasting shift: it only says how far totals may be off.

    Args:
        predicted: Expected values, (n,) of each cutoff.
        actual: What came, not below 0, (n,) of each.
        ages: Of the cutoffs, and
        season: which have the next one's; see `steady`.
    """
    cutoffs = zip(predicted, actual, ages, season or [False] * len(predicted), strict=True)
    told = [(p, a, age, alike) for p, a, age, alike in cutoffs if p.sum() > 0 and a.sum() > 0]
    found = [float(np.log(a.sum() / p.sum())) for p, a, *_ in told]
    errors = [float(np.sqrt(((a - p * a.sum() / p.sum()) ** 2).sum()) / a.sum()) for p, a, *_ in told]
    together = predict_shift(found, errors, [age for *_, age, _ in told], [alike for *_, alike in told])
    return together if len(told) > 1 else Shift(0.0, float(np.hypot(together.error, together.shift)))


def _logistic(margin: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lift at the mean margin and slope of log-odds (2,), and their standard errors (2,), by Newton's steps.

    The lift is what is to be added at the mean margin, the slope turns around it.
    """
    Z = np.column_stack([np.ones(len(margin)), margin - margin.mean()])
    b = np.array([margin.mean(), 1.0])
    ridge = np.diag([0.0, 1.0])
    for _ in range(25):
        p = expit(Z @ b)
        slope = Z.T @ (outcome - p) - ridge @ (b - [0.0, 1.0])
        bend = (Z * (p * (1 - p))[:, None]).T @ Z + ridge + 1e-9 * np.eye(2)
        step = np.clip(np.linalg.solve(bend, slope), -1, 1)
        b = b + step
        if np.abs(step).max() < 1e-9:
            break
    return np.array([b[0] - margin.mean(), b[1]]), np.sqrt(np.diag(np.linalg.inv(bend)))
