"""Calibrators find what was wrong, and change little on little evidence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from training.calibrate import fit_intervals, fit_level, fit_platt


def test_platt_recovers_slope_and_intercept() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 2, 50_000)
    outcome = (rng.random(50_000) < expit(0.6 * margin - 0.8)).astype(float)
    platt = fit_platt(margin, outcome)
    assert platt.slope == pytest.approx(0.6, abs=0.03)
    assert platt.intercept == pytest.approx(-0.8, abs=0.03)


def test_platt_leaves_a_calibrated_margin_alone_and_a_handful_of_rows_too() -> None:
    rng = np.random.default_rng(1)
    margin = rng.normal(0, 2, 20_000)
    outcome = (rng.random(20_000) < expit(margin)).astype(float)
    assert fit_platt(margin, outcome).slope == pytest.approx(1.0, abs=0.05)
    few = fit_platt(np.array([2.0, -1.0]), np.array([0.0, 1.0]))
    assert few.slope == pytest.approx(1.0, abs=0.15)
    assert few.intercept == pytest.approx(0.0, abs=0.15)


def test_platt_of_rows_of_one_class_stays_finite() -> None:
    platt = fit_platt(np.linspace(-1, 1, 100), np.zeros(100))
    assert np.isfinite([platt.slope, platt.intercept]).all()


def test_level_is_the_factor_of_the_total_shrunk_by_evidence() -> None:
    predicted, actual = np.full(1000, 10.0), np.full(1000, 20.0)
    assert fit_level(predicted, actual, bought=100_000) == pytest.approx(np.log(2), rel=0.01)
    assert fit_level(predicted, actual, bought=100) == pytest.approx(np.log(2) / 2)
    assert fit_level(predicted, np.zeros(1000), bought=0) == 0.0


def test_intervals_hold_what_they_promise_on_new_rows() -> None:
    rng = np.random.default_rng(2)
    predicted = rng.gamma(2, 50, 20_000)
    actual = predicted * rng.lognormal(0, 1, 20_000) * (rng.random(20_000) < 0.7)
    fitted = fit_intervals(predicted[:10_000], actual[:10_000], 0.8)
    low = np.interp(predicted[10_000:], fitted["centre"], fitted["low"])
    high = np.interp(predicted[10_000:], fitted["centre"], fitted["high"])
    inside = (actual[10_000:] >= low) & (actual[10_000:] <= high)
    assert inside.mean() == pytest.approx(0.8, abs=0.03)
    assert fitted["centre"] == sorted(fitted["centre"])
    assert fitted["inside"] == 0.8
