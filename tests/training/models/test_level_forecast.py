"""The forecast of a level is the exact one of its model, believes what repeats, and is as sure as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import multivariate_normal, norm

from features.task import Window
from training.models.level_forecast import (
    SEASON_WIDTH,
    SIZES,
    STRUCTURES,
    WANDERING_HORIZONS,
    YEAR_DAYS,
    LevelSeries,
    Shift,
    churn_levels,
    forecast_level,
    money_levels,
)

QUARTER = Window(90)


def _series(days: list[int], shifts: list[float], error: float = 0.02) -> LevelSeries:
    return LevelSeries(np.array(days), np.array(shifts), np.full(len(days), error**2))


def _covariance(days: list[float], size: float, shares: tuple[float, ...]) -> np.ndarray:
    """The covariance of levels, one pair after the other."""
    lasting, wandering, season, shock = shares
    table = np.zeros((len(days), len(days)))
    for i, one in enumerate(days):
        for j, other in enumerate(days):
            apart = abs(one - other)
            table[i, j] = size**2 * (
                lasting
                + wandering * np.exp(-apart / (WANDERING_HORIZONS * 90))
                + season * np.exp(-2 * np.sin(np.pi * apart / YEAR_DAYS) ** 2 / SEASON_WIDTH**2)
                + shock * max(0.0, 1 - apart / 90)
            )
    return table


def test_it_is_the_mixture_of_the_conditional_normals() -> None:
    """Against scipy's density of the levels, and the conditional normal written down directly."""
    levels, target = _series([0, 30, 60, 90, 150, 400], [0.1, 0.2, 0.15, -0.1, 0.0, 0.1], 0.05), 490.0
    days, weights, means, variances = levels.days.tolist(), [], [], []
    overlap = np.maximum(1 - np.abs(np.subtract.outer(levels.days, levels.days)) / 90, 0)
    for size in SIZES:
        for *shares, weight in STRUCTURES:
            joint = _covariance([*days, target], size, tuple(shares))
            joint[:-1, :-1] += 0.05**2 * overlap + 1e-6 * np.eye(len(days))
            inverse = np.linalg.inv(joint[:-1, :-1])
            weights.append(weight * multivariate_normal.pdf(levels.shifts, np.zeros(len(days)), joint[:-1, :-1]))
            means.append(joint[-1, :-1] @ inverse @ levels.shifts)
            variances.append(joint[-1, -1] - joint[-1, :-1] @ inverse @ joint[:-1, -1])
    mean = np.average(means, weights=weights)
    for inside in (0.5, 0.8, 0.95):
        forecast = forecast_level(levels, target, QUARTER, inside=inside)
        assert forecast.shift == pytest.approx(mean, rel=1e-6)
        ends = norm.ppf([(1 - inside) / 2, (1 + inside) / 2], mean, forecast.error)
        below = [np.average(norm.cdf(end, means, np.sqrt(variances)), weights=weights) for end in ends]
        assert below[1] - below[0] == pytest.approx(inside, abs=1e-6)


def test_without_levels_no_shift_is_expected() -> None:
    forecast = forecast_level(_series([], []), 100.0, QUARTER)
    assert forecast.shift == 0.0
    assert 0.1 < forecast.error < 0.5


@given(shifts=st.lists(st.floats(-2, 2), min_size=1, max_size=6), error=st.floats(0.001, 1))
def test_a_forecast_stays_within_what_was_seen(shifts: list[float], error: float) -> None:
    forecast = forecast_level(_series([90 * i for i in range(len(shifts))], shifts, error), 90.0 * len(shifts), QUARTER)
    largest = float(np.abs(shifts).max())
    assert abs(forecast.shift) <= 1.3 * largest + 1e-9
    assert forecast.error > 0


def test_what_lasts_is_believed_and_what_contradicts_itself_is_not() -> None:
    days = [0, 90, 180, 270]
    lasting = forecast_level(_series(days, [0.2, 0.21, 0.2, 0.19]), 360, QUARTER)
    contradicting = forecast_level(_series(days, [0.2, -0.2, 0.2, -0.2]), 360, QUARTER)
    one = forecast_level(_series([270], [0.2]), 360, QUARTER)
    assert lasting.shift > 0.12
    assert abs(contradicting.shift) < 0.08
    assert 0 < one.shift < 0.12
    assert one.error > lasting.error
    assert contradicting.error > lasting.error


def test_a_season_that_came_back_is_expected_again() -> None:
    """Two years of a yearly wave: the forecast follows it a quarter ahead, which the last level alone does not."""
    days = list(range(0, 720, 30))
    wave = [0.4 * np.sin(2 * np.pi * d / YEAR_DAYS) for d in days]
    ahead = [forecast_level(_series(days[:n], wave[:n], 0.03), days[n - 1] + 90, QUARTER).shift for n in (16, 18, 20)]
    actual = [0.4 * np.sin(2 * np.pi * (days[n - 1] + 90) / YEAR_DAYS) for n in (16, 18, 20)]
    assert np.abs(np.subtract(ahead, actual)).max() < 0.15
    last = [wave[n - 1] for n in (16, 18, 20)]
    assert np.square(np.subtract(ahead, actual)).sum() < 0.2 * np.square(np.subtract(last, actual)).sum()


def test_its_intervals_hold_what_they_promise() -> None:
    """By repetition: series drawn from the model's own structures, 5 to 15 cutoffs of 30 days."""
    rng, held, count = np.random.default_rng(5), 0, 250
    weights = np.array([structure[-1] for structure in STRUCTURES])
    for _ in range(count):
        days = [30.0 * i for i in range(int(rng.integers(5, 16)))]
        *shares, _ = STRUCTURES[rng.choice(len(STRUCTURES), p=weights / weights.sum())]
        joint = _covariance([*days, days[-1] + 90], rng.choice(SIZES), tuple(shares))
        drawn = rng.multivariate_normal(np.zeros(len(joint)), joint + 1e-9 * np.eye(len(joint)))
        forecast = forecast_level(_series([int(d) for d in days], list(drawn[:-1]), 1e-3), days[-1] + 90, QUARTER)
        held += abs(drawn[-1] - forecast.shift) <= norm.ppf(0.9) * forecast.error
    assert 0.73 <= held / count <= 0.87


def test_levels_of_churn_are_the_shifts_that_make_the_shares_right() -> None:
    rng = np.random.default_rng(1)
    dates = np.repeat([100, 130, 160], 5_000)
    margin = rng.normal(0, 1, len(dates))
    churned = (rng.random(len(dates)) < expit(margin + np.repeat([0.5, 0.0, -0.5], 5_000))).astype(float)
    levels = churn_levels(margin, churned, dates)
    np.testing.assert_allclose(levels.shifts, [0.5, 0.0, -0.5], atol=0.08)
    at = dates == 100
    assert expit(margin[at] + levels.shifts[0]).mean() == pytest.approx(churned[at].mean(), abs=1e-3)
    everyone = churn_levels(np.full(50, logit(0.9)), np.ones(50), np.zeros(50))
    assert np.isfinite(everyone.shifts).all() and everyone.variances[0] > 0


def test_levels_of_money_are_ratios_of_totals_with_one_variance_for_all() -> None:
    rng = np.random.default_rng(2)
    dates = np.repeat([100, 130], 20_000)
    margin = rng.normal(3, 1, len(dates))
    money = np.exp(margin) * np.repeat([1.2, 0.8], 20_000) * rng.gamma(1, 1, len(dates))
    levels = money_levels(margin, money, dates)
    np.testing.assert_allclose(np.exp(levels.shifts), [1.2, 0.8], rtol=0.05)
    quiet = money_levels(np.zeros(400), np.r_[np.ones(200), np.ones(199), 300.0], np.repeat([0, 1], 200))
    assert quiet.variances[0] > 0.5 * quiet.variances[1] > 0
    nothing = money_levels(np.zeros(40), np.zeros(40), np.repeat([0, 1], 20))
    assert np.isfinite(nothing.shifts).all()


def test_a_row_finds_the_level_of_its_cutoff() -> None:
    assert Shift(0.1, 0.2).shift == 0.1
    assert _series([1, 2], [0.3, 0.4]).at(np.array([2, 1])).tolist() == [0.4, 0.3]
