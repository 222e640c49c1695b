"""Exact contributions of every feature, in probability points and in money, and the top ones as reasons in words.

SHAP values add up in the models' margins; users read probabilities and money. Along the straight path in the margins
from the base (the mean margin) to the customer, each feature receives its share of every step (Aumann and Shapley,
Values of Non-Atomic Games, 1974), so base plus contributions is the shipped number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from features.feature import Feature
from features.phrases import Row
from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin

SLICE_ROWS = 8192  # rows worked on at once, where what lies between would fill the memory
# Nodes of the quadrature, up to this length of the path: the error stays below 1e-12 of the number.
QUADRATURE_NODES = ((2.0, 12), (4.0, 18), (8.0, 28), (np.inf, 48))


@dataclass(frozen=True)
class Contributions:
    """What each feature adds to a number of each customer.

    Attributes:
        unit: 'probability' or 'money'.
        base: The number at the mean margins.
        values: (n, p), in the unit; base + their sum over p is `total`.
        total: The shipped number (n,).
    """

    unit: str
    base: float
    values: np.ndarray
    total: np.ndarray


def compute_contributions(
    bundle: ModelBundle, features: Any, shipped: Mapping[str, np.ndarray] | None = None
) -> dict[str, Contributions]:
    """Contributions to 'churn' (probability) and, for a value model, to 'value' (money).

    Where the model says the value over longer horizons too, they follow under the names of their columns, such as
    'value_180d'.

    Args:
        bundle: A churn or a value model.
        features: A feature table (n rows), in Arrow or pandas.
        shipped: What the model said of the same rows, where that is known already.
    """
    X = bundle.model_inputs(features)
    if shipped is None:
        shipped = bundle.predict(features)
    gate, gate_base = _margins(bundle, bundle.gate, X)
    z0, phi_z = float(bundle.churn_log_odds(np.array(gate_base))), bundle.slope * gate
    z = z0 + phi_z.sum(axis=1)
    rate = _secant(z0, z)[:, None]
    found = {"churn": Contributions("probability", _sigmoid(z0), phi_z * rate, shipped["churn_probability"])}
    if bundle.spend is not None:
        phi_l, spend_base = _margins(bundle, bundle.spend, X)
        l0 = float(bundle.log_spend(np.array(spend_base)))
        by_gate, by_spend = _along_path(z0, z, l0, l0 + phi_l.sum(axis=1))
        values = phi_z * by_gate[:, None] + phi_l * by_spend[:, None]
        found["value"] = Contributions("money", _sigmoid(-z0) * float(np.exp(l0)), values, shipped["value"])
        found |= _over_longer(bundle, X, shipped, found["value"])
    return found


def _over_longer(
    bundle: ModelBundle, X: pa.Table, shipped: Mapping[str, np.ndarray], value: Contributions
) -> dict[str, Contributions]:
    """To the value over longer horizons: the contributions to the one before, and those to what each adds to it."""
    found: dict[str, Contributions] = {}
    for step in bundle.longer:
        phi, base = _margins(bundle, step.gain, X)
        start = float(step.log_gain(np.array(base)))
        whole = phi.sum(axis=1)
        added = phi * (np.exp(start + whole / 2) * _sinhc(whole / 2))[:, None]
        value = Contributions("money", value.base + float(np.exp(start)), value.values + added, shipped[step.column])
        found[step.column] = value
    return found


def _sinhc(x: np.ndarray) -> np.ndarray:
    """sinh(x) / x (n,): the exponential's chord over [-x, x] in units of its middle."""
    near = np.abs(x) < 1e-4
    return np.where(near, 1 + x**2 / 6, np.sinh(x) / np.where(near, 1.0, x))


def shap_explanation(
    part: Contributions, features: Any, names: Sequence[str], phrases: Sequence[str] = (), scale: float = 1.0
) -> Any:
    """The contributions as a `shap.Explanation`, for shap's own plots; text stays text.

    Args:
        part: Of n customers.
        features: Their features (n rows).
        names: The columns (p) of the contributions.
        phrases: What the plots call them (p); by default by their columns.
        scale: Of the contributions and the base: 100 makes points of a probability.
    """
    import shap

    data = np.column_stack([features[name].to_numpy() for name in names])
    base = np.full(len(part.total), scale * part.base)
    shown = list(phrases or names)
    return shap.Explanation(values=scale * part.values, base_values=base, data=data, feature_names=shown)


def top_reasons(
    part: Contributions, features: pa.Table, catalog: Sequence[Feature], count: int
) -> list[list[dict[str, Any]]]:
    """The `count` largest contributions of each customer, by size, one from each family and no reading twice.

    Args:
        part: Of n customers.
        features: Their features (n rows), which readings quote.
        catalog: The features in the order of the contributions' columns.
        count: How many at most; a contribution of zero is no reason.
    """
    order = np.argsort(-np.abs(part.values), axis=1, kind="stable")
    columns = {name: features[name].to_pylist() for name in features.column_names}
    return [_chosen(part.values[row], places, _Row(columns, row), catalog, count) for row, places in enumerate(order)]


def _chosen(
    amounts: np.ndarray, places: np.ndarray, row: Row, catalog: Sequence[Feature], count: int
) -> list[dict[str, Any]]:
    """The first `count` places of a customer that say something new."""
    told: set[str] = set()
    found: list[dict[str, Any]] = []
    for place in places:
        feature, amount = catalog[place], float(amounts[place])
        if len(found) == count or amount == 0.0:
            break
        if feature.family in told or (reading := feature.format_reading(row)) in told:
            continue
        told |= {feature.family, reading}
        found.append({"feature": feature.name, "phrase": feature.phrase, "reading": reading, "contribution": amount})
    return found


class _Row(dict[str, Any]):
    """One customer's features, read from the columns only when a reading asks for them."""

    def __init__(self, columns: dict[str, list[Any]], row: int):
        super().__init__()
        self.columns, self.row = columns, row

    def __missing__(self, name: str) -> Any:
        return self.columns[name][self.row]


def _margins(bundle: ModelBundle, margin: Margin, X: pa.Table) -> tuple[np.ndarray, float]:
    """SHAP values (n, p) in a margin and their base: of each tree by its weight, of each term at its feature."""
    from serving.explanation.treeshap import (
        tree_explainer,  # numba takes half a second to come, and not every command explains
    )

    trees = tree_explainer(margin.trees, margin.weights, len(bundle.features))
    found = trees.values([column.to_numpy() for column in X.columns])
    for term in margin.terms:
        found[:, bundle.features.index(term.feature)] += term.contribution(X)
    return found, margin.intercept + trees.base


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def _secant(z0: float, z: np.ndarray) -> np.ndarray:
    """The slope (n,) of the sigmoid's chord from z0 to z, and of its tangent where they meet."""
    step = z - z0
    near = np.abs(step) < 1e-6
    middle = _sigmoid(z0 + step / 2)
    return np.where(near, middle * (1 - middle), (_sigmoid(z) - _sigmoid(z0)) / np.where(near, 1.0, step))


def _along_path(z0: float, z: np.ndarray, l0: float, l: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """Integrals (n,) of the two partial derivatives of sigmoid(-z) exp(l) along the straight path, by quadrature."""
    by_gate, by_spend = np.empty(len(z)), np.empty(len(z))
    length = np.maximum(np.abs(z - z0), np.abs(l - l0))
    shorter = -1.0
    for reach, nodes in QUADRATURE_NODES:
        rows = np.flatnonzero((length > shorter) & (length <= reach))
        for some in np.split(rows, range(SLICE_ROWS, len(rows), SLICE_ROWS)):
            by_gate[some], by_spend[some] = _by_nodes(z0, z[some], l0, l[some], nodes)
        shorter = reach
    far = np.abs(z - z0) > 1  # there the first follows from the second, as both together make up the whole step
    whole = _sigmoid(-z) * np.exp(l) - _sigmoid(-z0) * np.exp(l0)
    return np.where(far, (whole - by_spend * (l - l0)) / np.where(far, z - z0, 1.0), by_gate), by_spend


def _by_nodes(
    z0: float,
    z: np.ndarray,
    l0: float,
    l: np.ndarray,  # noqa: E741
    nodes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The same integrals by so many Gauss-Legendre nodes."""
    by_gate, by_spend = np.zeros(len(z)), np.zeros(len(z))
    for node, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        step, share = (node + 1) / 2, weight / 2
        back = _sigmoid(-(z0 + step * (z - z0)))
        value = share * back * np.exp(l0 + step * (l - l0))
        by_spend += value
        by_gate -= value * (1 - back)
    return by_gate, by_spend
