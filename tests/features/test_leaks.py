"""The proof passes for our features, and catches and names one that looks ahead."""

from __future__ import annotations

import json
from datetime import date

import ibis
import pyarrow as pa
import pytest

from features import leaks, past
from features.config import Config
from features.leaks import corrupt_after, delete_after, differences, prove, spread

CUTOFF = date(2023, 6, 1)


def test_our_features_do_not_look_ahead(shop: Config) -> None:
    trials = prove(shop, 2)
    assert [(t.change, t.leaks) for t in trials] == [("deleted", ()), ("corrupted", ())] * 2
    assert all(t.changed_rows > 100 and t.customers > 10 and t.features > 40 for t in trials)
    assert leaks.describe(trials).count("every bit the same") == 4


def test_a_feature_that_looks_ahead_is_caught_and_named(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = past._visible_orders

    def peeking(orders: ibis.Table, moments: ibis.Table, task: object, has_amount: bool) -> ibis.Table:
        told = honest(orders, moments, task, has_amount)  # type: ignore[arg-type]
        future = orders.group_by("customer_id").aggregate(late=orders.day.max())
        joined = told.left_join(future, "customer_id")
        return joined.mutate(hour=joined.late.day()).select(told.columns)

    monkeypatch.setattr(past, "_visible_orders", peeking)
    found = {name for trial in prove(shop, 1) for name, _ in trial.leaks}
    bands = {f"{band}_share_ever" for band in ("night", "morning", "afternoon", "evening")}
    assert "hour_mean_ever" in found
    assert found <= bands | {"hour_mean_ever"}


def test_a_cohort_that_looks_ahead_is_caught(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "delete_after", lambda rows, cutoff: rows.filter(rows.customer_id > "customer-0100"))
    trials = prove(shop, 1)
    assert dict(trials[0].leaks)["customers"] > 10
    assert "LEAK: customers" in leaks.describe(trials)


def test_the_proof_is_written(shop: Config) -> None:
    trials, path = leaks.check(shop)
    assert [entry["cutoff"] for entry in json.loads(path.read_text())] == [str(trial.cutoff) for trial in trials]


def _rows() -> ibis.Table:
    days = pa.array([date(2023, 5, 31), date(2023, 6, 1), date(2023, 5, 1)], pa.date32())
    seen = pa.array([date(2023, 5, 31), date(2023, 6, 1), date(2023, 6, 1)], pa.date32())
    columns = {
        "customer_id": ["a", "b", "late"],
        "order_id": ["1", "2", "3"],
        "time": days.cast(pa.timestamp("us")),
        "day": days,
        "seen": seen,
        "amount": pa.array([100, 200, 300], pa.int64()),
        "quantity": pa.array([1, None, 3], pa.int64()),
        "reason": pa.array([None, None, None], pa.string()),
        "kind_x": ["u", "v", "w"],
    }
    return ibis.memtable(pa.table(columns))


def test_what_happened_or_became_known_at_the_cutoff_is_deleted() -> None:
    assert delete_after(_rows(), CUTOFF).to_pyarrow()["customer_id"].to_pylist() == ["a"]


def test_the_future_is_corrupted_and_the_past_left_alone() -> None:
    rows, spoilt = _rows(), corrupt_after(_rows(), CUTOFF).order_by("customer_id").to_pyarrow()
    assert spoilt["customer_id"].to_pylist() == ["a", "b", "late", "nobody-b", "nobody-late"]
    assert spoilt.schema.names == list(rows.columns)
    assert spoilt.slice(0, 1).to_pylist() == rows.filter(rows.customer_id == "a").to_pyarrow().to_pylist()
    assert min(spoilt["seen"].to_pylist()[1:]) >= CUTOFF
    assert set(spoilt["kind_x"].to_pylist()[1:]) == {"corrupted"}


def test_bits_are_compared_not_numbers() -> None:
    one = pa.table({"customer_id": ["a", "b"], "x": [0.1 + 0.2, None], "y": [0.0, 1.0]})
    other = pa.table({"customer_id": ["a", "b"], "x": [0.3, None], "y": [-0.0, 1.0]})
    assert differences(one, one) == {}
    assert differences(one, other) == {"x": 1, "y": 1}
    assert differences(one, one.drop_columns(["y"])) == {"y": 2}
    assert differences(one, one.set_column(1, "x", pa.array([0.1 + 0.2, 0.0]))) == {"x": 1}


def test_few_cutoffs_are_all_taken() -> None:
    assert spread([CUTOFF], 3) == [CUTOFF]
    assert spread([], 3) == []
