"""Mean churn and value, and value at risk, of segments, tiers and lifecycle groups at a cutoff and the one before."""

from __future__ import annotations

from typing import Any

import pandas as pd

from features.config.monitor import ALL_CUSTOMERS, LIFECYCLES
from features.config.segments import SEGMENTS, TIERS
from serving.scoring.score_tables import Scores

GROUPINGS = {"segment": SEGMENTS, "tier": TIERS, "lifecycle": LIFECYCLES}


def segment_rates(scores: Scores, before: Scores | None) -> list[dict[str, Any]]:
    """Return size, mean churn, mean value and total value at risk of everybody and of each group with customers.

    Groups are segments, tiers and lifecycle stages.

    Args:
        scores: The scores of the cutoff.
        before: The scores of the cutoff before it, or None. Segments of other rules are not compared.
    """
    now, earlier = _means(scores), _means(before) if before else {}
    if before and before.manifest.segment_rules != scores.manifest.segment_rules:
        earlier = {name: means for name, means in earlier.items() if name not in SEGMENTS}
    return [
        {
            "segment": name,
            "by": by,
            "customers": figures["customers"],
            "churn": figures["churn"],
            "value": figures["value"],
            "customers_before": earlier.get(name, {}).get("customers"),
            "churn_before": earlier.get(name, {}).get("churn"),
            "value_before": earlier.get(name, {}).get("value"),
            "value_at_risk": figures["value_at_risk"],
            "value_at_risk_before": earlier.get(name, {}).get("value_at_risk"),
        }
        for name, (by, figures) in _grouped(now).items()
    ]


def _grouped(now: dict[str, dict[str, Any]]) -> dict[str, tuple[str, dict[str, Any]]]:
    by = {ALL_CUSTOMERS: ALL_CUSTOMERS} | {name: column for column, names in GROUPINGS.items() for name in names}
    return {name: (by[name], now[name]) for name in by if name in now}


def _means(scores: Scores) -> dict[str, dict[str, Any]]:
    columns = ["churn_probability", "value", "value_at_risk", *GROUPINGS]
    table = scores.read_columns(columns).to_pandas().astype({"value": float, "value_at_risk": float})
    means = {ALL_CUSTOMERS: _mean(table)}
    for column in GROUPINGS:
        means |= {str(name): _mean(rows) for name, rows in table.groupby(column)}
    return means


def _mean(rows: pd.DataFrame) -> dict[str, Any]:
    value = float(rows["value"].mean())
    return {
        "customers": len(rows),
        "churn": float(rows["churn_probability"].mean()),
        "value": value if value == value else None,
        "value_at_risk": float(rows["value_at_risk"].sum()) if rows["value_at_risk"].notna().any() else None,
    }
