"""The effect of an action by its dose: one curve through the doses that were tried, rising and ever less steep.

The effect of a dose d is c + a (1 - exp(-b d / D)) / (1 - exp(-b)), where D is the largest dose that was tried. So a is
what the largest dose adds to none, and b says how soon more of it stops to help: with b near 0 the curve is a line.
Effects are shares of the outcome without an action. The prior: c is normal around 0, a is half-normal (more of a dose
never harms), both with the standard deviation SCALE, and each b of a grid is equally likely. The posterior is computed
on a grid of a and b, with c integrated in closed form; nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SCALE = 0.2  # of the prior: a fifth of the outcome
BENDS = (1e-6, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0)  # values of b
STEPS, WIDEST = 1600, 4.0  # of the grid of a, which ends at so many standard deviations


@dataclass(frozen=True)
class DoseCurve:
    """The posterior of a dose-response curve.

    Attributes:
        lowest, highest: The smallest and the largest dose that was tried.
        weights: (p,) probability of each point of the grid.
        slopes, bends: (p,) its a and its b.
        level: (p,) the mean of c given the point.
        variance: The variance of c given a point, the same for all.
    """

    lowest: float
    highest: float
    weights: np.ndarray
    slopes: np.ndarray
    bends: np.ndarray
    level: np.ndarray
    variance: float

    def at(self, dose: float) -> tuple[float, float]:
        """Return the posterior mean and standard deviation of the effect of a dose."""
        effects = self.level + self.slopes * _shape(np.array([dose / self.highest]), self.bends)[:, 0]
        mean = float(self.weights @ effects)
        return mean, float(np.sqrt(self.weights @ (effects - mean) ** 2 + self.variance))

    def covers(self, dose: float) -> bool:
        """Whether a dose lies between two that were tried; beyond them nothing is said."""
        return self.lowest <= dose <= self.highest


def fit_dose_curve(doses: Sequence[float], effects: Sequence[float], errors: Sequence[float]) -> DoseCurve:
    """Fit the curve to the estimated effects of several doses.

    Args:
        doses: (k,) doses that were tried, the largest above 0.
        effects: (k,) their estimated effects, as shares of the outcome without an action.
        errors: (k,) the standard errors of these.

    Returns:
        The posterior of the curve.

    >>> curve = fit_dose_curve([0.1, 0.2, 0.4], [0.06, 0.10, 0.12], [0.01, 0.01, 0.01])
    >>> [round(curve.at(dose)[0], 2) for dose in (0.1, 0.3, 0.4)]
    [0.06, 0.11, 0.12]
    """
    dose, effect, error = (np.asarray(values, float) for values in (doses, effects, errors))
    slopes = SCALE * WIDEST * (np.arange(STEPS) + 0.5) / STEPS
    slopes, bends = (grid.ravel() for grid in np.meshgrid(slopes, np.array(BENDS)))
    precision = 1 / np.maximum(error, 1e-9) ** 2
    rest = effect - slopes[:, None] * _shape(dose / dose.max(), bends)  # what is left for c
    variance = 1 / (1 / SCALE**2 + precision.sum())
    level = variance * (rest @ precision)
    loglik = -0.5 * (rest**2 @ precision - level**2 / variance) - 0.5 * (slopes / SCALE) ** 2
    weights = np.exp(loglik - loglik.max())
    return DoseCurve(
        float(dose.min()), float(dose.max()), weights / weights.sum(), slopes, bends, level, float(variance)
    )


def dose_families(
    attributes: Mapping[str, Mapping[str, Hashable]], depths: Mapping[str, float | None]
) -> list[tuple[str, ...]]:
    """Group the actions that share every attribute but the depth; of each group at least two.

    Args:
        attributes: The attributes of each action besides its depth.
        depths: The depth of each action; None: it has no dose.

    Returns:
        The names of the actions of each family, by depth.

    >>> dose_families({"m10": {"channel": "mail"}, "m20": {"channel": "mail"}, "call": {}}, {"m10": 0.1, "m20": 0.2})
    [('m10', 'm20')]
    """
    families: dict[tuple[tuple[str, Hashable], ...], list[str]] = {}
    for name, values in attributes.items():
        if depths.get(name) is not None:
            families.setdefault(tuple(sorted(values.items())), []).append(name)
    ordered = (sorted(names, key=lambda name: (depths[name] or 0.0, name)) for names in families.values())
    return [tuple(names) for names in ordered if len(names) > 1]


def _shape(share: np.ndarray, bends: np.ndarray) -> np.ndarray:
    """(p, k) how much of the largest dose's effect a share (k,) of it has, for each b (p,)."""
    return np.asarray(np.expm1(-bends[:, None] * share) / np.expm1(-bends[:, None]))
