"""Metrics of the evaluated models by group of customers; the columns that define groups need not be features.

They are read at the last cutoff for this purpose only: a model never sees a column that is not in [customers]
attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.config.sections import TrainingConfig
from features.config.table_sections import Customers
from features.errors import UsageError
from features.slugs import feature_slug
from features.snapshots import build
from training.data.prediction import OutOfTimePredictions, Prediction
from training.evaluation.evaluate import OURS, evaluate_predictions

COLUMNS = ["attribute", "group", "customers", "measure", "value", "low", "high", "cutoff"]
METRICS = ("auc", "brier", "total_error")
MIN_GROUP_SIZE, MAX_GROUPS, QUANTILES = 30, 20, 4
RISKIEST_SHARE = 0.2
SURE = 1.959964  # 95% of a normal distribution lie within this many standard errors
REST, UNKNOWN = "all smaller groups", "not known"


def evaluate_fairness(test: OutOfTimePredictions, attributes: pa.Table, settings: TrainingConfig) -> pd.DataFrame:
    """Metrics of the evaluated models by group of each column in `[training] fairness`, at the last cutoff.

    Args:
        test: The predictions for the last cutoff and the true outcomes.
        attributes: The table of `read_fairness_groups` at that cutoff.
        settings: The section [training], which names the columns.

    Returns:
        attribute, group, customers, measure, value, low, high, cutoff. Measures are churned (share), predicted churn
        (mean), gap (predicted minus churned), picked (share among the 20% at highest risk), auc, brier and total_error.
        Groups of fewer than 30 customers are merged, and left out if they are still too small.
    """
    names = settings.fairness
    if not names:
        return pd.DataFrame(columns=COLUMNS)
    row_of = {customer: i for i, customer in enumerate(attributes["customer_id"].to_pylist())}
    order = pa.array([row_of.get(customer) for customer in test.truth.customers.to_pylist()], pa.int64())
    rows = []
    for name in names:
        column = attributes[feature_slug(name)].combine_chunks().take(order)
        rows += list(_by_group(name, _group_names(column), test, settings))
    return pd.DataFrame(rows, columns=COLUMNS)


def read_fairness_groups(config: Config, cutoff: date) -> pa.Table:
    """Reads customer_id and the columns of `[training] fairness` at a cutoff, for its cohort.

    This builds that cutoff alone with few other features; the result is not cached.

    Raises:
        UsageError: The customer table has no such column.
    """
    section, names = config.customers, config.training.fairness
    if section is None or not names:
        return pa.table({"customer_id": pa.array([], pa.string())})
    only: dict[str, Any] = {
        "attributes": names,
        "constant": () if section.known_at else names,
        "personal": tuple(name for name in section.personal if name not in names),
        "since": "",
    }
    bare = {
        "customers": Customers.model_construct(**{**dict(section), **only}),
        "events": config.events.model_copy(update={"kinds": (), "quantity": "", "discount": ""}),
        "activities": {},
        "contacts": None,
        "features": config.features.model_copy(update={"own": "", "cache": "off"}),
        "task": config.task.model_copy(update={"windows": config.task.windows[:1]}),
    }
    try:
        return build.build_snapshots(config.model_copy(update=bare), [cutoff], with_labels=False).rows
    except UsageError as problem:
        raise UsageError(f"[training] fairness: {problem}") from None


def _group_names(column: pa.Array) -> np.ndarray:
    """The name of each customer's group (n,): levels of text, quarters of numbers; small groups are merged."""
    if pa.types.is_floating(column.type):
        names = _quarters(column.to_numpy(zero_copy_only=False))
    else:
        names = np.array(pc.fill_null(column.cast(pa.string()), UNKNOWN).to_pylist(), dtype=object)
    kept, counts = np.unique(names.astype(str), return_counts=True)
    large = [name for _, name in sorted(zip(-counts, kept, strict=True)) if (names == name).sum() >= MIN_GROUP_SIZE][
        :MAX_GROUPS
    ]
    return np.where(np.isin(names.astype(str), large), names, REST)


def _quarters(values: np.ndarray) -> np.ndarray:
    """Quarters of the customers by a number (n,), named by their ends.

    >>> _quarters(np.array([1.0, 2.0, 3.0, 4.0, np.nan])).tolist()
    ['1 to 1.75', '1.75 to 2.5', '2.5 to 3.25', '3.25 to 4', 'not known']
    """
    names = np.full(len(values), UNKNOWN, dtype=object)
    inside = ~np.isnan(values)
    if not inside.any():
        return names
    edges = np.unique(np.quantile(values[inside], np.linspace(0, 1, QUANTILES + 1)))
    part = np.clip(np.searchsorted(edges, values[inside], side="right") - 1, 0, max(len(edges) - 2, 0))
    names[inside] = [f"{edges[i]:g} to {edges[min(i + 1, len(edges) - 1)]:g}" for i in part]
    return names


def _by_group(
    name: str, groups: np.ndarray, test: OutOfTimePredictions, settings: TrainingConfig
) -> Iterator[dict[str, Any]]:
    truth, churn = test.truth, test.predicted["churn_probability"]
    picked = np.zeros(len(truth))
    picked[np.argsort(-churn, kind="stable")[: round(RISKIEST_SHARE * len(truth))]] = 1.0
    masks = {str(group): groups == group for group in np.unique(groups.astype(str))}
    masks = {group: mask for group, mask in masks.items() if mask.sum() >= MIN_GROUP_SIZE}
    metrics = _metrics(test, masks, settings)
    for group, mask in masks.items():
        base = {"attribute": name, "group": group, "customers": int(mask.sum()), "cutoff": test.cutoff}
        parts = {
            "churned": truth.churned[mask],
            "predicted churn": churn[mask],
            "gap": churn[mask] - truth.churned[mask],
            "picked": picked[mask],
        }
        for measure, values in parts.items():
            yield {**base, "measure": measure, **_mean_interval(values)}
        for row in metrics[metrics.segment == group].to_dict("records"):
            yield {**base, "measure": row["metric"], **{key: row[key] for key in ("value", "low", "high")}}


def _metrics(test: OutOfTimePredictions, masks: dict[str, np.ndarray], settings: TrainingConfig) -> pd.DataFrame:
    prediction = Prediction(test.predicted["churn_probability"], test.predicted.get("value"))
    metrics = evaluate_predictions(
        {OURS: prediction}, test.truth, test.cutoff, seed=settings.seed, resamples=settings.bootstrap, segments=masks
    ).metrics
    return metrics[metrics.metric.isin(METRICS)]


def _mean_interval(values: np.ndarray) -> dict[str, float]:
    """A mean with its 95% confidence interval, by the normal approximation."""
    middle, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": middle, "low": middle - SURE * error, "high": middle + SURE * error}
