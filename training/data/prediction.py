"""Predictions of customers, with the bounds of their value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from training.data.time_split import Sample


@dataclass(frozen=True)
class PredictionInterval:
    """A range of values for each customer (n,), and the probability that it promises to hold."""

    low: np.ndarray
    high: np.ndarray
    inside: float

    def covers(self, actual: np.ndarray) -> np.ndarray:
        """1.0 where what came (n,) lies inside, ends included; else 0.0.

        >>> PredictionInterval(np.array([0.0, 5.0]), np.array([4.0, 9.0]), 0.8).covers(np.array([4.0, 4.0])).tolist()
        [1.0, 0.0]
        """
        return ((actual >= self.low) & (actual <= self.high)).astype(float)


@dataclass(frozen=True)
class Prediction:
    """What a model says of each customer (n,): the probability of churn, and without money no value.

    Attributes:
        churn: In [0, 1].
        value: Expected, not below 0; None without money.
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
