"""Tuning starts from the defaults, repeats itself, and does not lose to them on its own folds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from training.churn import ChurnClassifier
from training.split import Sample
from training.tune import MOST_TREES, Labelled, tune


def _fold(seed: int) -> tuple[Labelled, Labelled]:
    def rows(seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(500, 3))
        churned = (rng.random(500) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
        table = pa.table({f"f{i}": x[:, i] for i in range(3)})
        return Sample(pa.chunked_array([[""] * 500]), table, churned, churned), churned

    return rows(seed), rows(seed + 100)


def test_the_defaults_come_first_and_the_best_is_no_worse() -> None:
    tuned = tune(ChurnClassifier, [_fold(0), _fold(1)], trials=6, seed=3)
    assert tuned.trials[0].parameters["num_leaves"] == ChurnClassifier().num_leaves
    assert tuned.trials[0].loss == tuned.default_loss
    assert tuned.loss <= tuned.default_loss
    assert len(tuned.trials) == 6
    assert 5 <= tuned.parameters["n_estimators"] <= MOST_TREES


def test_the_same_seed_finds_the_same() -> None:
    first, again, other = (tune(ChurnClassifier, [_fold(0)], trials=4, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.trials[1].parameters != other.trials[1].parameters


def test_the_parameters_make_an_estimator() -> None:
    tuned = tune(ChurnClassifier, [_fold(0)], trials=2, seed=3)
    (rows, churned), _ = _fold(0)
    assert ChurnClassifier(**tuned.parameters, seed=3).fit(rows.features, churned).booster_.num_trees() > 0


def test_levels_are_levels_while_tuning_too() -> None:
    """Codes whose size says nothing: with few leaves, trees that take them for quantities do worse."""

    def rows(seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 10, 3000).astype(float)
        churned = (rng.random(3000) < np.where(codes % 2 == 1, 0.8, 0.2)).astype(float)
        return Sample(pa.chunked_array([[""] * 3000]), pa.table({"plan": codes}), churned, churned), churned

    fold = rows(0), rows(1)
    as_levels = tune(ChurnClassifier, [fold], trials=1, seed=3, categorical=("plan",))
    as_sizes = tune(ChurnClassifier, [fold], trials=1, seed=3)
    assert as_levels.loss < as_sizes.loss
    assert "categorical" not in as_levels.parameters
