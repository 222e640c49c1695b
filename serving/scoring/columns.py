"""The columns of the score table; knows no config and no registry, so that it can be used where those are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from serving.scoring import value_tiers

REASON_TYPE = pa.struct(
    [("feature", pa.string()), ("phrase", pa.string()), ("reading", pa.string()), ("contribution", pa.float64())]
)
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
EXTRA_COLUMNS_AT = (
    SCORE_SCHEMA.names.index("value_at_risk") + 1
)  # where other numbers that a model says have their place


def worth_if_retained(rows: pa.Table, said: Mapping[str, np.ndarray]) -> np.ndarray:
    """What ranks customers (n,) for their tier, from their features and what the models said of them."""
    return said["value"] + said["value_at_risk"] if "value" in said else value_tiers.worth_without_money(rows)


def score_columns(
    labels: Mapping[str, str], rows: pa.Table, said: Mapping[str, np.ndarray], tiers: np.ndarray
) -> dict[str, Any]:
    """The score columns (n,) but for the reasons, from features, numbers said and tiers of n customers.

    Args:
        labels: Of the models, by 'churn' and 'value'.
    """
    return {
        "customer_id": rows["customer_id"],
        "cutoff": rows["cutoff"],
        **said,
        "lifecycle": rows["lifecycle"],
        "tier": tiers,
        "segment": value_tiers.assign_segments(tiers, said["churn_probability"]),
        "churn_model": [labels["churn"]] * rows.num_rows,
        "value_model": [labels.get("value")] * rows.num_rows,
    }


def build_score_table(columns: Mapping[str, Any], why: Mapping[str, list[Any]], n: int) -> pa.Table:
    """The figures and reasons of `n` customers in the contract's columns; what a log cannot say is null.

    Further numbers that a model says stand after `value_at_risk`, in its order.
    """
    full = {**columns, "churn_reasons": why["churn"], "value_reasons": why.get("value", [[]] * n)}
    further = [pa.field(name, pa.float64()) for name in columns if name not in SCORE_SCHEMA.names]
    schema = pa.schema([*list(SCORE_SCHEMA)[:EXTRA_COLUMNS_AT], *further, *list(SCORE_SCHEMA)[EXTRA_COLUMNS_AT:]])
    return pa.table({f.name: full.get(f.name, pa.nulls(n, f.type)) for f in schema}, schema=schema)
