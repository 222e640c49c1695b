"""Both estimators keep scikit-learn's conventions, repeat themselves bit by bit, and read Arrow as numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from training.models import lightgbm_base
from training.models.churn import ChurnClassifier
from training.models.lightgbm_base import LightGBMEstimator, bin_features
from training.models.spend import SpendRegressor

SMALL = {"n_estimators": 20, "min_child_samples": 2, "learning_rate": 0.3, "feature_fraction": 1.0, "lambda_l2": 0.0}


@parametrize_with_checks(
    [ChurnClassifier(**SMALL), SpendRegressor(**SMALL), ChurnClassifier(**SMALL, categorical=(0,))]
)
def test_scikit_learn_conventions(estimator: BaseEstimator, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def _data(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 4))
    X[rng.random(X.shape) < 0.1] = np.nan
    signal = np.nan_to_num(X[:, 0])
    return X, (signal + rng.normal(size=rows) > 0).astype(float), np.exp(signal + rng.normal(size=rows))


@pytest.mark.parametrize("kind", [ChurnClassifier, SpendRegressor])
def test_same_seed_gives_the_same_trees_and_another_does_not(kind: type[LightGBMEstimator]) -> None:
    X, churned, spend = _data()
    y = churned if kind is ChurnClassifier else spend
    texts = [kind(seed=seed).fit(X, y).booster_.model_to_string() for seed in (1, 1, 2)]  # type: ignore[attr-defined]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("kind", [ChurnClassifier, SpendRegressor])
def test_arrow_says_what_numpy_says(kind: type[LightGBMEstimator]) -> None:
    X, churned, spend = _data()
    y = churned if kind is ChurnClassifier else spend
    table = pa.table({f"f{i}": pa.array(X[:, i], from_pandas=True) for i in range(4)})
    by_arrow, by_numpy = kind().fit(table, y), kind().fit(X, y)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(by_arrow.margin(table), by_numpy.margin(X))


def test_features_that_are_in_bins_already_are_fitted_as_others_are() -> None:
    X, churned, _ = _data()
    table, start = pa.table({f"f{i}": pa.array(X[:, i], from_pandas=True) for i in range(4)}), np.linspace(-1, 1, 400)
    rows, weight = bin_features(table, ()), np.linspace(0.5, 1, 400)
    for options in ({}, {"start": start, "weight": weight}, {"weight": weight}, {}):  # each forgets the one before
        binned = ChurnClassifier().fit_binned(rows, churned, **options)
        alone = ChurnClassifier().fit_margin(table, churned, **options)
        np.testing.assert_array_equal(binned.margin(table), alone.margin(table))


def test_any_number_of_threads_gives_the_same_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    X = np.round(rng.gamma(1.0, 30.0, size=(20_000, 12)), 1)
    spend = np.exp(0.02 * X[:, 0] + rng.normal(size=len(X)))
    table = pa.table({f"f{i}": X[:, i] for i in range(12)})
    trees = set()
    for threads in (1, 2, 4):
        monkeypatch.setitem(lightgbm_base.FIXED, "num_threads", threads)
        fitted = SpendRegressor(n_estimators=15).fit_binned(bin_features(table, ()), spend)
        trees.add(fitted.booster_.model_to_string().split("parameters:")[0])
    assert len(trees) == 1


def test_other_columns_than_those_of_fit_are_refused() -> None:
    X, churned, _ = _data()
    table = pa.table({f"f{i}": X[:, i] for i in range(4)})
    model = ChurnClassifier().fit(table, churned)
    with pytest.raises(ValueError, match="columns are not those of fit"):
        model.predict(table.rename_columns(["f1", "f0", "f2", "f3"]))


def _codes(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Six levels whose codes say nothing by their size: the odd ones leave."""
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.integers(0, 6, rows).astype(float), rng.normal(size=rows)])
    return X, (X[:, 0] % 2 == 1).astype(float)


def test_levels_are_no_quantities() -> None:
    X, y = _codes()
    settings = {"n_estimators": 1, "num_leaves": 2, "feature_fraction": 1.0, "bagging_fraction": 1.0}
    by_level = ChurnClassifier(**settings, categorical=(0,)).fit(X, y).margin(X)
    by_size = ChurnClassifier(**settings).fit(X, y).margin(X)
    assert len({by_level[y == 1].max(), by_level[y == 0].max()}) == 2
    assert set(by_level[y == 1]).isdisjoint(by_level[y == 0])
    assert not set(by_size[y == 1]).isdisjoint(by_size[y == 0])


def test_a_categorical_column_goes_by_its_name_or_its_place() -> None:
    X, y = _codes()
    table = pa.table({"plan": X[:, 0], "x": X[:, 1]})
    by_place = ChurnClassifier(categorical=(0,)).fit(X, y).margin(X)
    np.testing.assert_array_equal(ChurnClassifier(categorical=("plan",)).fit(table, y).margin(table), by_place)
    np.testing.assert_array_equal(
        ChurnClassifier(categorical=("plan",)).fit(table.to_pandas(), y).margin(table.to_pandas()), by_place
    )


@pytest.mark.parametrize("wrong", ["plan", 2, -1])
def test_a_categorical_column_that_is_not_there_is_named(wrong: str | int) -> None:
    X, y = _codes()
    with pytest.raises(ValueError, match=f"categorical={wrong!r} is not a column of X"):
        ChurnClassifier(categorical=(wrong,)).fit(X, y)


def test_text_is_refused_before_it_can_end_the_process() -> None:
    X, churned, _ = _data()
    numbers = pa.table({f"x{i}": X[:, i] for i in range(4)})
    text = numbers.set_column(2, "x2", pa.array(["gold"] * len(X)))
    gate = ChurnClassifier(seed=0)
    with pytest.raises(ValueError, match=r"column 'x2' holds string; expected numbers \(training.data.category_levels"):
        gate.fit(text, churned)
    with pytest.raises(ValueError, match="column 'x2' holds string"):
        gate.fit(numbers, churned).predict_proba(text)


def test_no_model_is_trained_on_a_subset_of_bins() -> None:
    """LightGBM 4.7 crashed the process on a shop of one-time buyers: their few spenders, as a subset of all rows."""
    folder = Path(lightgbm_base.__file__).parents[1]
    assert not [file for file in folder.rglob("*.py") if "data.subset(" in file.read_text(encoding="utf-8")]
