"""Cards: figures against plain Python, what sets a group apart, and what to do."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.feature import Feature, measure_value
from serving.segmentation.profiles import PastOutcome, ScoredWorth, distinguishing_features, group_figures
from serving.statistics.proportions import wilson_interval
from training.artifact.spread import Spread

ORDERS = Feature("orders", measure_value("orders"), "frequency", "orders so far", "{value}", "orders")
DAYS = Feature("days", measure_value("days"), "frequency", "days with an order", "{value}", "days")
CITY = Feature("city", measure_value("city"), "city", "city", "{value}", "level")


def test_figures_are_those_of_each_groups_customers() -> None:
    rng = np.random.default_rng(1)
    codes, churn, value = rng.integers(0, 3, 50), rng.random(50), rng.random(50) * 100
    then, left = rng.integers(0, 2, 40), rng.integers(0, 2, 40).astype(float)
    rows = group_figures(codes, 4, ScoredWorth(churn, value, churn * value), PastOutcome("2024-01-01", then, left))
    for group, row in enumerate(rows[:2]):
        inside = codes == group
        assert row["customers"] == inside.sum() and row["share"] == pytest.approx(inside.mean())
        assert row["churn_probability"] == pytest.approx(churn[inside].mean())
        assert row["value"] == pytest.approx(value[inside].sum())
        assert row["value_mean"] == pytest.approx(value[inside].mean())
        assert row["value_at_risk"] == pytest.approx((churn * value)[inside].sum())
        of = then == group
        assert (row["left_of"], row["left_share"]) == (of.sum(), pytest.approx(left[of].mean()))
        low, high = wilson_interval(np.array([left[of].sum()]), np.array([of.sum()]))
        assert (row["left_low"], row["left_high"]) == pytest.approx((low[0], high[0]))
    assert (rows[3]["customers"], rows[3]["churn_probability"], rows[3]["left_share"]) == (0, None, None)
    bare = group_figures(codes, 3, ScoredWorth(churn, None, None), None)
    assert (bare[0]["value"], bare[0]["value_at_risk"], bare[0]["left_of"]) == (None, None, None)


def test_a_group_is_told_by_what_it_has_more_and_less_of() -> None:
    codes = np.repeat([0, 1], 100)
    orders = np.concatenate([np.arange(100) % 5 + 10.0, np.arange(100) % 5 + 2.0])
    city = ["Rome"] * 90 + ["Oslo"] * 10 + ["Rome"] * 20 + ["Oslo"] * 80
    rows = pa.table({"orders": orders, "days": orders, "city": city})
    first, second = distinguishing_features(codes, 2, rows, [ORDERS, DAYS, CITY])
    assert first == ["orders so far: 12 against 4", "city is Rome: 90% against 20%"]
    assert second == ["orders so far: 4 against 12", "city is Oslo: 80% against 10%"]


def test_noise_rare_texts_and_small_groups_are_not_told() -> None:
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], [95, 5, 100])
    orders = np.where(codes == 1, 90.0, rng.normal(10, 3, 200))
    city = ["Smith"] * 19 + [f"name {n}" for n in range(181)]
    rows = pa.table({"orders": orders, "days": pa.nulls(200, pa.float64()), "city": city})
    assert distinguishing_features(codes, 3, rows, [ORDERS, DAYS, CITY]) == [[], [], []]


def test_what_most_of_a_group_lack_does_not_tell_it() -> None:
    codes = np.repeat([0, 1], 100)
    days = [50.0] * 30 + [None] * 70 + [1.0] * 100
    rows = pa.table({"orders": np.ones(200), "days": pa.array(days), "city": pa.nulls(200, pa.string())})
    assert distinguishing_features(codes, 2, rows, [ORDERS, DAYS, CITY]) == [
        [],
        ["days with an order: 1 day against 50 days"],
    ]


def test_a_groups_total_has_an_interval_that_holds_and_is_narrower_for_more_customers() -> None:
    rng = np.random.default_rng(3)
    churn, spend = rng.beta(2, 2, 4_000), rng.gamma(2, 50, 4_000) + 1
    chances = tuple(np.linspace(0, 1, 101))
    spread = Spread(0.8, 0.8, chances, (0.0,), (tuple(-np.log1p(-np.minimum(chances, 0.999))),), (2.0,), 0.0)
    worth = ScoredWorth(churn, (1 - churn) * spend, churn * spend, spread)
    codes = (np.arange(4_000) >= 200).astype(int)
    small, large = group_figures(codes, 2, worth, None)
    actual = (rng.random((300, 4_000)) > churn) * spend * rng.exponential(size=(300, 4_000))
    for row, inside in ((small, codes == 0), (large, codes == 1)):
        totals = actual[:, inside].sum(axis=1)
        covered = np.mean((totals >= row["value_low"]) & (totals <= row["value_high"]))
        assert covered == pytest.approx(0.8, abs=0.07)
    assert (large["value_high"] - large["value_low"]) / large["value"] < 0.4 * (
        small["value_high"] - small["value_low"]
    ) / small["value"]
    assert group_figures(codes, 2, ScoredWorth(churn, None, None), None)[0]["value_low"] is None
