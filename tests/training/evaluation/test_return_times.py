"""The evaluation of when customers return, on returns that were drawn from known curves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa

from features.config.load import Config
from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin, Term
from training.artifact.return_hazard import ReturnCurves, ReturnHazard
from training.data.time_split import ReturnTimes, Sample
from training.evaluation.return_times import (
    OWN_RHYTHM,
    curve_figures,
    date_errors,
    evaluate_return_times,
    return_time_lines,
)

DAYS, N = np.arange(41), 6_000
CUTOFF = date(2024, 3, 1)


def drawn() -> tuple[ReturnCurves, ReturnTimes]:
    """Constant hazards that differ between customers, and first purchases drawn from them."""
    rng = np.random.default_rng(2)
    rate = rng.gamma(1.0, 0.08, N)
    days = np.floor(rng.exponential(1 / rate))
    days[days >= 40] = np.nan
    return ReturnCurves(DAYS, -rate[:, None] * DAYS), ReturnTimes(days, np.zeros(N), np.full(N, 40))


def test_true_curves_have_a_slope_of_one_and_flattened_ones_a_greater() -> None:
    curves, returns = drawn()
    for days in (5, 10, 40):
        figure = curve_figures(curves, returns, days)
        assert figure is not None
        assert abs(figure.slope - 1) < 4 * figure.slope_error and figure.slope_error < 0.1
        assert abs(figure.expected - figure.observed) < 0.02
    flat = curve_figures(replace(curves, log_stays_away=curves.log_stays_away * 0.5 - DAYS / 200), returns, 20)
    assert flat is not None and flat.slope > 1.1


def test_what_was_not_seen_for_so_long_is_not_judged() -> None:
    curves, returns = drawn()
    assert curve_figures(curves, replace(returns, seen=np.full(N, 9)), 10) is None


def test_the_error_of_dates_is_smaller_with_the_curve_than_with_a_rhythm_that_says_nothing() -> None:
    curves, returns = drawn()
    features = pa.table({"gap_median_days": np.full(N, 30.0), "recency_days": np.full(N, 1.0)})
    truth = Sample(pa.chunked_array([["a"] * N]), np.zeros(N, int), features, np.zeros(N), np.zeros(N))
    errors = date_errors({"curve": curves}, truth, returns, 40)
    assert len(errors["curve"]) == int(np.isfinite(returns.days).sum())
    assert np.median(errors["curve"]) < 0.6 * np.median(errors[OWN_RHYTHM])


def test_an_evaluation_says_expected_observed_and_the_error_of_the_date(shop: Config) -> None:
    rng = np.random.default_rng(4)
    tenure = rng.integers(30, 300, N).astype(float)
    features = pa.table(
        {
            "recency_days": np.minimum(rng.integers(1, 60, N), tenure),
            "tenure_days": tenure,
            "orders_count_ever": rng.integers(1, 9, N).astype(float),
            "gap_median_days": np.full(N, 14.0),
        }
    )
    days = rng.integers(0, 60, N).astype(float)
    returns = ReturnTimes(np.where(days < 28, days, np.nan), np.ones(N), np.full(N, 28))
    ids = pa.chunked_array([[str(n) for n in range(N)]])
    truth = Sample(ids, np.zeros(N, int), features, (days >= 28).astype(float), np.zeros(N), returns=returns)
    margin = Margin(terms=(Term("period_hazard", "logit", 1.0, 0.0, 1.0),))
    fitted = ReturnHazard((7, 14, 28, 56), 28, (0.12, 0.13, 0.3, 0.5), (), margin, Margin(-1.0), (0.0,) * 4)
    bundle = ModelBundle("churn", "x", tuple(features.column_names), {}, Margin(0.13), returns=fitted)
    (evaluation,) = evaluate_return_times(bundle, truth, CUTOFF, shop)
    assert {"returned_expected_7d", "returned_observed_28d", "curve_slope_14d"} <= set(evaluation.metrics.metric)
    lines = return_time_lines(evaluation, CUTOFF)
    assert lines[0].split() == ["returned", "within", "7", "days", "14", "days", "28", "days"]
    assert lines[-1].startswith("date of the next purchase: median error")
    assert OWN_RHYTHM in lines[-1] and "BG/NBD" in lines[-1]
    assert evaluate_return_times(replace(bundle, returns=None), truth, CUTOFF, shop) == []
    assert return_time_lines(evaluation, date(2024, 4, 1)) == []
