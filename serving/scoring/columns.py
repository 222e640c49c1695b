"""The columns of the score table. Needs neither config nor registry, so Spark's workers can use it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from serving.scoring import value_tiers
from training.artifact.reasons import REASON_TYPE

SCORE_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("cutoff", pa.timestamp("us")),
        ("churn_probability", pa.float64()),
        ("value", pa.float64()),
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("value_at_risk", pa.float64()),
        ("lifecycle", pa.string()),
        ("tier", pa.string()),
        ("segment", pa.string()),
        ("churn_reasons", pa.list_(REASON_TYPE)),
        ("value_reasons", pa.list_(REASON_TYPE)),
        ("churn_model", pa.string()),
        ("value_model", pa.string()),
    ]
)
EXTRA_COLUMNS_AT = SCORE_SCHEMA.names.index("value_at_risk") + 1  # longer horizons


def worth_if_retained(rows: pa.Table, predicted: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what customers would bring if they stayed (n,), which ranks them for their tier.

    It is value plus value at risk; without a value model, a feature stands in (`value_tiers.worth_without_money`).
    """
    return (
        predicted["value"] + predicted["value_at_risk"]
        if "value" in predicted
        else value_tiers.worth_without_money(rows)
    )


def score_columns(
    labels: Mapping[str, str], rows: pa.Table, predicted: Mapping[str, np.ndarray], groups: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return all score columns (n,) except the reasons.

    Args:
        labels: Name and version of the models, by 'churn' and 'value'.
        rows: The features of n customers.
        predicted: Their predictions (n,) by column.
        groups: Their tier and segment (n,), as `value_tiers.assign_groups` returns them for the whole cohort.

    Returns:
        The columns by name.
    """
    return {
        "customer_id": rows["customer_id"],
        "cutoff": rows["cutoff"],
        **predicted,
        "lifecycle": rows["lifecycle"],
        **groups,
        "churn_model": [labels["churn"]] * rows.num_rows,
        "value_model": [labels.get("value")] * rows.num_rows,
    }


def build_score_table(columns: Mapping[str, Any], reasons: Mapping[str, list[Any]], count: int) -> pa.Table:
    """Build the score table: the columns of SCORE_SCHEMA, null where there is no prediction (value without money).

    Further predictions, such as the value over a longer horizon, follow `value_at_risk` in the model's order.

    Args:
        columns: The score columns (n,) by name, without reasons.
        reasons: The reasons of each customer (n lists), by 'churn' and 'value'.
        count: The number of customers n.

    Returns:
        The score table (n rows).
    """
    all_columns = {**columns, "churn_reasons": reasons["churn"], "value_reasons": reasons.get("value", [[]] * count)}
    extra = [pa.field(name, pa.float64()) for name in columns if name not in SCORE_SCHEMA.names]
    schema = pa.schema([*list(SCORE_SCHEMA)[:EXTRA_COLUMNS_AT], *extra, *list(SCORE_SCHEMA)[EXTRA_COLUMNS_AT:]])
    return pa.table({f.name: all_columns.get(f.name, pa.nulls(count, f.type)) for f in schema}, schema=schema)
