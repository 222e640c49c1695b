"""How far actual values lie from expected ones: prediction intervals of customers, confidence intervals of totals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from .margin import SURE


@dataclass(frozen=True)
class Spread:
    """What came around what was expected, on cutoffs that the model had not seen.

    Attributes:
        inside: The probability that an interval is to hold.
        nominal: The one to ask of the distribution below for that: conformal (Chernozhukov, Wuthrich and Zhu,
            Distributional conformal prediction, PNAS 118, 2021).
        chances: Probabilities (t,), ascending from 0 to 1.
        centres: Logs of the value (g,) at which the groups below stand, ascending.
        ratios: What returning customers spent over what was expected of them: its quantiles (g, t) in each group.
        squares: Mean square (g,) of the same.
        level_error: Standard deviation of the log of total came over total expected, from cutoff to cutoff.
    """

    inside: float
    nominal: float
    chances: tuple[float, ...]
    centres: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    squares: tuple[float, ...]
    level_error: float

    def interval(self, back: np.ndarray, spend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high (n,) of what customers bring who return with probability `back` (n,) and spend `spend` (n,).

        Who returns too rarely for low to be above 0 has all of the chance of lying outside at the top.
        """
        value = back * spend
        tail, none = (1 - self.nominal) / 2, 1 - back
        seldom = none >= tail
        low = np.where(seldom, 0.0, spend * self._ratio(self._chance(np.full_like(back, tail), none), value))
        above = self._chance(np.where(seldom, self.nominal, 1 - tail), none)
        high = np.where(none >= self.nominal, 0.0, spend * self._ratio(above, value))
        return np.minimum(low, value), np.maximum(high, value)

    def total_interval(self, back: np.ndarray, spend: np.ndarray) -> tuple[float, float]:
        """Low and high of the sum of what comes from all of them, by the normal approximation.

        Two things make it uncertain: chance, customer by customer, and the level, which moves all of them together.
        """
        value = back * spend
        chance = back * spend**2 * self._blend(np.array(self.squares)[:, None], value) - value**2
        sum_, z = float(value.sum()), NormalDist().inv_cdf((1 + self.inside) / 2)
        error = z * float(np.sqrt(np.maximum(chance, 0).sum() + (self.level_error * sum_) ** 2))
        return max(0.0, sum_ - error), sum_ + error

    def _chance(self, of: np.ndarray, none: np.ndarray) -> np.ndarray:
        """Probability among those who return, where `of` (n,) counts those who do not, too."""
        return np.clip((of - none) / np.maximum(1 - none, SURE), 0.0, 1.0)

    def _ratio(self, chance: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Quantiles (n,) of the ratio at these probabilities (n,)."""
        by_group = np.stack([np.interp(chance, self.chances, ratios) for ratios in self.ratios])
        return self._blend(by_group, value)

    def _blend(self, by_group: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Figures (g, n) or (g, 1) of the groups on either side of a value (n,), by its distance to each."""
        log_value = np.log(np.maximum(value, np.exp(self.centres[0])))
        place = np.interp(log_value, self.centres, np.arange(len(self.centres)))
        left = np.minimum(place.astype(int), max(len(self.centres) - 2, 0))
        right, share = np.minimum(left + 1, len(self.centres) - 1), place - left
        wide = np.broadcast_to(by_group, (len(self.centres), len(value)))
        rows = np.arange(len(value))
        return (1 - share) * wide[left, rows] + share * wide[right, rows]


def read_spread(index: dict[str, Any] | None) -> Spread | None:
    """A spread from what JSON holds of it; None from None."""
    if index is None:
        return None
    index = dict(index)
    ratios = tuple(tuple(row) for row in index.pop("ratios"))
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in index.items()}
    return Spread(**plain, ratios=ratios)
