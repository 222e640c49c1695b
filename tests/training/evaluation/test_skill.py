"""Skill: an order against chance, probabilities against everybody alike, and how often both are told wrongly."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from training.data.prediction import Prediction
from training.data.time_split import Sample
from training.evaluation.baselines import EVERYBODY_ALIKE
from training.evaluation.evaluate import OURS, Evaluation, evaluate_predictions
from training.evaluation.skill import Skill, assess_skill

CUTOFF = date(2024, 1, 1)


def evaluated(signal: float, share: float, customers: int, seed: int, alike: bool = True) -> Evaluation:
    """A cutoff of customers whose log-odds of churn vary by `signal`, predicted as they are, or by noise at 0."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(0, 1, customers)
    middle = np.log(share / (1 - share))
    churned = (rng.random(customers) < 1 / (1 + np.exp(-(middle + signal * risk)))).astype(float)
    ids = pa.chunked_array([pa.array([str(i) for i in range(customers)])])
    truth = Sample(ids, np.zeros(customers, int), pa.table({"x": risk}), churned, np.zeros(customers))
    ours = 1 / (1 + np.exp(-(middle + (signal or 0.2) * risk)))
    predictions = {OURS: Prediction(ours, None)}
    if alike:
        predictions[EVERYBODY_ALIKE] = Prediction(np.full(customers, share), None)
    return evaluate_predictions(predictions, truth, CUTOFF, seed=seed, resamples=100)


def skill_of(*arguments: float) -> Skill:
    signal, share, customers, seed = arguments
    skill = assess_skill(evaluated(signal, share, int(customers), int(seed)), CUTOFF)
    assert skill is not None
    return skill


def test_skill_is_shown_and_the_figures_are_in_the_text() -> None:
    skill = skill_of(1.0, 0.5, 600, 1)
    assert skill.shown
    assert skill.auc[0] > 0.65
    assert skill.brier < skill.alike
    assert str(skill).startswith("AUC 0.")
    assert "of the baseline 'everybody alike', difference -0." in str(skill)


def test_chance_is_no_skill() -> None:
    skill = skill_of(0.0, 0.5, 600, 2)
    assert not skill.shown
    assert skill.difference[0] > 0


def test_without_that_baseline_nothing_is_said() -> None:
    assert assess_skill(evaluated(1.0, 0.5, 200, 1, alike=False), CUTOFF) is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("signal", "share", "customers", "least", "most"),
    [
        (0.0, 0.5, 400, 0.0, 0.05),  # pure chance: skill is seen in at most one of twenty
        (0.0, 0.1, 1000, 0.0, 0.05),
        (1.0, 0.5, 300, 0.97, 1.0),  # AUC 0.73
        (0.8, 0.8, 300, 0.97, 1.0),  # AUC 0.69, most leave
        (0.8, 0.05, 2000, 0.97, 1.0),  # AUC 0.71, few leave
        (0.35, 0.5, 1000, 0.97, 1.0),  # AUC 0.60
    ],
)
def test_skill_is_seldom_seen_in_chance_and_seldom_overlooked(
    signal: float, share: float, customers: int, least: float, most: float
) -> None:
    seen = np.mean([skill_of(signal, share, customers, seed).shown for seed in range(100)])
    assert least <= seen <= most
