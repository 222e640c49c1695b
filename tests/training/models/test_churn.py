"""The gate: probabilities that follow the signal, and a clear word where there is only one class."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.churn import ChurnClassifier


def test_probabilities_add_up_and_follow_the_signal() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2000, 3))
    y = (rng.random(2000) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)
    probability = ChurnClassifier().fit(X[:1000], y[:1000]).predict_proba(X[1000:])
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert np.corrcoef(probability[:, 1], X[1000:, 0])[0, 1] > 0.8


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="needs two classes, y has 1 class"):
        ChurnClassifier().fit(np.ones((50, 2)), np.zeros(50))


def test_the_margin_is_the_log_odds_of_the_second_class() -> None:
    X = np.random.default_rng(2).normal(size=(300, 2))
    model = ChurnClassifier().fit(X, np.where(X[:, 0] > 0, "left", "came"))
    assert model.classes_.tolist() == ["came", "left"]
    np.testing.assert_allclose(1 / (1 + np.exp(-model.decision_function(X))), model.predict_proba(X)[:, 1])
