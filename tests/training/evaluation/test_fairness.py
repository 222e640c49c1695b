"""Figures by group of customers, and what is too small to be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from tests.features.intake.test_identity import joined, write
from training.evaluation.fairness import (
    REST,
    RISKIEST_SHARE,
    UNKNOWN,
    _group_names,
    evaluate_fairness,
    read_fairness_groups,
)
from training.train import TrainingRun


@pytest.fixture
def asking(shop: Config) -> Config:
    """The shop, measured by a column called plan."""
    return shop.model_copy(update={"training": shop.training.model_copy(update={"fairness": ("plan",)})})


def test_a_group_that_is_judged_too_high_shows_its_gap(asking: Config, trained: TrainingRun) -> None:
    learned = trained.fitted
    customers = learned.truth.customers.to_pylist()
    gold = np.arange(len(customers)) % 2 == 0
    known = pa.table({"customer_id": customers[::-1], "plan": ["gold" if g else "basic" for g in gold[::-1]]})
    churn = np.clip(learned.predictions["churn_probability"] + np.where(gold, 0.4, 0.0), 0, 1)
    fairness_table = evaluate_fairness(
        replace(learned, predictions={**learned.predictions, "churn_probability": churn}).out_of_time,
        known,
        asking.training,
    )
    rows = fairness_table.set_index(["group", "measure"])
    high, plain = rows.loc[("gold", "gap")], rows.loc[("basic", "gap")]
    assert high.low > 0.05
    assert high.value == pytest.approx((churn - learned.truth.churned)[gold].mean())
    assert plain.value < high.value
    assert set(fairness_table.measure) == {"churned", "predicted churn", "gap", "picked", "auc", "brier", "total_error"}
    shares = rows.xs("picked", level="measure")
    assert np.average(shares.value, weights=shares.customers) == pytest.approx(RISKIEST_SHARE, abs=0.01)
    assert (fairness_table.low <= fairness_table.value).all() and (fairness_table.value <= fairness_table.high).all()


def test_small_groups_are_put_together() -> None:
    names = ["gold"] * 40 + ["basic"] * 30 + [f"name {i}" for i in range(29)] + [None] * 31
    fairness_table = _group_names(pa.array(names))
    assert dict(zip(*np.unique(fairness_table.astype(str), return_counts=True), strict=True)) == {
        "gold": 40,
        "basic": 30,
        REST: 29,
        UNKNOWN: 31,
    }


def test_numbers_are_quarters() -> None:
    fairness_table = _group_names(pa.array([*np.arange(200.0), *[np.nan] * 40]))
    assert len(np.unique(fairness_table.astype(str))) == 5
    assert (fairness_table == "0 to 49.75").sum() == 50
    same = _group_names(pa.array([3.0] * 50))
    assert set(same) == {"3 to 3"}


def test_groups_are_those_of_persons(tmp_path: Path) -> None:
    at = [datetime(2024, month, 1) for month in (1, 2, 3, 4)]
    log = [{"id": who, "at": day, "paid": 1.0, "order": f"{who}{day}"} for who in ("a", "b", "c") for day in at]
    people = [{"id": who, "plan": plan} for who, plan in (("a", "gold"), ("b", "basic"), ("c", "basic"))]
    joins = [{"id": "b", "person": "a", "at": datetime(2024, 3, 1)}]
    sections = {"customers": {"source": "people.parquet", "customer": "id"}, "training": {"fairness": ["plan"]}}
    config = write(tmp_path, {"log": log, "people": people, "who": joins}, **joined(joined_at="at"), **sections)
    plans = []
    for day in (date(2024, 2, 15), date(2024, 4, 5)):
        groups = read_fairness_groups(config, day)
        plans.append(dict(zip(groups["customer_id"].to_pylist(), groups["plan"].to_pylist(), strict=True)))
    assert plans == [{"a": "gold", "b": "basic", "c": "basic"}, {"a": "gold", "c": "basic"}]


def test_what_names_no_column_measures_nothing(shop: Config, trained: TrainingRun) -> None:
    assert evaluate_fairness(trained.fitted.out_of_time, pa.table({"customer_id": []}), shop.training).empty
