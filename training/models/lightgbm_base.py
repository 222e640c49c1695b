"""What the estimators of churn and value share: LightGBM with scikit-learn's conventions, reproducible to the bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

FIXED = {"verbosity": -1, "deterministic": True, "force_row_wise": True, "feature_pre_filter": False, "bagging_freq": 1}
# A customer appears at many cutoffs, so a level has more rows than customers. It therefore needs more rows than
# LightGBM's default asks for (cat_smooth is 10 there), and no split rests on a group below 100 rows.
CATEGORICAL = {"cat_smooth": 50.0, "cat_l2": 10.0, "min_data_per_group": 100}


@dataclass(frozen=True)
class BinnedFeatures:
    """Features of training rows, put into bins once for any number of fits.

    Other rows need bins of their own: training on LightGBM's `Dataset.subset` of few among many rows can crash the
    process.

    Attributes:
        data: LightGBM's bins, without the features themselves.
        names: The columns.
    """

    data: lgb.Dataset
    names: tuple[str, ...]


def bin_features(X: pa.Table, categorical: Sequence[str | int]) -> BinnedFeatures:
    """Puts the features of training rows into bins.

    Args:
        X: Features (n, p); text as codes.
        categorical: Columns that hold codes of levels: their names or positions.

    Returns:
        The bins.

    Raises:
        ValueError: A column holds no numbers.
    """
    refuse_text(X, "LightGBM")
    places = [c if isinstance(c, int) else X.column_names.index(c) for c in categorical]
    data = lgb.Dataset(X, label=np.zeros(X.num_rows), params=dict(FIXED), categorical_feature=places)
    return BinnedFeatures(data.construct(), tuple(X.column_names))


class LightGBMEstimator(BaseEstimator, ABC):
    """A LightGBM model of one margin.

    Args:
        n_estimators: Number of trees.
        learning_rate: Shrinkage of each tree.
        num_leaves: Most leaves of a tree.
        min_child_samples: Fewest rows in a leaf.
        feature_fraction: Share of the features that a tree may use.
        bagging_fraction: Share of the rows that a tree sees.
        lambda_l2: Ridge penalty on leaf values.
        seed: Seed of the sampling.
        categorical: Columns that hold codes of levels (0, 1, ...): their names, or positions if X has no names.

    Attributes:
        booster_: The trees.
    """

    objective = ""

    def __init__(
        self,
        n_estimators: int = 100,
        learning_rate: float = 0.06,
        num_leaves: int = 15,
        min_child_samples: int = 60,
        feature_fraction: float = 0.3,
        bagging_fraction: float = 0.8,
        lambda_l2: float = 5.0,
        seed: int = 0,
        categorical: Sequence[str | int] = (),
    ):
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.lambda_l2 = lambda_l2
        self.seed = seed
        self.categorical = categorical

    def margin(self, X: Any) -> np.ndarray:
        """The margin (n,)."""
        check_is_fitted(self)
        return np.asarray(self.booster_.predict(self._check_features(X), raw_score=True))

    def lightgbm_parameters(self) -> dict[str, Any]:
        """LightGBM's parameters: this model's own, and those that make training reproducible."""
        own = self.get_params(deep=False)
        own.pop("n_estimators")
        levels = CATEGORICAL if own.pop("categorical") else {}
        return {"objective": self.objective, **own, **levels, **FIXED}

    def fit_margin(self, X: Any, y: Any, start: np.ndarray | None = None, weight: np.ndarray | None = None) -> Self:
        """Fits the trees, optionally as a correction of another model's margins.

        Args:
            X: Features (n, p).
            y: Labels (n,), as in `fit`.
            start: Margins (n,) of the other model; `margin` then gives only what the trees add to them. None: no other
                model.
            weight: Weights (n,) of the rows; None: equal.

        Returns:
            This estimator.
        """
        X, y = self._check_training_data(X, y)
        self._train(X, self._label(y), start, weight)
        return self

    def fit_binned(
        self, rows: BinnedFeatures, y: np.ndarray, start: np.ndarray | None = None, weight: np.ndarray | None = None
    ) -> Self:
        """Fits the trees on features that are in bins already.

        Args:
            rows: The features (n rows); their labels, weights and margins are replaced.
            y: As in `fit_margin`.
            start: As in `fit_margin`.
            weight: As in `fit_margin`.

        Returns:
            This estimator.
        """
        self.feature_names_in_ = np.array(rows.names, dtype=object)
        self.n_features_in_ = len(rows.names)
        for field, values in (("label", self._label(y)), ("weight", weight), ("init_score", start)):
            rows.data.set_field(field, values)
        self.booster_ = lgb.train(self.lightgbm_parameters(), rows.data, num_boost_round=self.n_estimators)
        return self

    @abstractmethod
    def _label(self, y: np.ndarray) -> np.ndarray:
        """The labels (n,) as LightGBM takes them; raises ValueError if they cannot be learned."""

    def _train(self, X: Any, label: np.ndarray, start: np.ndarray | None, weight: np.ndarray | None) -> None:
        positions = self._categorical_positions()
        data = lgb.Dataset(X, label=label, weight=weight, init_score=start, params=FIXED, categorical_feature=positions)
        self.booster_ = lgb.train(self.lightgbm_parameters(), data, num_boost_round=self.n_estimators)

    def _categorical_positions(self) -> list[int]:
        """Positions of the categorical columns; raises ValueError if one is missing."""
        columns = [str(name) for name in getattr(self, "feature_names_in_", ())]
        missing = [c for c in self.categorical if c not in columns and c not in range(self.n_features_in_)]
        if missing:
            raise ValueError(f"{type(self).__name__}: categorical={missing[0]!r} is not a column of X")
        return [c if isinstance(c, int) else columns.index(c) for c in self.categorical]

    def _check_features(self, X: Any) -> Any:
        """Features for prediction, as LightGBM takes them."""
        if not isinstance(X, pa.Table):
            return validate_data(self, X, reset=False, ensure_all_finite="allow-nan", dtype=np.float64)
        if X.column_names != list(self.feature_names_in_):
            raise ValueError(f"{type(self).__name__}: columns are not those of fit: {X.column_names}")
        refuse_text(X, type(self).__name__)
        return X

    def _check_training_data(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Features and labels for training; Arrow tables are not converted."""
        if not isinstance(X, pa.Table):
            return validate_data(self, X, y, ensure_all_finite="allow-nan", dtype=np.float64, ensure_min_samples=2)
        refuse_text(X, type(self).__name__)
        self.feature_names_in_ = np.array(X.column_names, dtype=object)
        self.n_features_in_ = X.num_columns
        return X, np.asarray(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def refuse_text(X: pa.Table, who: str) -> None:
    """Raises ValueError for a column without numbers, on which LightGBM would abort the process."""
    wrong = [f.name for f in X.schema if not (pa.types.is_floating(f.type) or pa.types.is_integer(f.type))]
    if wrong:
        raise ValueError(
            f"{who}: column {wrong[0]!r} holds {X.schema.field(wrong[0]).type}; expected numbers "
            "(training.data.category_levels gives text columns their codes)"
        )
