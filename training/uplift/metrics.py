"""How well a score sorts customers by what an action changes for them: Qini and uplift curves, areas, deciles.

Two curves, with customers from the highest score down, ties taken together:

- Qini (Radcliffe, Using control groups to target on predicted lift, 2007): what came of the treated so far, less what
  came of the controls scaled to as many, `Y_t - Y_c n_t / n_c`;
- uplift: the share targeted, times the difference of the two arms' means among those targeted. This is what targeting
  a share brings for each customer of the whole list.

An area is the mean height of a curve over all shares targeted, less that of the straight line which random targeting
gives. `qini_area` is by customer of both arms, so times 1,000 it is incremental visits per 1,000 customers of the trial
over random; `area` is by customer targeted, about twice as much where half were treated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

DECILES = 10


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class ArmOutcomes:
    """The outcomes of one action's customers and of the control's.

    Attributes:
        outcome: What came (n,): 0 or 1, or money.
        treated: Whether the action was received (n,).
        weight: One over the probability of what was received (n,); equal ones for a trial of fixed shares.
    """

    outcome: np.ndarray
    treated: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.outcome)

    def at(self, places: np.ndarray) -> ArmOutcomes:
        """The rows at some places."""
        return ArmOutcomes(self.outcome[places], self.treated[places], self.weight[places])

    def difference(self) -> float:
        """Mean of the treated less that of the controls."""
        return float(_difference(*(column.sum() for column in self.columns())))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Sums of these make a difference: weight and weighted outcome of the treated, and of the controls."""
        t = self.weight * self.treated
        c = self.weight * ~self.treated
        return t, t * self.outcome, c, c * self.outcome


def arm_outcomes(outcome: np.ndarray, treated: np.ndarray, propensity: np.ndarray | None = None) -> ArmOutcomes:
    """Outcomes by arm; `propensity` (n,) of what was received, None: the same within each arm."""
    weight = np.ones(len(outcome)) if propensity is None else 1 / propensity
    return ArmOutcomes(np.asarray(outcome, float), np.asarray(treated, bool), weight)


def qini_curve(found: ArmOutcomes, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Customers targeted (k,) and the Qini (k,) there, from 0, at every score that differs from the one before.

    >>> outcomes = arm_outcomes(np.array([1, 0, 1, 0]), np.array([True, False, True, False]))
    >>> [steps.tolist() for steps in qini_curve(outcomes, np.array([4.0, 3.0, 2.0, 1.0]))]
    [[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 2.0, 2.0]]
    """
    order, ends = _steps(score)
    t, yt, c, yc = (np.cumsum(column[order])[ends] for column in found.columns())
    scaled = np.divide(yc * t, c, out=np.zeros(len(c)), where=c > 0)
    return np.append(0.0, ends + 1.0), np.append(0.0, yt - scaled)


def uplift_curve(found: ArmOutcomes, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share targeted (k,) and what that brings (k,) for each customer of the whole list, from 0.

    Where one of the arms has nobody among those targeted, its mean counts as 0.
    """
    order, ends = _steps(score)
    sums = [np.cumsum(column[order])[ends] for column in found.columns()]
    share = (ends + 1) / len(found)
    return np.append(0.0, share), np.append(0.0, share * _difference(*sums))


def uplift_area(found: ArmOutcomes, score: np.ndarray) -> float:
    """Mean height of the uplift curve over that of random targeting, in the outcome's unit for each customer.

    >>> outcome, treated = np.array([1, 0, 0, 0, 0, 0]), np.array([True, False, True, False, True, False])
    >>> round(uplift_area(arm_outcomes(outcome, treated), np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])), 4)
    0.088
    """
    share, height = uplift_curve(found, score)
    return float(_mean_height(share, height) - height[-1] / 2)


def qini_area(found: ArmOutcomes, score: np.ndarray) -> float:
    """The Qini coefficient in customers' outcomes: area between the Qini curve and the line to its end, by customer."""
    count, height = qini_curve(found, score)
    n = len(found)
    return float((_mean_height(count / n, height) - height[-1] / 2) / n)


def doubly_robust_area(psi: np.ndarray, score: np.ndarray) -> float:
    """The same area as `area` from doubly robust scores (n,) of the effect: mean over shares of gain less random's."""
    order, ends = _steps(score)
    gain = np.append(0.0, np.cumsum(psi[order])[ends] / len(psi))
    return _mean_height(np.append(0.0, (ends + 1) / len(psi)), gain) - float(gain[-1]) / 2


def cluster_bootstrap(
    figure: Callable[[np.ndarray], float], units: np.ndarray, resamples: int, seed: int
) -> ConfidenceInterval:
    """A figure with its percentile interval over resamples of units, each with all of its rows.

    Args:
        figure: Of the rows at some places (m,).
        units: Which unit (a customer) each row (n,) belongs to, as codes from 0.
        resamples: How many.
        seed: Of the draws.
    """
    order = np.argsort(units, kind="stable")
    begins = np.searchsorted(units[order], np.arange(units.max() + 2))
    rng, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = rng.integers(len(begins) - 1, size=len(begins) - 1)
        lengths = begins[drawn + 1] - begins[drawn]
        starts = np.repeat(begins[drawn] - np.append(0, np.cumsum(lengths)[:-1]), lengths)
        found.append(figure(order[starts + np.arange(lengths.sum())]))
    low, high = np.quantile(found, [0.025, 0.975])
    return ConfidenceInterval(figure(np.arange(len(units))), float(low), float(high))


def clustered_standard_error(values: np.ndarray, units: np.ndarray) -> float:
    """Standard error of the mean of values (n,), those of one unit moving together.

    >>> round(clustered_standard_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])), 4)
    0.5
    """
    sums = np.bincount(units, values - values.mean())
    sums = sums[np.bincount(units) > 0]
    count = len(sums)
    return float(np.sqrt((sums**2).sum() * count / max(count - 1, 1)) / len(values))


def effect_calibration(psi: np.ndarray, said: np.ndarray, units: np.ndarray) -> pd.DataFrame:
    """What was said of the effect and what doubly robust scores found, in ten groups by what was said.

    Returns:
        group (1: the least), customers, said, found, low, high (95%); fewer groups where few things were said.
    """
    edges = np.unique(np.quantile(said, np.linspace(0, 1, DECILES + 1)[1:-1], method="lower"))
    groups = np.searchsorted(edges, said, side="right")
    rows = []
    for place, group in enumerate(np.unique(groups)):
        mine = groups == group
        mean, error = float(psi[mine].mean()), clustered_standard_error(psi[mine], units[mine])
        row = {"group": place + 1, "customers": int(mine.sum()), "said": float(said[mine].mean()), "found": mean}
        rows.append(row | {"low": mean - 1.96 * error, "high": mean + 1.96 * error})
    return pd.DataFrame(rows)


def _steps(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places from the highest score down, and the last place of each run of equal scores."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def _difference(t: np.ndarray, yt: np.ndarray, c: np.ndarray, yc: np.ndarray) -> np.ndarray:
    treated = np.divide(yt, t, out=np.zeros(np.shape(t)), where=t > 0)
    return np.asarray(treated - np.divide(yc, c, out=np.zeros(np.shape(c)), where=c > 0))


def _mean_height(share: np.ndarray, height: np.ndarray) -> float:
    """Area under straight lines between the steps."""
    return float(((height[1:] + height[:-1]) / 2 * np.diff(share)).sum())
