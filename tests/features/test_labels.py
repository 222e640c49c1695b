"""What happened after a cutoff, on orders small enough to add up in the head."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from features.duck import DuckDBEngine
from features.intake import TICKS
from features.labels import label_columns, labels

# customer, order, amount
FUTURE = (
    ("buyer", "1", 10.0),
    ("buyer", "2", 5.0),
    ("buyer", "2", -2.0),
    ("refunded", "1", -4.0),
    ("free", "1", 0.0),
    ("returned", "1", 8.0),
    ("returned", "1", -8.0),
    ("mixed", "1", 0.01),
    ("mixed", "2", -3.0),
)


@pytest.fixture
def future(engine: DuckDBEngine) -> ibis.Table:
    customers, orders, amounts = zip(*FUTURE, strict=True)
    ticks = [round(amount * TICKS) for amount in amounts]
    return engine.load(
        "future",
        pa.table({"customer_id": customers, "cutoff": ["c"] * len(FUTURE), "order_id": orders, "amount": ticks}),
    )


def found(expr: ibis.Table, *columns: str) -> dict[str, tuple[object, ...]]:
    return {row["customer_id"]: tuple(row[c] for c in columns) for row in expr.to_pyarrow().to_pylist()}


def test_a_purchase_is_an_order_with_a_positive_net_amount(future: ibis.Table) -> None:
    assert found(labels(future, has_amount=True), "purchases", "net") == {
        "buyer": (2, 13.0),
        "refunded": (0, -4.0),
        "free": (0, 0.0),
        "returned": (0, 0.0),
        "mixed": (1, -2.99),
    }


def test_without_money_every_order_is_a_purchase(future: ibis.Table) -> None:
    assert found(labels(future, has_amount=False), "purchases", "net") == {
        "buyer": (2, None),
        "refunded": (1, None),
        "free": (1, None),
        "returned": (1, None),
        "mixed": (2, None),
    }


@pytest.mark.parametrize("has_amount", [True, False])
def test_labels_are_null_until_mature_and_absence_is_churn(has_amount: bool, engine: DuckDBEngine) -> None:
    joined = engine.load(
        "joined",
        pa.table(
            {
                "customer_id": ["stayed", "gone", "refunded", "early"],
                "purchases": pa.array([2, None, 0, 1], pa.int64()),
                "net": pa.array([9.0, None, -1.0, 5.0]),
                "mature": [True, True, True, False],
            }
        ),
    )
    rows = joined.select("customer_id", **label_columns(joined, joined.mature, has_amount))
    assert rows.schema()["churned"].is_int8()
    assert found(rows, "churned") == {"stayed": (0,), "gone": (1,), "refunded": (1,), "early": (None,)}
    values = {"stayed": (9.0,), "gone": (0.0,), "refunded": (-1.0,), "early": (None,)}
    assert found(rows, "value") == (values if has_amount else dict.fromkeys(values, (None,)))
