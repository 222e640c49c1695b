"""How far actual values lie from expected ones: prediction intervals of customers, confidence intervals of totals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from .margin import SURE


@dataclass(frozen=True)
class Spread:
    """The distribution of actual over expected value, from cutoffs that the model had not seen.

    Attributes:
        inside: The wanted coverage of a prediction interval, in (0, 1).
        nominal: The coverage to ask of the distribution below to get `inside` (Chernozhukov, Wuthrich and Zhu,
            Distributional conformal prediction, PNAS 118, 2021).
        chances: Probabilities (t,), ascending from 0 to 1.
        centres: Mean log of expected value in each group (g,) of customers, ascending.
        ratios: Quantiles (g, t) of actual over expected spend of returning customers, by group.
        squares: Mean square (g,) of that ratio.
        level_error: Standard deviation of log(total actual / total expected) that is forecast for the next cutoff: of
            the normal distribution with the same interval of `inside`.
    """

    inside: float
    nominal: float
    chances: tuple[float, ...]
    centres: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    squares: tuple[float, ...]
    level_error: float

    def interval(self, returns: np.ndarray, spend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prediction intervals of customers' values.

        A customer who returns too rarely for a lower end above 0 has the whole error probability at the upper end.

        Args:
            returns: Probability of returning (n,).
            spend: Expected spend (n,) of those who return.

        Returns:
            Lower and upper end (n,) each.
        """
        value = returns * spend
        tail, gone = (1 - self.nominal) / 2, 1 - returns
        low_is_zero = gone >= tail
        lower = self._among_returners(np.full_like(returns, tail), gone)
        low = np.where(low_is_zero, 0.0, spend * self._ratio_quantiles(lower, value))
        upper = self._among_returners(np.where(low_is_zero, self.nominal, 1 - tail), gone)
        high = np.where(gone >= self.nominal, 0.0, spend * self._ratio_quantiles(upper, value))
        return np.minimum(low, value), np.maximum(high, value)

    def total_interval(self, returns: np.ndarray, spend: np.ndarray) -> tuple[float, float]:
        """Prediction interval of the customers' total value.

        It covers the chance of each customer, by the normal approximation, and the error of the level, which all of
        them share and which is a factor (log-normal). The two distances from the total are independent, so their
        squares add up.

        Args:
            returns: Probability of returning (n,).
            spend: Expected spend (n,) of those who return.

        Returns:
            Lower and upper end.
        """
        value = returns * spend
        variance = returns * spend**2 * self._interpolate(np.array(self.squares)[:, None], value) - value**2
        total, z = float(value.sum()), NormalDist().inv_cdf((1 + self.inside) / 2)
        chance = z**2 * float(np.maximum(variance, 0).sum())
        below, above = (total * abs(float(np.expm1(sign * z * self.level_error))) for sign in (-1, 1))
        return max(0.0, total - float(np.sqrt(chance + below**2))), total + float(np.sqrt(chance + above**2))

    def _among_returners(self, probability: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """The probability (n,) among returning customers that equals `probability` (n,) among all of them."""
        return np.clip((probability - gone) / np.maximum(1 - gone, SURE), 0.0, 1.0)

    def _ratio_quantiles(self, chance: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Quantiles (n,) of actual over expected spend at given probabilities (n,)."""
        by_group = np.stack([np.interp(chance, self.chances, ratios) for ratios in self.ratios])
        return self._interpolate(by_group, value)

    def _interpolate(self, by_group: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Numbers (g, n) or (g, 1) by group, interpolated at each customer's log value (n,)."""
        log_value = np.log(np.maximum(value, np.exp(self.centres[0])))
        place = np.interp(log_value, self.centres, np.arange(len(self.centres)))
        left = np.minimum(place.astype(int), max(len(self.centres) - 2, 0))
        right, share = np.minimum(left + 1, len(self.centres) - 1), place - left
        by_customer = np.broadcast_to(by_group, (len(self.centres), len(value)))
        rows = np.arange(len(value))
        return (1 - share) * by_customer[left, rows] + share * by_customer[right, rows]


def read_spread(index: dict[str, Any] | None) -> Spread | None:
    """A spread from its JSON object; None from None."""
    if index is None:
        return None
    index = dict(index)
    ratios = tuple(tuple(row) for row in index.pop("ratios"))
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in index.items()}
    return Spread(**plain, ratios=ratios)
