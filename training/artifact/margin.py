"""The additive score behind a prediction: terms of single features, and weighted LightGBM trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .model_files import read_trees

if TYPE_CHECKING:
    import lightgbm as lgb

SMALLEST = 1e-3
SURE = 1e-4


@dataclass(frozen=True)
class Term:
    """What one feature adds to a margin: weight x (transform(value) - centre), and 0 where the value is null.

    Attributes:
        feature: The feature's column.
        shape: The transform: 'log1p' of value / scale, 'log' of value / scale (of 0.001 where that ratio is below), or
            'logit' of a probability.
        scale: The divisor, in the feature's unit.
        centre: Mean of the transformed value over the training rows, so that a term is 0 on average.
        weight: Coefficient of the transformed value.
        greatest: Greater values count as this, so that nothing extrapolates beyond what was learned; None: no bound.
        lowest: Smaller values count as this; None: no bound, and in models of earlier versions.
    """

    feature: str
    shape: str
    scale: float
    centre: float
    weight: float
    greatest: float | None = None
    lowest: float | None = None

    def transform(self, values: np.ndarray) -> np.ndarray:
        """The transformed values (n,); null stays NaN.

        >>> Term("recency_days", "log1p", 30.0, 0.0, 1.0).transform(np.array([0.0, 30.0])).round(4).tolist()
        [0.0, 0.6931]
        """
        bounded = values if self.greatest is None else np.minimum(values, self.greatest)
        bounded = bounded if self.lowest is None else np.maximum(bounded, self.lowest)
        if self.shape == "logit":
            p = np.clip(bounded, SURE, 1 - SURE)
            return np.log(p / (1 - p))
        ratio = bounded / self.scale
        return np.log1p(np.maximum(ratio, 0)) if self.shape == "log1p" else np.log(np.maximum(ratio, SMALLEST))

    def contribution(self, X: pa.Table) -> np.ndarray:
        """What the term adds to the margin (n,) of a table (n rows)."""
        values = X[self.feature].to_numpy().astype(np.float64)
        return np.nan_to_num(self.weight * (self.transform(values) - self.centre))


@dataclass(frozen=True)
class Margin:
    """A fitted additive score: the log-odds of churn, or the log of spend.

    Attributes:
        intercept: Added to every customer's margin.
        terms: Of single features.
        trees: LightGBM models as text.
        weights: One for each of the trees.
    """

    intercept: float = 0.0
    terms: tuple[Term, ...] = ()
    trees: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def predict(self, X: pa.Table) -> np.ndarray:
        """The margin (n,) of a bundle's feature columns.

        Raises:
            BundleError: The trees are not LightGBM's.
        """
        margin = np.full(X.num_rows, self.intercept)
        for term in self.terms:
            margin += term.contribution(X)
        for booster, weight in zip(self.boosters(), self.weights, strict=True):
            margin += weight * np.asarray(booster.predict(X, raw_score=True))
        return margin

    def contributions(self, X: pa.Table) -> np.ndarray:
        """What each column of X adds to the margin (n, p): terms, and exact SHAP values of the trees by LightGBM.

        Raises:
            BundleError: The trees are not LightGBM's.
        """
        added = np.zeros((X.num_rows, X.num_columns))
        for term in self.terms:
            added[:, X.column_names.index(term.feature)] += term.contribution(X)
        for booster, weight in zip(self.boosters(), self.weights, strict=True):
            added += weight * np.asarray(booster.predict(X, pred_contrib=True))[:, :-1]
        return added

    def boosters(self) -> list[lgb.Booster]:
        """The trees as LightGBM models.

        Raises:
            BundleError: A text is not LightGBM's.
        """
        return [read_trees(text) for text in self.trees]
