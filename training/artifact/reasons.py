"""Reasons for single customers' scores, as a registered model gives them: exact contributions in plain words.

MLflow carries this module inside a model and runs it where nothing else of ours is installed, so it imports nothing of
ours: the bundle and `phrases.format_reading` are arguments. `serving.explanation.contributions` computes the same for
whole cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
POSITIONS, QUADRATURE_WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
FormatReading = Callable[..., str]


@dataclass(frozen=True)
class Wording:
    """The words for a feature: the fields of `features.feature.Feature` that hold text.

    Attributes:
        name: The feature's column.
        family: Features of one family are alike, so a customer gets at most one reason from each family.
        phrase: What the feature measures.
        reading: Template for a customer's own value.
        unread: Text for a null.
        at_zero: Text for 0, if that reads better than the number.
    """

    name: str
    family: str
    phrase: str
    reading: str
    unread: str = ""
    at_zero: str = ""


def feature_contributions(bundle: Any, features: Any) -> dict[str, np.ndarray]:
    """What each feature adds to the predicted probability of churn and, for a value model, to the value.

    SHAP values of the margins are converted along the straight path from the mean margins to the customer's (Aumann
    and Shapley, Values of Non-Atomic Games, 1974). The integrals are computed by quadrature, exact to about 1e-9.

    Args:
        bundle: A `ModelBundle`, loaded from any copy of its module.
        features: A feature table (n rows), in Arrow or pandas.

    Returns:
        Contributions (n, p) by 'churn' (a probability) and, for a value model, 'value' (money).
    """
    X = bundle.model_inputs(features)
    phi_m, m0 = _shap_values(bundle.gate, X)
    z0, phi_z = bundle.churn_log_odds(m0), bundle.slope * phi_m
    z = z0 + phi_z.sum(axis=1)
    if bundle.spend is None:
        return {"churn": phi_z * _path_integrals(z0, z, 0.0, np.zeros(len(z)))[0][:, None]}
    phi_l, l0 = _shap_values(bundle.spend, X)
    spend0 = bundle.log_spend(l0)
    churn_by_z, value_by_z, value_by_l = _path_integrals(z0, z, spend0, spend0 + phi_l.sum(axis=1))
    return {"churn": phi_z * churn_by_z[:, None], "value": phi_z * value_by_z[:, None] + phi_l * value_by_l[:, None]}


def largest_reasons(
    amounts: np.ndarray, features: pa.Table, wordings: Sequence[Wording], count: int, format_reading: FormatReading
) -> list[list[dict[str, Any]]]:
    """The largest contributions for each customer, at most one from each family and no reading twice.

    Args:
        amounts: Contributions (n, p).
        features: The customers' features (n rows), which the readings quote.
        wordings: Words for the p features, in their order.
        count: Most reasons for a customer; a contribution of zero is no reason.
        format_reading: `phrases.format_reading`.

    Returns:
        For each customer a list of reasons (feature, phrase, reading, contribution), the largest first.
    """
    rows = features.to_pylist()
    return [
        _customer_reasons(mine, row, wordings, count, format_reading) for mine, row in zip(amounts, rows, strict=True)
    ]


def _customer_reasons(
    amounts: np.ndarray, row: Mapping[str, Any], wordings: Sequence[Wording], count: int, format_reading: FormatReading
) -> list[dict[str, Any]]:
    used: set[str] = set()
    chosen: list[dict[str, Any]] = []
    for place in np.argsort(-np.abs(amounts), kind="stable"):
        wording, amount = wordings[place], float(amounts[place])
        if len(chosen) == count or amount == 0.0:
            break
        reading = format_reading(row[wording.name], row, wording.reading, wording.unread, wording.at_zero)
        if wording.family in used or reading in used:
            continue
        used |= {wording.family, reading}
        chosen.append({"feature": wording.name, "phrase": wording.phrase, "reading": reading, "contribution": amount})
    return chosen


def _shap_values(margin: Any, X: pa.Table) -> tuple[np.ndarray, float]:
    """SHAP values (n, p) of a margin, and its mean."""
    total, base = np.zeros((X.num_rows, X.num_columns)), margin.intercept
    for term in margin.terms:
        total[:, X.column_names.index(term.feature)] += term.contribution(X)
    for booster, weight in zip(margin.boosters(), margin.weights, strict=True):
        values = np.asarray(booster.predict(X, pred_contrib=True))
        total += weight * values[:, :-1]
        base += weight * float(values[0, -1]) if len(values) else 0.0
    return total, base


def _path_integrals(z0: float, z: np.ndarray, l0: float, l: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # noqa: E741
    """Mean slopes (n,) along the path: of sigmoid(z) by z, and of the value sigmoid(-z) exp(l) by z and by l."""
    path = z0 + POSITIONS * (z - z0)[:, None]
    churn = 1 / (1 + np.exp(-path))
    value = (1 - churn) * np.exp(l0 + POSITIONS * (l - l0)[:, None])
    return (churn * (1 - churn)) @ QUADRATURE_WEIGHTS, -(value * churn) @ QUADRATURE_WEIGHTS, value @ QUADRATURE_WEIGHTS
