"""Our SHAP values are LightGBM's own, whatever the trees, and depend on nothing but the row."""

from __future__ import annotations

import re
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.explanation import treeshap, treeshap_kernels
from serving.explanation.forest import ForestError
from serving.explanation.treeshap import TreeExplainer, tree_explainer

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "min_data_in_bin": 1}
ROWS, COLUMNS = 300, 6


def _rows(seed: int, rows: int = ROWS) -> np.ndarray:
    """Numbers, counts with many zeros, codes of levels (the last column), with holes, and values unlike any learned."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(rows, 3)), rng.poisson(0.7, (rows, 2)), rng.integers(0, 40, rows)])
    X[rng.random(X.shape) < 0.15] = np.nan
    X[:5, :3] = [[0.0, -0.0, 1e-36], [np.inf, -np.inf, 1e300], [1e-30, -1e-36, 5.0], [-1e-30, 0.5, 0.0], [np.nan] * 3]
    X[:5, 5] = [-1.0, 1e6, 3.7, np.nan, -0.5]
    return X


def _model(seed: int, **parameters: Any) -> lgb.Booster:
    rng, X = np.random.default_rng(seed + 100), _rows(seed)
    X[:5] = X[5:10]
    filled = np.nan_to_num(X)
    y = filled[:, 0] * filled[:, 1] + np.sin(filled[:, 5]) + (filled[:, 3] > 0) + rng.normal(0, 0.3, ROWS)
    data = lgb.Dataset(X, y, params=QUIET, categorical_feature=[5])
    return lgb.train({**QUIET, "seed": seed, "learning_rate": 0.3, **parameters}, data, 8)


def _columns(X: np.ndarray) -> list[np.ndarray]:
    return list(X.T)


def _fresh(*models: lgb.Booster, weights: tuple[float, ...] = (1.0,)) -> TreeExplainer:
    """An explainer that has no tables yet."""
    return tree_explainer.__wrapped__(tuple(model.model_to_string() for model in models), weights, COLUMNS)


def _agrees(values: TreeExplainer, X: np.ndarray, expected: np.ndarray) -> None:
    size = np.abs(expected).max() + 1e-300
    np.testing.assert_allclose(values.values(_columns(X)), expected[:, :-1], rtol=0, atol=1e-10 * size)
    np.testing.assert_allclose(values.base, expected[0, -1], rtol=0, atol=1e-10 * size)


MODELS = {
    "num_leaves": st.sampled_from([2, 3, 8, 31, 100]),
    "max_depth": st.sampled_from([-1, -1, 2, 4]),
    "min_data_in_leaf": st.sampled_from([1, 2, 20]),
    "use_missing": st.booleans(),
    "zero_as_missing": st.booleans(),
    "max_cat_to_onehot": st.sampled_from([1, 4, 64]),
    "cat_smooth": st.sampled_from([0.1, 10.0]),
    "min_data_per_group": st.sampled_from([1, 20]),
    "extra_trees": st.booleans(),
    "bagging_fraction": st.sampled_from([0.5, 1.0]),
    "bagging_freq": st.just(1),
    "max_bin": st.sampled_from([3, 15, 255]),
}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), parameters=st.fixed_dictionaries(MODELS))
def test_it_is_what_lightgbm_says(seed: int, parameters: dict[str, Any]) -> None:
    model, X = _model(seed, **parameters), _rows(seed + 1)
    _agrees(_fresh(model), X, np.asarray(model.predict(X, pred_contrib=True)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), weights=st.tuples(*[st.floats(-2, 2)] * 3))
def test_several_models_are_one_sum_by_their_weights(seed: int, weights: tuple[float, float, float]) -> None:
    models = [_model(seed + i, num_leaves=leaves, min_data_in_leaf=3) for i, leaves in enumerate((4, 15, 2))]
    X = _rows(seed + 7)
    expected = sum(w * np.asarray(m.predict(X, pred_contrib=True)) for w, m in zip(weights, models, strict=True))
    sizes = sum(abs(w) * np.abs(m.predict(X, pred_contrib=True)).max() for w, m in zip(weights, models, strict=True))
    values = _fresh(*models, weights=weights)
    np.testing.assert_allclose(values.values(_columns(X)), expected[:, :-1], rtol=0, atol=1e-10 * sizes + 1e-300)


def _deep(features: int = 26, rows: int = 3000) -> tuple[lgb.Booster, np.ndarray]:
    """Trees that look at one feature after the other: which is the first to hold?"""
    X = (np.random.default_rng(3).random((rows, features)) < 0.25).astype(float)
    y = np.where(X.any(axis=1), X.argmax(axis=1), features)
    return lgb.train({**QUIET, "num_leaves": 40, "min_data_in_leaf": 1}, lgb.Dataset(X, y, params=QUIET), 4), X


def test_deep_leaves_are_exact_without_tables() -> None:
    model, X = _deep()
    values = tree_explainer.__wrapped__((model.model_to_string(),), (1.0,), X.shape[1])
    assert np.diff(values.groups.paths).max() > 16
    assert (np.diff(values.starts) == 0).any() and (np.diff(values.starts) > 0).any()
    expected = np.asarray(model.predict(X, pred_contrib=True))
    size = np.abs(expected).max()
    np.testing.assert_allclose(values.values(_columns(X)), expected[:, :-1], rtol=0, atol=1e-8 * size)
    raw = np.asarray(model.predict(X, raw_score=True))
    np.testing.assert_allclose(values.values(_columns(X)).sum(axis=1) + values.base, raw, rtol=1e-12)


def test_a_tree_of_one_leaf_moves_the_base_alone() -> None:
    X = _rows(1)
    model = lgb.train({**QUIET, "min_data_in_leaf": 10_000}, lgb.Dataset(X, X[:, 5] * 0 + 3.5, params=QUIET), 2)
    explainer = _fresh(model, weights=(0.5,))
    assert not explainer.values(_columns(X)).any()
    assert explainer.base == pytest.approx(0.5 * np.asarray(model.predict(X, pred_contrib=True))[0, -1])


def test_bytes_depend_on_the_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treeshap, "BLOCK_ROWS", 256)
    model, X = _model(4, num_leaves=63, min_data_in_leaf=1), _rows(5, 2000)
    values = _fresh(model)
    few = values.values(_columns(X[:100]))
    assert "tables" not in vars(values)
    all_rows = values.values(_columns(X), threads=1)
    assert "tables" in vars(values)
    np.testing.assert_array_equal(all_rows[:100], few)
    np.testing.assert_array_equal(all_rows, values.values(_columns(X), threads=2))
    parts = [values.values(_columns(X[a : a + 333]), threads=2) for a in range(0, 2000, 333)]
    np.testing.assert_array_equal(all_rows, np.concatenate(parts))
    monkeypatch.setattr(treeshap, "TABLE_BYTES", 40_000)
    short = _fresh(model)
    assert 0 < len(short.tables) < len(values.tables)
    np.testing.assert_array_equal(all_rows, short.values(_columns(X)))


def test_no_rows_are_no_values() -> None:
    assert _fresh(_model(0)).values([np.empty(0)] * COLUMNS).shape == (0, COLUMNS)


def test_the_explainer_of_a_model_is_kept() -> None:
    text = _model(0).model_to_string()
    assert tree_explainer((text,), (1.0,), COLUMNS) is tree_explainer((str(text),), (1.0,), COLUMNS)


def _linear() -> str:
    X = np.nan_to_num(_rows(2)[:, :3], posinf=0, neginf=0).clip(-5, 5)
    data = lgb.Dataset(X, X[:, 0] * 2, params={**QUIET, "linear_tree": True})
    return lgb.train({**QUIET, "linear_tree": True}, data, 2).model_to_string()


def _classes() -> str:
    data = lgb.Dataset(_rows(2), np.arange(ROWS) % 3, params=QUIET)
    return lgb.train({**QUIET, "objective": "multiclass", "num_class": 3}, data, 1).model_to_string()


TEXT = _model(0, num_leaves=4).model_to_string()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello", "expected the text of a LightGBM model"),
        (_linear(), "linear_tree"),
        (_classes(), "expected a model of one output, found 3"),
        (TEXT.replace("\nmax_feature_idx", "\naverage_output\nmax_feature_idx"), "average_output"),
        (TEXT.replace("leaf_count=", "leaf_counts=", 1), "cannot be read: 'leaf_count'"),
        (TEXT.replace("left_child=", "left_child=1 ", 1), "differ in length"),
        (TEXT.replace("split_feature=", "split_feature=x", 1), "cannot be read"),
        (re.sub(r"left_child=\S+", "left_child=0", TEXT, count=1), "its children form no tree"),
        (re.sub(r"split_feature=\S+", "split_feature=6", TEXT, count=1), "uses column 6, found 6 columns"),
        (re.sub(r"internal_count=\S+", "internal_count=0", TEXT, count=1), "training rows of each node"),
    ],
    ids=["text", "linear", "classes", "forest", "no counts", "length", "no number", "no tree", "column", "count"],
)
def test_what_is_no_such_model_is_refused(text: str, why: str) -> None:
    with pytest.raises(ForestError, match=re.escape(why)):
        tree_explainer((text,), (1.0,), COLUMNS)


def test_columns_must_be_as_many_as_the_model_knows() -> None:
    with pytest.raises(ForestError, match="expected 6 columns, found 5"):
        _fresh(_model(0)).values([np.zeros(3)] * 5)


@pytest.mark.parametrize(("setting", "threads"), [("3", 3), ("2,1", 2)])
def test_threads_are_those_of_omp(setting: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert treeshap.thread_count() == threads


def test_without_a_word_all_processors_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert treeshap.thread_count() >= 1


def test_compiled_code_is_kept() -> None:
    _fresh(_model(0)).values(_columns(_rows(0)))
    assert all(
        f.stats.cache_path
        for f in (treeshap_kernels.explain_rows, treeshap_kernels.fill_tables, treeshap_kernels.bin_column)
    )
