"""The baseline for contracts: how often contracts of each age were cancelled within the horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from features.task import LapsedCohort, Task, Window
from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.baselines import BASELINES, EVERYBODY_ALIKE, LAPSED_BASELINES, PLAIN_LIGHTGBM

AGE = "subscription_age_days"
SHRINK = 50.0  # customers' worth of the mean hazard that each age is drawn towards
MOST_STEPS = 30


def tenure_hazard_baseline(train: Sample, test: Sample, horizon: Window) -> Prediction:
    """A life table: the share of contracts in the same step of age that was cancelled.

    Steps are as long as the horizon; all ages beyond the last of MOST_STEPS share one. Each share is shrunk towards the
    overall share, which also serves a step that no contract has reached. Value is the mean spend of those who stayed in
    the step, times the probability of staying; None if the log has no money.

    Args:
        train: Training rows.
        test: The rows to predict (n).
        horizon: Of the labels.

    Returns:
        Predictions for the test rows.
    """
    train_steps, test_steps = (_age_steps(rows.column(AGE), horizon) for rows in (train, test))
    churn = _shrunken_means(train_steps, train.churned)[test_steps]
    if not np.any(train.value):
        return Prediction(churn, None)
    stayed = train.churned == 0
    return Prediction(churn, (1 - churn) * _shrunken_means(train_steps[stayed], train.spend[stayed])[test_steps])


def baselines_for(task: Task) -> Mapping[str, Callable[[Sample, Sample, Window], Prediction]]:
    """The baselines for a task, by name; those based on silence since the last order do not suit contracts."""
    if isinstance(task.cohort, LapsedCohort):
        return LAPSED_BASELINES
    return (
        {
            EVERYBODY_ALIKE: BASELINES[EVERYBODY_ALIKE],
            "tenure hazard": tenure_hazard_baseline,
            PLAIN_LIGHTGBM: BASELINES[PLAIN_LIGHTGBM],
        }
        if task.contractual
        else BASELINES
    )


def _age_steps(age: np.ndarray, horizon: Window) -> np.ndarray:
    """The step of each age (n,), from 0."""
    return np.minimum(np.nan_to_num(age) // horizon.days, MOST_STEPS - 1).astype(int)


def _shrunken_means(step: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """The mean outcome of each step (MOST_STEPS,), shrunk towards the overall mean.

    >>> _shrunken_means(np.array([0, 0, 1]), np.array([1.0, 0.0, 0.5]))[:3].round(3).tolist()
    [0.5, 0.5, 0.5]
    """
    sums, sizes = (np.bincount(step, weights=w, minlength=MOST_STEPS) for w in (outcome, np.ones(len(step))))
    return (sums + SHRINK * outcome.mean()) / (sizes + SHRINK)
