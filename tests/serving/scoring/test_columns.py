"""The score table has all columns of its schema, in order and by type."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from serving.scoring.columns import SCORE_SCHEMA, build_score_table, score_columns

ROWS = pa.table(
    {"customer_id": ["a", "b"], "cutoff": pa.array([0, 0], pa.timestamp("us")), "lifecycle": ["new", "active"]}
)
REASONS = [[{"feature": "f", "phrase": "p", "reading": "r", "contribution": 0.1}], []]

GROUPS = {"tier": np.array(["high", "low"]), "segment": np.array(["save first", "maintain"])}


def test_without_a_value_model_its_columns_are_null() -> None:
    churn = {"churn_probability": np.array([0.9, 0.1])}
    table = build_score_table(score_columns({"churn": "shop-churn 1"}, ROWS, churn, GROUPS), {"churn": REASONS}, 2)
    assert table.schema.equals(SCORE_SCHEMA)
    assert table["value"].null_count == 2 and table["value_model"].null_count == 2
    assert table["value_reasons"].to_pylist() == [[], []] and table["churn_reasons"].to_pylist() == REASONS
    assert table["churn_model"].to_pylist() == ["shop-churn 1"] * 2


def test_days_to_the_next_purchase_become_dates() -> None:
    predicted = {
        "churn_probability": np.array([0.9, 0.1]),
        "next_purchase_days": np.array([np.nan, 3.0]),
        "next_purchase_days_low": np.array([31.0, 0.0]),
        "next_purchase_days_high": np.array([np.nan, np.nan]),
        "expected_orders": np.array([0.1, 1.2]),
        "overdue_days": np.array([np.nan, -4.5]),
        "returns_within_7d": np.array([0.05, 0.6]),
    }
    table = build_score_table(score_columns({"churn": "c"}, ROWS, predicted, GROUPS), {"churn": REASONS}, 2)
    assert table["next_purchase"].to_pylist() == [None, date(1970, 1, 4)]
    assert table["next_purchase_low"].to_pylist() == [date(1970, 2, 1), date(1970, 1, 1)]
    assert table["next_purchase_high"].type == pa.date32() and table["next_purchase_high"].null_count == 2
    assert table["overdue_days"].to_pylist() == [None, -4.5] and table["returns_within_7d"].null_count == 0


def test_longer_horizons_follow_the_value_at_risk() -> None:
    numbers = np.array([1.0, 2.0])
    predicted = {
        "churn_probability": numbers / 4,
        "value": numbers,
        "value_at_risk": numbers,
        "value_365d": numbers * 3,
    }
    labels = {"churn": "c", "value": "v"}
    columns = score_columns(labels, ROWS, predicted, GROUPS)
    table = build_score_table(columns, {"churn": REASONS, "value": REASONS}, 2)
    place = table.column_names.index("value_at_risk")
    assert table.column_names[place + 1] == "value_365d" and table["value_365d"].to_pylist() == [3.0, 6.0]
    assert [name for name in table.column_names if name != "value_365d"] == SCORE_SCHEMA.names
