"""Reasons of single customers, as a registered model gives them: exact contributions, in the words that it carries.

MLflow carries this file inside a model, beside `bundle.py` and `phrases.py`, and runs it where nothing else of ours is:
it imports nothing of ours, and is given what it needs of the two. `serving.explanation.contributions` says the same
for whole cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
STEPS, SHARES = (NODES + 1) / 2, WEIGHTS / 2
Tell = Callable[..., str]


@dataclass(frozen=True)
class Wording:
    """How a feature is told: the fields of `features.feature.Feature` that hold words.

    Attributes:
        name: The column.
        family: Features of one family say nearly the same: a customer is given one reason of each.
        phrase: What it is.
        reading: The template of a customer's own value.
        unread: What is said where the value is null.
        at_zero: What is said of 0, where that reads better than the number.
    """

    name: str
    family: str
    phrase: str
    reading: str
    unread: str = ""
    at_zero: str = ""


def feature_contributions(bundle: Any, features: Any) -> dict[str, np.ndarray]:
    """What each feature adds (n, p) to 'churn' (probability) and, for a value model, to 'value' (money).

    SHAP values of the margins, shared out along the straight path from the mean margins to the customer's (Aumann and
    Shapley, Values of Non-Atomic Games, 1974); the integrals are done by quadrature, exact to about 1e-9.

    Args:
        bundle: A `bundle.ModelBundle`, of whatever module.
        features: A feature table (n rows), in Arrow or pandas.
    """
    X = bundle.model_inputs(features)
    gate, m0 = _shap(bundle.gate, X)
    z0, phi_z = bundle.churn_log_odds(m0), bundle.slope * gate
    z = z0 + phi_z.sum(axis=1)
    if bundle.spend is None:
        return {"churn": phi_z * _along(z0, z, 0.0, np.zeros(len(z)))[0][:, None]}
    phi_l, l0 = _shap(bundle.spend, X)
    spend0 = bundle.log_spend(l0)
    by_odds, by_gate, by_spend = _along(z0, z, spend0, spend0 + phi_l.sum(axis=1))
    return {"churn": phi_z * by_odds[:, None], "value": phi_z * by_gate[:, None] + phi_l * by_spend[:, None]}


def largest_reasons(
    amounts: np.ndarray, features: pa.Table, wordings: Sequence[Wording], count: int, tell: Tell
) -> list[list[dict[str, Any]]]:
    """The `count` largest contributions of each customer, one of each family and no reading twice.

    Args:
        amounts: Contributions (n, p).
        features: The customers' features (n rows), which readings quote.
        wordings: Of the p features, in their order.
        count: How many at most; a contribution of zero is no reason.
        tell: `phrases.format_reading`.

    Returns:
        For each customer feature, phrase, reading and contribution of each reason, the strongest first.
    """
    rows = features.to_pylist()
    return [_chosen(mine, row, wordings, count, tell) for mine, row in zip(amounts, rows, strict=True)]


def _chosen(
    amounts: np.ndarray, row: Mapping[str, Any], wordings: Sequence[Wording], count: int, tell: Tell
) -> list[dict[str, Any]]:
    told: set[str] = set()
    found: list[dict[str, Any]] = []
    for place in np.argsort(-np.abs(amounts), kind="stable"):
        words, amount = wordings[place], float(amounts[place])
        if len(found) == count or amount == 0.0:
            break
        reading = tell(row[words.name], row, words.reading, words.unread, words.at_zero)
        if words.family in told or reading in told:
            continue
        told |= {words.family, reading}
        found.append({"feature": words.name, "phrase": words.phrase, "reading": reading, "contribution": amount})
    return found


def _shap(margin: Any, X: pa.Table) -> tuple[np.ndarray, float]:
    """SHAP values (n, p) in a margin, and its mean: of each tree by its weight, of each term at its feature."""
    found, base = np.zeros((X.num_rows, X.num_columns)), margin.intercept
    for term in margin.terms:
        found[:, X.column_names.index(term.feature)] += term.contribution(X)
    for booster, weight in zip(margin.boosters(), margin.weights, strict=True):
        values = np.asarray(booster.predict(X, pred_contrib=True))
        found += weight * values[:, :-1]
        base += weight * float(values[0, -1]) if len(values) else 0.0
    return found, base


def _along(z0: float, z: np.ndarray, l0: float, l: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # noqa: E741
    """Mean slopes (n,) on the path: of the probability by z, and of the value sigmoid(-z) exp(l) by z and by l."""
    path = z0 + STEPS * (z - z0)[:, None]
    leaves = 1 / (1 + np.exp(-path))
    value = (1 - leaves) * np.exp(l0 + STEPS * (l - l0)[:, None])
    return (leaves * (1 - leaves)) @ SHARES, -(value * leaves) @ SHARES, value @ SHARES
