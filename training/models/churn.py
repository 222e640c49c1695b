"""The classifier of returning: a LightGBM classifier of churn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from training.models.lightgbm_base import LightGBMEstimator


class ChurnClassifier(ClassifierMixin, LightGBMEstimator):
    """Probability that a customer does not purchase within the horizon; the margin is the log-odds of churn.

    Attributes:
        classes_: The two labels, the second of which is churn.
    """

    objective = "binary"

    def fit(self, X: Any, y: Any) -> ChurnClassifier:
        """Fits features (n, p), in Arrow, pandas or NumPy, NaN allowed, and two classes (n,).

        Raises:
            ValueError: y has not exactly two classes.
        """
        return self.fit_margin(X, y)

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-odds of churn (n,)."""
        return self.margin(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, 2) of `classes_`."""
        churn = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.column_stack([1 - churn, churn])

    def predict(self, X: Any) -> np.ndarray:
        """The likelier class (n,)."""
        likely = (self.decision_function(X) > 0).astype(int)
        return self.classes_[likely]

    def _label(self, y: np.ndarray) -> np.ndarray:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            many = "Only binary classification is supported. " if len(self.classes_) > 2 else ""
            raise ValueError(f"{many}ChurnClassifier needs two classes, y has {len(self.classes_)} class(es)")
        return (y == self.classes_[1]).astype(float)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
