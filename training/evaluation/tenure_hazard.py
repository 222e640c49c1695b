"""The rule of a contractual business: how often contracts of each age were cancelled within the horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from features.task import Task, Window
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.baselines import BASELINES, PLAIN_LIGHTGBM

AGE = "subscription_age_days"
SHRINK = 50.0  # customers' worth of the mean hazard that each age is drawn towards
MOST_STEPS = 30


def tenure_hazard_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A life table: of the contracts in the same horizon-long step of age, the share that was cancelled.

    Steps are as long as the horizon; ages beyond the last of MOST_STEPS share one. Each is shrunk towards the share of
    all, so that a step that nobody had reached says that. Value is what those who stayed brought on average in the
    step, times the probability of staying; None where the log has no money.
    """
    learned, asked = (_steps(rows.column(AGE), horizon) for rows in (train, test))
    churn = _means(learned, train.churned)[asked]
    if not np.any(train.value):
        return Prediction(churn, None)
    stayed = train.churned == 0
    return Prediction(churn, (1 - churn) * _means(learned[stayed], train.spend[stayed])[asked])


def baselines_for(task: Task) -> Mapping[str, Callable[[Sample, Sample, Window], Prediction]]:
    """The rules that a model of a task must climb; those that read silence say nothing of contracts."""
    return (
        {"tenure hazard": tenure_hazard_baseline, PLAIN_LIGHTGBM: BASELINES[PLAIN_LIGHTGBM]}
        if task.contractual
        else BASELINES
    )


def _steps(age: np.ndarray, horizon: Window) -> np.ndarray:
    """The step of each age (n,), from 0."""
    return np.minimum(np.nan_to_num(age) // horizon.days, MOST_STEPS - 1).astype(int)


def _means(step: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """The mean outcome of each step (MOST_STEPS,), shrunk towards that of all.

    >>> _means(np.array([0, 0, 1]), np.array([1.0, 0.0, 0.5]))[:3].round(3).tolist()
    [0.5, 0.5, 0.5]
    """
    sums, sizes = (np.bincount(step, weights=w, minlength=MOST_STEPS) for w in (outcome, np.ones(len(step))))
    return (sums + SHRINK * outcome.mean()) / (sizes + SHRINK)
