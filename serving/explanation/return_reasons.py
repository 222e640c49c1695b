"""Exact contributions of every feature to the probability of returning within some days: reasons for sooner or later.

The probability is a function of the classifier's margin and of the log-odds of each period's hazard. As for the other
numbers, each feature receives its share of every step along the straight path from typical margins to the customer's
(Aumann and Shapley, 1974). What the days since the last order by a period, in days or in usual gaps, and the hazard
that BG/NBD expects contribute goes to the features that they are made of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from serving.explanation.contributions import Contributions, margin_shap_values
from training.artifact.bundle import ModelBundle
from training.artifact.reasons import hand_on_contributions, read_shares
from training.artifact.return_hazard import ReturnHazard

NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)
SOURCES = {"elapsed_days": "recency_days", "elapsed_gaps": "gap_median_days", "expected_hazard": "return_probability"}


def return_contributions(bundle: ModelBundle, features: Any, days: int) -> Contributions:
    """Compute contributions to the probability of a purchase within some days.

    Args:
        bundle: A model with a hazard of returning.
        features: A feature table (n rows), in Arrow or pandas, with the shares of `Snapshots.rows`.
        days: Days after the cutoff: the end of a period, such as a quarter of the horizon.

    Returns:
        The contributions; base plus their sum is the probability.

    Raises:
        ValueError: The model has no hazard of returning, or no period ends on that day within the horizon.
    """
    if bundle.returns is None or days not in bundle.returns.bounds or days > bundle.returns.horizon:
        raise ValueError(f"the model has no curve of returning with a point at {days} days within its horizon")
    X, returns = bundle.model_inputs(features), bundle.returns
    gate, gate_base = margin_shap_values(bundle.features, bundle.gate, X)
    z0, phi_z = float(bundle.churn_log_odds(np.array(gate_base))), bundle.slope * gate
    count = returns.bounds.index(returns.horizon) + 1
    phi_h = np.stack([_hazard_values(bundle, X, period) for period in range(count)], axis=1)  # (n, periods, p)
    steps = np.concatenate([phi_z.sum(axis=1)[:, None], phi_h.sum(axis=2)], axis=1)
    start = np.array([z0, *returns.typical[:count]])
    end = returns.bounds.index(days) + 1
    slopes = np.zeros_like(steps)
    for node, weight in zip((NODES + 1) / 2, WEIGHTS / 2, strict=True):
        slopes += weight * _slopes(start + node * steps, end, returns.pace)
    values = phi_z * slopes[:, [0]] + np.einsum("nkp,nk->np", phi_h, slopes[:, 1:])
    total = _returned(start + steps, end, returns.pace)
    values[:, bundle.features.index("recency_days")] += (
        total - _returned(start[None, :], end, returns.pace) - values.sum(axis=1)
    )
    part = Contributions("probability", float(_returned(start[None, :], end, returns.pace)[0]), values, total)
    return replace(part, values=hand_on_contributions(values, bundle.features, read_shares(features)))


def _hazard_values(bundle: ModelBundle, X: pa.Table, period: int) -> np.ndarray:
    """SHAP values (n, p) of a period's log-odds by the model's features, from the typical log-odds of the period.

    What the period itself contributes beyond that goes to the days since the last order.
    """
    returns: ReturnHazard = bundle.returns  # type: ignore[assignment]
    rows = returns.period_rows(X, np.arange(X.num_rows), np.full(X.num_rows, period))
    values, base = margin_shap_values(returns.columns, returns.hazard, rows)
    given = np.zeros((X.num_rows, len(bundle.features)))
    for place, name in enumerate(returns.columns):
        owner = SOURCES.get(name, name)
        if owner in bundle.features:
            given[:, bundle.features.index(owner)] += values[:, place]
    rest = base + values.sum(axis=1) - returns.typical[period] - given.sum(axis=1)
    given[:, bundle.features.index("recency_days")] += rest
    return given


def _returned(margins: np.ndarray, end: int, pace: float) -> np.ndarray:
    """P(a purchase by the end of a period) (n,), from log-odds of churn and of the periods (n, 1 + k)."""
    returned = _within(margins[:, 1:])
    return (returned[:, end - 1] / returned[:, -1]) ** pace / (1 + np.exp(margins[:, 0]))


def _slopes(margins: np.ndarray, end: int, pace: float) -> np.ndarray:
    """The partial derivatives (n, 1 + k) of `_returned` by each of the log-odds."""
    hazard, returned = 1 / (1 + np.exp(-margins[:, 1:])), _within(margins[:, 1:])
    churn, share = 1 / (1 + np.exp(-margins[:, 0])), returned[:, end - 1] / returned[:, -1]
    by_end = (1 - returned[:, [end - 1]]) * hazard * (np.arange(hazard.shape[1]) < end)
    by_horizon = (1 - returned[:, [-1]]) * hazard
    by_share = (1 - churn) * pace * share ** (pace - 1)
    by_hazard = by_share[:, None] * (by_end - share[:, None] * by_horizon) / returned[:, [-1]]
    return np.concatenate([(-churn * (1 - churn) * share**pace)[:, None], by_hazard], axis=1)


def _within(log_odds: np.ndarray) -> np.ndarray:
    """P(a purchase by the end of each period) (n, k), from the log-odds of the hazards, not anchored."""
    return -np.expm1(-np.cumsum(np.logaddexp(0, log_odds), axis=1))
