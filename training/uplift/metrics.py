"""How well a score ranks customers by the effect of an action: Qini and uplift areas, calibration by decile.

Both kinds of curve take customers from the highest score down, equal scores together:

- Qini (Radcliffe, Using control groups to target on predicted lift, 2007): total outcome of the treated so far, minus
  that of the controls scaled to as many customers, `Y_t - Y_c n_t / n_c`;
- uplift: share targeted, times the mean effect among those targeted, from doubly robust scores. This is the gain of
  targeting a share, per customer of the full list.

An area is the mean height of a curve over all shares targeted, minus that of the straight line of random targeting.
`qini_area` is per customer of both arms: times 1,000 it is the incremental visits over random targeting per 1,000
customers of the experiment. `doubly_robust_area` is per customer targeted, about twice as much if half were treated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

DECILES = 10
NORMAL_95 = 1.96  # standard errors on each side of a 95% confidence interval of a normal estimate


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure with its 95% confidence interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of_estimate(cls, value: float, error: float) -> ConfidenceInterval:
        """The interval of a normal estimate with a standard error."""
        return cls(value, value - NORMAL_95 * error, value + NORMAL_95 * error)

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class ArmOutcomes:
    """The outcomes of one action's customers and of the control's.

    Attributes:
        outcome: Outcome (n,): 0 or 1, or money.
        treated: Whether each customer (n,) received the action.
        weight: Inverse probability of the arm received (n,); all equal if shares were fixed.
    """

    outcome: np.ndarray
    treated: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.outcome)

    def at(self, places: np.ndarray) -> ArmOutcomes:
        """Return the rows at some positions."""
        return ArmOutcomes(self.outcome[places], self.treated[places], self.weight[places])

    def difference(self) -> float:
        """Return the mean of the treated minus that of the controls."""
        return float(_difference(*(column.sum() for column in self.columns())))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return weight and weighted outcome (n,) of the treated, and of the controls; their sums give a difference."""
        t = self.weight * self.treated
        c = self.weight * ~self.treated
        return t, t * self.outcome, c, c * self.outcome


def arm_outcomes(outcome: np.ndarray, treated: np.ndarray, propensity: np.ndarray | None = None) -> ArmOutcomes:
    """Build the outcomes of two arms.

    Args:
        outcome: Outcome (n,).
        treated: Whether each customer (n,) received the action.
        propensity: Probability (n,) of the arm received; None: the same within each arm.

    Returns:
        The outcomes, weighted by inverse propensity.
    """
    weight = np.ones(len(outcome)) if propensity is None else 1 / propensity
    return ArmOutcomes(np.asarray(outcome, float), np.asarray(treated, bool), weight)


def qini_curve(outcomes: ArmOutcomes, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Qini curve: what ranking by a score brings, at every score that differs from the one before.

    Args:
        outcomes: The outcomes of the two arms (n customers).
        score: Score (n,); the highest comes first.

    Returns:
        Customers targeted (k,), and the additional outcome in total (k,); both start at 0.

    >>> outcomes = arm_outcomes(np.array([1, 0, 1, 0]), np.array([True, False, True, False]))
    >>> qini_curve(outcomes, np.array([4.0, 3.0, 2.0, 1.0]))[1].tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0]
    """
    order, ends = _steps(score)
    t, yt, c, yc = (np.cumsum(column[order])[ends] for column in outcomes.columns())
    scaled = np.divide(yc * t, c, out=np.zeros(len(c)), where=c > 0)
    return np.append(0.0, ends + 1.0), np.append(0.0, yt - scaled)


def qini_area(outcomes: ArmOutcomes, score: np.ndarray) -> float:
    """Return the area between the Qini curve and the line of random targeting, in the outcome's unit per customer.

    Args:
        outcomes: The outcomes of the two arms (n customers).
        score: Score (n,); the highest comes first.

    Returns:
        The area; 0 for a score that knows nothing about the effect, on average.
    """
    count, height = qini_curve(outcomes, score)
    n = len(outcomes)
    return float((_mean_height(count / n, height) - height[-1] / 2) / n)


def doubly_robust_area(psi: np.ndarray, score: np.ndarray) -> float:
    """Return the area between the uplift curve and the line of random targeting, in the outcome's unit per customer.

    Args:
        psi: Doubly robust scores (n,) of the effect.
        score: What customers are ranked by (n,).

    Returns:
        The area.
    """
    order, ends = _steps(score)
    gain = np.append(0.0, np.cumsum(psi[order])[ends] / len(psi))
    return _mean_height(np.append(0.0, (ends + 1) / len(psi)), gain) - float(gain[-1]) / 2


def cluster_bootstrap(
    figure: Callable[[np.ndarray], float], units: np.ndarray, resamples: int, seed: int
) -> ConfidenceInterval:
    """Return a figure with its 95% percentile interval over resamples of units, each unit with all of its rows.

    Args:
        figure: Computes the figure from the rows at some positions (m,).
        units: Unit (customer) of each row (n,), as codes from 0.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        The figure of all rows, with its interval.
    """
    order = np.argsort(units, kind="stable")
    begins = np.searchsorted(units[order], np.arange(units.max() + 2))
    rng, figures = np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = rng.integers(len(begins) - 1, size=len(begins) - 1)
        lengths = begins[drawn + 1] - begins[drawn]
        starts = np.repeat(begins[drawn] - np.append(0, np.cumsum(lengths)[:-1]), lengths)
        figures.append(figure(order[starts + np.arange(lengths.sum())]))
    low, high = np.quantile(figures, [0.025, 0.975])
    return ConfidenceInterval(figure(np.arange(len(units))), float(low), float(high))


def clustered_standard_error(values: np.ndarray, units: np.ndarray) -> float:
    """Return the standard error of the mean of values (n,) that are correlated within a unit.

    >>> round(clustered_standard_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])), 4)
    0.5
    """
    sums = np.bincount(units, values - values.mean())
    sums = sums[np.bincount(units) > 0]
    count = len(sums)
    return float(np.sqrt((sums**2).sum() * count / max(count - 1, 1)) / len(values))


def effect_calibration(psi: np.ndarray, predicted: np.ndarray, units: np.ndarray) -> pd.DataFrame:
    """Compare predicted effects with doubly robust scores, in ten groups by predicted effect.

    Args:
        psi: Doubly robust scores (n,).
        predicted: Predicted effects (n,).
        units: Unit (customer) of each row (n,), as codes from 0.

    Returns:
        group (1: lowest), customers, said (mean predicted effect), found (mean score), low, high (95% confidence
        interval of found); fewer groups if there are few distinct predictions.
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, DECILES + 1)[1:-1], method="lower"))
    groups = np.searchsorted(edges, predicted, side="right")
    rows = []
    for number, group in enumerate(np.unique(groups)):
        inside = groups == group
        mean, error = float(psi[inside].mean()), clustered_standard_error(psi[inside], units[inside])
        row = {
            "group": number + 1,
            "customers": int(inside.sum()),
            "said": float(predicted[inside].mean()),
            "found": mean,
        }
        interval = ConfidenceInterval.of_estimate(mean, error)
        rows.append(row | {"low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def _steps(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions from the highest score down, and the last position of each run of equal scores."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def _difference(t: np.ndarray, yt: np.ndarray, c: np.ndarray, yc: np.ndarray) -> np.ndarray:
    treated = np.divide(yt, t, out=np.zeros(np.shape(t)), where=t > 0)
    return np.asarray(treated - np.divide(yc, c, out=np.zeros(np.shape(c)), where=c > 0))


def _mean_height(share: np.ndarray, height: np.ndarray) -> float:
    """Area under straight lines between the steps."""
    return float(((height[1:] + height[:-1]) / 2 * np.diff(share)).sum())
