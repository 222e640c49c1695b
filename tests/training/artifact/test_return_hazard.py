"""Curves of returning: anchored at the churn probability, never falling, with quantiles that fit them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from training.artifact.margin import Margin, Term
from training.artifact.return_hazard import ReturnCurves, ReturnHazard

BOUNDS = (2, 5, 7, 14, 28, 56)
ODDS = st.lists(st.floats(-40, 40), min_size=1, max_size=5)


def hazard(weight: float = 1.0) -> ReturnHazard:
    same = Term("period_hazard", "logit", 1.0, 0.0, weight)
    expected = Term("elapsed_days", "log1p", 10.0, 1.0, -weight)
    return ReturnHazard(
        BOUNDS, 28, (0.3, 0.2, 0.1, 0.4, 0.2, 0.1), (), Margin(terms=(same, expected)), Margin(-1.0), (0.0,) * 6
    )


def customers(count: int) -> pa.Table:
    recency = np.linspace(1, 300, count)
    return pa.table({"recency_days": recency, "gap_median_days": np.where(recency > 200, np.nan, 14.0)})


@given(odds=ODDS, weight=st.floats(0, 30))
def test_the_curve_is_one_minus_churn_at_the_horizon_and_never_falls(odds: list[float], weight: float) -> None:
    log_odds = np.array(odds)
    curves = hazard(weight).curves(customers(len(odds)), log_odds)
    churn = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(curves.returned_by(28), 1 - churn, atol=1e-9, rtol=0)
    steps = [curves.returned_by(days) for days in np.arange(0, 60, 0.5)]
    assert np.isfinite(steps).all()
    assert (np.diff(steps, axis=0) >= -1e-12).all()
    assert np.array_equal(steps[0], np.zeros(len(odds)))
    assert np.array_equal(curves.returned_by(56), curves.returned_by(10_000))


@given(odds=ODDS, share=st.floats(0.01, 0.99))
def test_a_quantile_is_the_first_day_by_whose_end_the_curve_reaches_it(odds: list[float], share: float) -> None:
    curves = hazard().curves(customers(len(odds)), np.array(odds))
    days = curves.quantile_days(share)
    for place, day in enumerate(days):
        if np.isnan(day):
            assert curves.returned_by(56)[place] < share + 1e-9
        else:
            assert curves.returned_by(day + 1)[place] >= share - 1e-6
            assert day == 0 or curves.returned_by(day)[place] < share + 1e-6


def test_predictions_are_coherent() -> None:
    X, log_odds = customers(50), np.linspace(-6, 6, 50)
    predicted = hazard().predict(X, log_odds)
    returns = 1 / (1 + np.exp(log_odds))
    assert (predicted["expected_orders"] >= returns).all()
    dates = [predicted[f"next_purchase_days{end}"] for end in ("_low", "", "_high")]
    known = np.isfinite(dates).all(axis=0)
    assert known.any() and (np.diff(np.array(dates)[:, known], axis=0) >= 0).all()
    assert np.isnan(predicted["next_purchase_days"]).any()  # who is unlikely to come within two horizons has no date
    assert np.isnan(predicted["overdue_days"]).any() and predicted["overdue_days"][0] == -13
    marks = [predicted[f"returns_within_{days}d"] for days in (7, 14, 28, 56)]
    assert (np.diff(marks, axis=0) >= 0).all()


def test_rows_of_a_customer_do_not_depend_on_the_others() -> None:
    X, log_odds = customers(9), np.linspace(-3, 3, 9)
    together = hazard().curves(X, log_odds).log_stays_away
    alone = [hazard().curves(X.slice(place, 1), log_odds[[place]]).log_stays_away[0] for place in range(9)]
    assert np.array_equal(together, alone)


def test_a_date_given_a_return_lies_before_its_end() -> None:
    even = ReturnCurves(np.array([0, 10, 20]), np.array([[0.0, -0.1, -0.2], [0.0, -5.0, -9.0]]))
    assert even.median_day_if_within(10).tolist() == [4.0, 1.0]
