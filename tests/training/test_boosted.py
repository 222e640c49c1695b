"""Both estimators keep scikit-learn's conventions, repeat themselves bit by bit, and read Arrow as numpy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from training.boosted import Boosted
from training.churn import ChurnClassifier
from training.value import SpendRegressor

SMALL = {"n_estimators": 20, "min_child_samples": 2, "learning_rate": 0.3, "feature_fraction": 1.0, "lambda_l2": 0.0}


@parametrize_with_checks([ChurnClassifier(**SMALL), SpendRegressor(**SMALL)])
def test_scikit_learn_conventions(estimator: BaseEstimator, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def _data(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 4))
    X[rng.random(X.shape) < 0.1] = np.nan
    signal = np.nan_to_num(X[:, 0])
    return X, (signal + rng.normal(size=rows) > 0).astype(float), np.exp(signal + rng.normal(size=rows))


@pytest.mark.parametrize("kind", [ChurnClassifier, SpendRegressor])
def test_same_seed_gives_the_same_trees_and_another_does_not(kind: type[Boosted]) -> None:
    X, churned, spend = _data()
    y = churned if kind is ChurnClassifier else spend
    texts = [kind(seed=seed).fit(X, y).booster_.model_to_string() for seed in (1, 1, 2)]  # type: ignore[attr-defined]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("kind", [ChurnClassifier, SpendRegressor])
def test_arrow_says_what_numpy_says(kind: type[Boosted]) -> None:
    X, churned, spend = _data()
    y = churned if kind is ChurnClassifier else spend
    table = pa.table({f"f{i}": pa.array(X[:, i], from_pandas=True) for i in range(4)})
    by_arrow, by_numpy = kind().fit(table, y), kind().fit(X, y)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(by_arrow.margin(table), by_numpy.margin(X))


def test_other_columns_than_those_of_fit_are_refused() -> None:
    X, churned, _ = _data()
    table = pa.table({f"f{i}": X[:, i] for i in range(4)})
    model = ChurnClassifier().fit(table, churned)
    with pytest.raises(ValueError, match="columns are not those of fit"):
        model.predict(table.rename_columns(["f1", "f0", "f2", "f3"]))
