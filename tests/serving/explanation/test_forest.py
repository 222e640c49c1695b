"""LightGBM's text as flat arrays: bins decide as the model does."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np

from serving.explanation.forest import Forest, compile_forest

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 1, "min_data_in_bin": 1}


def model(num_leaves: int = 4, rounds: int = 3) -> lgb.Booster:
    X = np.random.default_rng(1).normal(size=(200, 3))
    return lgb.train({**QUIET, "num_leaves": num_leaves}, lgb.Dataset(X, X[:, 0] + (X[:, 1] > 0)), rounds)


def predicted(forest: Forest, row: np.ndarray) -> float:
    """The sum of the leaves that a row without NaN reaches, node by node."""
    total = 0.0
    for tree in range(len(forest.node_starts) - 1):
        start, node = int(forest.node_starts[tree]), 0
        while node >= 0:
            column = forest.feature[start + node]
            ends = forest.breaks[forest.break_starts[column] : forest.break_starts[column + 1]]
            goes_left = np.searchsorted(ends, row[column]) <= forest.cut[start + node]
            node = int((forest.left if goes_left else forest.right)[start + node])
        total += forest.leaf_value[start + tree + ~node]
    return total


def test_the_forest_predicts_as_its_models() -> None:
    one, other = model(), model(7, 2)
    forest = compile_forest([one.model_to_string(), other.model_to_string()], [1.0, 0.5], 3)
    X = np.random.default_rng(2).normal(size=(50, 3))
    expected = one.predict(X) + 0.5 * np.asarray(other.predict(X))
    assert np.allclose([predicted(forest, row) for row in X], expected)


def test_the_base_is_the_mean_prediction_of_the_training_rows() -> None:
    booster = model()
    X = np.random.default_rng(1).normal(size=(200, 3))
    forest = compile_forest([booster.model_to_string()], [2.0], 3)
    assert np.isclose(forest.base, 2 * np.mean(booster.predict(X)))


def test_no_models_are_an_empty_forest() -> None:
    forest = compile_forest([], [], 2)
    assert (forest.base, len(forest.feature), forest.break_starts.tolist()) == (0.0, 0, [0, 0, 0])
