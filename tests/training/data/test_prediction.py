"""Predictions of some of the customers, and which actual values an interval covers."""

from __future__ import annotations

import numpy as np

from training.data.prediction import Prediction, PredictionInterval

INTERVAL = PredictionInterval(np.array([0.0, 5.0, 1.0]), np.array([4.0, 9.0, 1.0]), 0.8)


def test_both_ends_belong_to_the_interval() -> None:
    assert INTERVAL.covers(np.array([4.0, 5.0, 1.1])).tolist() == [1.0, 1.0, 0.0]


def test_some_of_the_customers() -> None:
    churn, mask = np.array([0.1, 0.2, 0.3]), np.array([True, False, True])
    part = Prediction(churn, churn * 10, INTERVAL).take(mask)
    assert part.churn.tolist() == [0.1, 0.3] and part.value is not None and part.value.tolist() == [1.0, 3.0]
    assert part.interval is not None and part.interval.high.tolist() == [4.0, 1.0] and part.interval.inside == 0.8
    without_money = Prediction(churn, None).take(mask)
    assert without_money.value is None and without_money.interval is None
