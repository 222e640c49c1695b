"""Learners rank customers by effect, doubly robust scores recover the average, and a seed repeats every bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from tests.experiments import SimulatedExperiment, simulate_experiment
from training.uplift.meta_learners import (
    INNER_STREAM,
    LEARNERS,
    RIDGE_PENALTIES,
    FittedLearners,
    asinh_columns,
    assign_folds,
    doubly_robust_scores,
    fit_learners,
    fit_ridge,
)


@pytest.fixture(scope="module")
def simulated() -> SimulatedExperiment:
    return simulate_experiment(4_000)


@pytest.fixture(scope="module")
def learned(simulated: SimulatedExperiment) -> FittedLearners:
    return fit_learners(simulated.data(), simulated.visit, seed=3)


@pytest.mark.parametrize("learner", [name for name in LEARNERS if name != "response"])
def test_every_learner_finds_who_gains(learner: str, learned: FittedLearners) -> None:
    later = simulate_experiment(2_000, seed=8)
    scores = learned.scores(learned.part_values(later.data().design), "email")
    scores_of_learner = scores[:, list(LEARNERS).index(learner)]
    assert spearmanr(scores_of_learner, later.truth).statistic > 0.4
    assert scores_of_learner.mean() == pytest.approx(later.truth.mean(), abs=0.06)


def test_a_seed_repeats_every_bit(simulated: SimulatedExperiment, learned: FittedLearners) -> None:
    assert fit_learners(simulated.data(), simulated.visit, seed=3) == learned
    assert fit_learners(simulated.data(), simulated.visit, seed=4) != learned


@pytest.mark.parametrize("means", [np.zeros(2), np.array([0.9, 0.1])])
def test_doubly_robust_scores_find_the_average_by_wrong_means(means: np.ndarray) -> None:
    chosen = simulate_experiment(40_000, chosen=1.0)
    psi = doubly_robust_scores(chosen.data(), chosen.visit, np.tile(means, (40_000, 1)))[:, 0]
    naive = chosen.visit[chosen.action == "email"].mean() - chosen.visit[chosen.action == "none"].mean()
    assert psi.mean() == pytest.approx(chosen.truth.mean(), abs=4 * psi.std() / 200)
    assert naive - chosen.truth.mean() > 0.05


def test_the_ridge_is_that_of_scikit_learn(simulated: SimulatedExperiment) -> None:
    design = simulated.data().design
    shaped = asinh_columns(design)[2]
    predicted = fit_ridge(design, simulated.visit).predict(design)
    wide = shaped / np.where(shaped.std(axis=0) > 0, shaped.std(axis=0), 1)
    theirs = [Ridge(alpha=penalty).fit(wide, simulated.visit).predict(wide) for penalty in RIDGE_PENALTIES]
    assert min(float(np.abs(predicted - other).max()) for other in theirs) < 1e-8


def test_folds_keep_customers_whole() -> None:
    units = np.random.default_rng(1).integers(100, size=1_000)
    folds = assign_folds(units, 5, seed=2)
    assert all(len(set(folds[units == unit])) == 1 for unit in range(100))
    assert np.bincount([folds[units == unit][0] for unit in range(100)]).tolist() == [20] * 5


def test_folds_within_folds_are_other_folds() -> None:
    units = np.arange(900)
    outer, inner = assign_folds(units, 3, seed=2), assign_folds(units, 3, seed=2, stream=INNER_STREAM)
    cells = np.bincount(3 * outer + inner, minlength=9)
    assert cells.min() > 60
