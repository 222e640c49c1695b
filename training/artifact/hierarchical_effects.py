"""The posterior of the effects of actions on one outcome, relative to the forecast, as an uplift model holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .effect_modifiers import Columns, Modifier, modifier_matrix

PARTS = 6  # independent errors of a customer's effect that are told apart; the last one stands for all smaller ones
SMALLEST = 0.01  # probabilities count as at least this far from 0 and 1


@dataclass(frozen=True)
class HierarchicalEffects:
    """The effects of actions as shares of the forecast, normal with these means and errors.

    Attributes:
        modifiers: What effects vary with.
        forecast: The feature that holds the forecast; '': the model's own outcome without an action.
        share: Whether the outcome is a probability.
        means: Coefficients (k,) of the modifiers, by action.
        factors: (k, k) contributions of independent standard normal errors to the coefficients, the largest first.
        level: Outcome after the last round that is expected for a forecast of 1; 1 in models of earlier versions.
    """

    modifiers: tuple[Modifier, ...]
    forecast: str
    share: bool
    means: dict[str, tuple[float, ...]]
    factors: dict[str, tuple[tuple[float, ...], ...]]
    level: float = 1.0

    def shape(self, columns: Columns, base: np.ndarray | None) -> np.ndarray:
        """The change (n,) of each customer's outcome for an effect of 1, at the level of the next round."""
        return self.level * effect_shape(forecast_of(columns, self.forecast, base), self.share)

    def predict(self, action: str, columns: Columns, base: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The posterior of an action's effect on customers.

        Args:
            action: The action.
            columns: (n,) each: the features by name.
            base: (n,) the outcome without an action, by the model; None if a feature holds the forecast.

        Returns:
            (n,) means, and (n, PARTS) contributions of independent standard normal errors, common to all customers.
        """
        shape = self.shape(columns, base)
        scaled = modifier_matrix(columns, self.modifiers) * shape[:, None]
        errors = scaled @ np.array(self.factors[action])
        parts = np.zeros((len(shape), PARTS))
        shown = min(PARTS - 1, errors.shape[1])
        parts[:, :shown] = errors[:, :shown]
        parts[:, -1] = np.sqrt((errors[:, shown:] ** 2).sum(axis=1))
        return scaled @ np.array(self.means[action]), parts


def forecast_of(columns: Columns, name: str, base: np.ndarray | None) -> np.ndarray:
    """The forecast of a feature, or the given one; unknown values count as the mean.

    Args:
        columns: (n,) each: the features by name.
        name: The feature; '': the given forecast.
        base: (n,) the given forecast.

    Returns:
        (n,) the forecast.
    """
    values = np.asarray(columns[name] if name else base, float)
    return np.where(np.isfinite(values), values, np.nanmean(values))


def effect_shape(forecast: np.ndarray, share: bool) -> np.ndarray:
    """The change of the outcome (n,) for an effect of 1, a doubling of what was to be expected.

    Money doubles. A probability p of at least one order becomes that of twice as many: for small changes, (1 - p) times
    the expected orders, -log(1 - p).

    >>> effect_shape(np.array([0.5, 0.9]), share=True).round(3).tolist()
    [0.347, 0.23]
    """
    if not share:
        return np.maximum(forecast, 0.0)
    chance = np.clip(forecast, SMALLEST, 1 - SMALLEST)
    return np.asarray(-(1 - chance) * np.log(1 - chance))
