"""Exact contributions of every feature, in probability and in money, and the largest ones as reasons in words.

SHAP values add up in the models' margins (log-odds and log spend), but users read probabilities and money. Along the
straight path in the margins from the base (the mean margin) to the customer, each feature receives its share of every
step (Aumann and Shapley, Values of Non-Atomic Games, 1974), so base plus contributions is the predicted number. What
features that are predictions themselves contribute is handed on to the behaviour that they are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.feature import Feature
from features.phrases import format_reading
from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin
from training.artifact.reasons import Wording, hand_on_contributions, largest_reasons, read_shares

SLICE_ROWS = 8192  # rows computed together, to bound the memory of intermediate arrays
# Nodes of the quadrature by the largest length of the path; the relative error stays below 1e-12.
QUADRATURE_NODES = ((2.0, 12), (4.0, 18), (8.0, 28), (np.inf, 48))


@dataclass(frozen=True)
class Contributions:
    """What each feature adds to a prediction for each customer.

    Attributes:
        unit: 'probability' or 'money'.
        base: The starting point: the prediction for a typical customer, at the mean margins of the training customers.
        values: Contributions (n, p) in the unit; base plus their sum over p is `total`.
        total: The prediction (n,).
    """

    unit: str
    base: float
    values: np.ndarray
    total: np.ndarray


def compute_contributions(
    bundle: ModelBundle, features: Any, predicted: Mapping[str, np.ndarray] | None = None
) -> dict[str, Contributions]:
    """Compute contributions to 'churn' (probability) and, for a value model, to 'value' (money).

    If the model also predicts value over longer horizons, these follow by their columns, such as 'value_180d'.

    Args:
        bundle: A churn or a value model.
        features: A feature table (n rows), in Arrow or pandas, with the shares of `Snapshots.rows`.
        predicted: The model's predictions for the same rows; by default they are computed.

    Returns:
        The contributions by predicted outcome.
    """
    X = bundle.model_inputs(features)
    if predicted is None:
        predicted = bundle.predict(features)
    gate, gate_base = margin_shap_values(bundle.features, bundle.gate, X)
    z0, phi_z = float(bundle.churn_log_odds(np.array(gate_base))), bundle.slope * gate
    z = z0 + phi_z.sum(axis=1)
    rate = _secant(z0, z)[:, None]
    contributions = {"churn": Contributions("probability", _sigmoid(z0), phi_z * rate, predicted["churn_probability"])}
    if bundle.spend is not None:
        phi_l, spend_base = margin_shap_values(bundle.features, bundle.spend, X)
        l0 = float(bundle.log_spend(np.array(spend_base)))
        by_gate, by_spend = _along_path(z0, z, l0, l0 + phi_l.sum(axis=1))
        values = phi_z * by_gate[:, None] + phi_l * by_spend[:, None]
        contributions["value"] = Contributions("money", _sigmoid(-z0) * float(np.exp(l0)), values, predicted["value"])
        contributions |= _longer_horizons(bundle, X, predicted, contributions["value"])
    shares = read_shares(features)
    return {
        name: replace(part, values=hand_on_contributions(part.values, bundle.features, shares))
        for name, part in contributions.items()
    }


def _longer_horizons(
    bundle: ModelBundle, X: pa.Table, predicted: Mapping[str, np.ndarray], value: Contributions
) -> dict[str, Contributions]:
    """Return contributions to value over longer horizons: those to the shorter horizon plus those to the gain."""
    contributions: dict[str, Contributions] = {}
    for step in bundle.longer:
        phi, base = margin_shap_values(bundle.features, step.gain, X)
        start = float(step.log_gain(np.array(base)))
        change = phi.sum(axis=1)
        added = phi * (np.exp(start + change / 2) * _sinhc(change / 2))[:, None]
        value = Contributions("money", value.base + float(np.exp(start)), value.values + added, predicted[step.column])
        contributions[step.column] = value
    return contributions


def _sinhc(x: np.ndarray) -> np.ndarray:
    """Return sinh(x) / x (n,): the slope of the exponential's chord over [-x, x]."""
    near = np.abs(x) < 1e-4
    return np.where(near, 1 + x**2 / 6, np.sinh(x) / np.where(near, 1.0, x))


def shap_explanation(
    part: Contributions, features: Any, names: Sequence[str], phrases: Sequence[str] = (), scale: float = 1.0
) -> Any:
    """Turn contributions into a `shap.Explanation` for shap's own plots; text features stay text.

    Args:
        part: The contributions of n customers.
        features: Their features (n rows).
        names: The features (p) in the order of the contributions' columns.
        phrases: The labels (p) in plots; by default the names.
        scale: What contributions and base are multiplied by: 100 turns probability into points.

    Returns:
        The `shap.Explanation`.
    """
    import shap

    data = np.column_stack([features[name].to_numpy() for name in names])
    base = np.full(len(part.total), scale * part.base)
    labels = list(phrases or names)
    return shap.Explanation(values=scale * part.values, base_values=base, data=data, feature_names=labels)


def top_reasons(
    part: Contributions, features: pa.Table, catalog: Sequence[Feature], most: int
) -> list[list[dict[str, Any]]]:
    """Return the families with the largest net contributions to each customer's prediction, as reasons in words.

    Args:
        part: The contributions of n customers.
        features: Their features (n rows), which readings quote.
        catalog: The features in the order of the contributions' columns.
        most: The largest number of reasons; a contribution of zero is no reason.

    Returns:
        For each customer, reasons with feature, phrase, reading and contribution, the largest first; see
        `training.artifact.reasons.largest_reasons`.
    """
    return largest_reasons(part.values, features, [Wording.of(feature) for feature in catalog], most, format_reading)


def margin_shap_values(names: Sequence[str], margin: Margin, X: pa.Table) -> tuple[np.ndarray, float]:
    """Return SHAP values (n, p) in a margin and their base, from the weighted trees and the linear terms.

    Args:
        names: The columns (p) of the margin, in order.
        margin: The margin.
        X: The table (n rows) with these columns.

    Returns:
        The values and the base; their sum is the margin.
    """
    from serving.explanation.treeshap import (
        tree_explainer,  # importing numba takes half a second, and not every command explains
    )

    trees = tree_explainer(margin.trees, margin.weights, len(names))
    values = trees.values([column.to_numpy() for column in X.columns])
    for term in margin.terms:
        values[:, names.index(term.feature)] += term.contribution(X)
    return values, margin.intercept + trees.base


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def _secant(z0: float, z: np.ndarray) -> np.ndarray:
    """Return the slope (n,) of the sigmoid's chord from z0 to z; of its tangent where both are equal."""
    step = z - z0
    near = np.abs(step) < 1e-6
    middle = _sigmoid(z0 + step / 2)
    return np.where(near, middle * (1 - middle), (_sigmoid(z) - _sigmoid(z0)) / np.where(near, 1.0, step))


def _along_path(z0: float, z: np.ndarray, l0: float, l: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """Integrate the two partial derivatives of sigmoid(-z) exp(l) along the straight path: two arrays (n,)."""
    by_gate, by_spend = np.empty(len(z)), np.empty(len(z))
    length = np.maximum(np.abs(z - z0), np.abs(l - l0))
    shorter = -1.0
    for reach, nodes in QUADRATURE_NODES:
        rows = np.flatnonzero((length > shorter) & (length <= reach))
        for rows_slice in np.split(rows, range(SLICE_ROWS, len(rows), SLICE_ROWS)):
            by_gate[rows_slice], by_spend[rows_slice] = _by_nodes(z0, z[rows_slice], l0, l[rows_slice], nodes)
        shorter = reach
    far = np.abs(z - z0) > 1  # there the first integral follows from the second, as both add up to the total step
    total = _sigmoid(-z) * np.exp(l) - _sigmoid(-z0) * np.exp(l0)
    return np.where(far, (total - by_spend * (l - l0)) / np.where(far, z - z0, 1.0), by_gate), by_spend


def _by_nodes(
    z0: float,
    z: np.ndarray,
    l0: float,
    l: np.ndarray,  # noqa: E741
    nodes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the integrals of `_along_path` with a number of Gauss-Legendre nodes."""
    by_gate, by_spend = np.zeros(len(z)), np.zeros(len(z))
    for node, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        step, share = (node + 1) / 2, weight / 2
        back = _sigmoid(-(z0 + step * (z - z0)))
        value = share * back * np.exp(l0 + step * (l - l0))
        by_spend += value
        by_gate -= value * (1 - back)
    return by_gate, by_spend
