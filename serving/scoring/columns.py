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
EXTRA_COLUMNS_AT = SCORE_SCHEMA.names.index("value_at_risk") + 1  # longer horizons, and when customers return
NEXT_PURCHASE = "next_purchase"
NEXT_PURCHASE_COLUMNS = (NEXT_PURCHASE, f"{NEXT_PURCHASE}_low", f"{NEXT_PURCHASE}_high")


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
        **with_dates(predicted, rows["cutoff"]),
        "lifecycle": rows["lifecycle"],
        **groups,
        "churn_model": [labels["churn"]] * rows.num_rows,
        "value_model": [labels.get("value")] * rows.num_rows,
    }


def with_dates(predicted: Mapping[str, np.ndarray], cutoff: pa.ChunkedArray) -> dict[str, Any]:
    """Replace days after the cutoff by dates: `next_purchase_days_low` becomes `next_purchase_low`.

    Args:
        predicted: Predictions (n,) by column.
        cutoff: The cutoff of each customer (n,), a timestamp.

    Returns:
        The columns (n,) by name; null where a number of days is not known.
    """
    columns: dict[str, Any] = {}
    for name, values in predicted.items():
        if name.startswith(f"{NEXT_PURCHASE}_days"):
            known = np.isfinite(values)
            days = cutoff.to_numpy().astype("datetime64[D]") + np.where(known, values, 0).astype("timedelta64[D]")
            columns[name.replace("_days", "")] = pa.array(days, pa.date32(), mask=~known)
        elif name == "overdue_days":
            columns[name] = pa.array(values, mask=~np.isfinite(values))
        else:
            columns[name] = values
    return columns


def _extra_type(name: str) -> pa.DataType:
    return pa.date32() if name in NEXT_PURCHASE_COLUMNS else pa.float64()


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
    extra = [pa.field(name, _extra_type(name)) for name in columns if name not in SCORE_SCHEMA.names]
    schema = pa.schema([*list(SCORE_SCHEMA)[:EXTRA_COLUMNS_AT], *extra, *list(SCORE_SCHEMA)[EXTRA_COLUMNS_AT:]])
    return pa.table({f.name: all_columns.get(f.name, pa.nulls(count, f.type)) for f in schema}, schema=schema)
