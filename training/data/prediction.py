"""Predictions for customers, with prediction intervals of their value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from training.data.time_split import Sample


@dataclass(frozen=True)
class PredictionInterval:
    """Prediction intervals of customers' values.

    Attributes:
        low: Lower ends (n,).
        high: Upper ends (n,).
        inside: The nominal coverage, in (0, 1).
    """

    low: np.ndarray
    high: np.ndarray
    inside: float

    def covers(self, actual: np.ndarray) -> np.ndarray:
        """1.0 where the actual value (n,) lies inside, ends included; else 0.0.

        >>> PredictionInterval(np.array([0.0, 5.0]), np.array([4.0, 9.0]), 0.8).covers(np.array([4.0, 4.0])).tolist()
        [1.0, 0.0]
        """
        return ((actual >= self.low) & (actual <= self.high)).astype(float)


@dataclass(frozen=True)
class Prediction:
    """A model's predictions for customers.

    Attributes:
        churn: Probability of churn (n,), in [0, 1].
        value: Expected value (n,), not below 0; None without money.
        interval: Of the value, where the model gives some.
    """

    churn: np.ndarray
    value: np.ndarray | None
    interval: PredictionInterval | None = None

    def take(self, mask: np.ndarray) -> Prediction:
        """The customers where `mask` (n,) holds."""
        b = self.interval
        return Prediction(
            churn=self.churn[mask],
            value=None if self.value is None else self.value[mask],
            interval=None if b is None else PredictionInterval(b.low[mask], b.high[mask], b.inside),
        )


@dataclass(frozen=True)
class OutOfTimePredictions:
    """Predictions for a cutoff that the models had not seen, beside the true outcomes.

    Attributes:
        truth: The customers of the cutoff with their labels.
        predicted: Score columns (n,) by name, such as 'churn_probability'.
        cutoff: The cutoff.
    """

    truth: Sample
    predicted: Mapping[str, np.ndarray]
    cutoff: date
