"""The baselines predict what they describe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from features.task import Window
from training.data.time_split import Sample
from training.evaluation.baselines import (
    BASELINES,
    btyd_fitted_on,
    lightgbm_baseline,
    past_rate_baseline,
    recency_baseline,
)


def _sample(rows: int = 600, money: bool = True, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    recency = rng.integers(1, 200, rows).astype(float)
    churned = (rng.random(rows) < recency / 200).astype(float)
    columns = {
        "recency_days": recency,
        "tenure_days": recency + 100,
        "orders_count_ever": rng.integers(1, 9, rows).astype(float),
    }
    if money:
        columns |= {"amount_sum_ever": rng.gamma(2, 50, rows), "order_amount_mean_ever": rng.gamma(2, 20, rows)}
    ids = pa.chunked_array([pa.array([str(i) for i in range(rows)])])
    value = np.where(churned == 0, rng.gamma(2, 30, rows), 0.0) if money else np.zeros(rows)
    return Sample(ids, np.zeros(rows, int), pa.table(columns), churned, value)


def test_recency_baseline_rises_with_silence() -> None:
    train, test = _sample(), _sample(seed=1)
    predicted = recency_baseline(train, test, Window(30)).churn
    order = np.argsort(test.column("recency_days"))
    assert (np.diff(predicted[order]) >= 0).all()


def test_past_rate_is_orders_and_spend_a_day_times_the_horizon() -> None:
    features = pa.table(
        {"tenure_days": [100.0, 10.0], "orders_count_ever": [4.0, 1.0], "amount_sum_ever": [200.0, -5.0]}
    )
    rows = Sample(pa.chunked_array([["a", "b"]]), np.zeros(2, int), features, np.zeros(2), np.zeros(2))
    predicted = past_rate_baseline(rows, rows, Window(50))
    assert predicted.churn.tolist() == pytest.approx([np.exp(-2), np.exp(-1)])
    assert predicted.value is not None and predicted.value.tolist() == pytest.approx([100.0, 0.0])


@pytest.mark.parametrize("name", list(BASELINES))
def test_every_baseline_gives_probabilities_and_values_that_are_not_negative(name: str) -> None:
    predicted = BASELINES[name](_sample(), _sample(seed=1), Window(30))
    assert ((predicted.churn >= 0) & (predicted.churn <= 1)).all()
    assert predicted.value is not None and (predicted.value >= 0).all()


@pytest.mark.parametrize("name", list(BASELINES))
def test_without_money_there_is_no_value(name: str) -> None:
    assert BASELINES[name](_sample(money=False), _sample(money=False, seed=1), Window(30)).value is None


def test_plain_lightgbm_learns_and_repeats_itself() -> None:
    train, test = _sample(), _sample(seed=1)
    predicted = lightgbm_baseline(train, test, Window(30))
    again = lightgbm_baseline(train, test, Window(30))
    np.testing.assert_array_equal(predicted.churn, again.churn)
    assert np.corrcoef(predicted.churn, test.column("recency_days"))[0, 1] > 0.8
    assert predicted.value is not None
    np.testing.assert_array_equal(predicted.value, again.value)
    other = replace(test, churned=1 - test.churned, value=test.value + 5)  # it predicts from features alone
    np.testing.assert_array_equal(lightgbm_baseline(train, other, Window(30)).churn, predicted.churn)


def test_plain_lightgbm_takes_text_by_the_levels_of_what_it_learns_from() -> None:
    def with_plan(rows: Sample, plans: list[str | None]) -> Sample:
        column = pa.array([plans[int(c)] for c in rows.churned], pa.string())
        return replace(rows, features=rows.features.append_column("plan", column))

    train, test = with_plan(_sample(), ["stays", "leaves"]), with_plan(_sample(seed=1), ["stays", "leaves"])
    predicted = lightgbm_baseline(train, test, Window(30)).churn
    assert predicted[test.churned == 1].min() > predicted[test.churned == 0].max()
    never_seen = lightgbm_baseline(train, with_plan(_sample(seed=1), ["other", None]), Window(30)).churn
    assert np.isfinite(never_seen).all()


def test_btyd_is_fitted_on_the_given_customers() -> None:
    test, few = _sample(seed=1), _sample(rows=40, seed=2)
    all_customers, part = (btyd_fitted_on(known, test, Window(30)) for known in (test, few))
    np.testing.assert_array_equal(BASELINES["BG/NBD and Gamma-Gamma"](few, test, Window(30)).churn, all_customers.churn)
    assert len(part.churn) == len(test)
    assert not np.allclose(part.churn, all_customers.churn)
