"""Intervals hold what they promise on new rows, in every decile, and totals do too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from training.artifact.spread import Spread
from training.models.intervals import fit_spread


def _customers(rows: int, seed: int, seldom: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of returning, expected spend, and what came: skewed, and more so for small customers."""
    rng = np.random.default_rng(seed)
    back = rng.beta(2, 2 + seldom, rows)
    spend = rng.gamma(2, 50, rows) + 1
    width = np.where(spend > 100, 0.4, 1.0)
    ratio = rng.lognormal(-(width**2) / 2, width)
    return back, spend, spend * ratio * (rng.random(rows) < back)


def _fitted(back: np.ndarray, spend: np.ndarray, actual: np.ndarray, inside: float, level_error: float) -> Spread:
    """Of one cutoff."""
    return fit_spread([back], [spend], [actual], inside, level_error)


@pytest.fixture(scope="module")
def spread() -> Spread:
    """Of 80%, from 20,000 customers."""
    return _fitted(*_customers(20_000, 0), inside=0.8, level_error=0.0)


def _held(spread: Spread, back: np.ndarray, spend: np.ndarray, actual: np.ndarray) -> np.ndarray:
    low, high = spread.interval(back, spend)
    return (actual >= low) & (actual <= high)


def test_they_hold_what_they_promise_overall_and_in_every_decile(spread: Spread) -> None:
    back, spend, actual = _customers(20_000, 1)
    coverage = _held(spread, back, spend, actual)
    missed = 1 - back < 0.75
    assert coverage[missed].mean() == pytest.approx(0.8, abs=0.02)
    deciles = np.array_split(np.argsort(back * spend), 10)
    assert min(coverage[d].mean() for d in deciles) > 0.7


def test_where_nearly_all_bring_nothing_no_interval_can_hold_fewer() -> None:
    fitted = _fitted(*_customers(20_000, 2, seldom=30), inside=0.8, level_error=0.0)
    back, spend, actual = _customers(20_000, 3, seldom=30)
    low, high = fitted.interval(back, spend)
    assert (low == 0).all()
    assert _held(fitted, back, spend, actual).mean() >= 0.8
    assert np.isfinite(high).all()


def test_a_wrong_distribution_is_widened_until_it_holds() -> None:
    back, spend, actual = _customers(20_000, 4)
    off = np.where(np.random.default_rng(5).random(len(actual)) < 0.3, actual * 5, actual)
    off *= (back * spend).sum() / off.sum()
    fitted = _fitted(back, spend, off, inside=0.8, level_error=0.0)
    coverage = _held(fitted, back, spend, off)[1 - back < fitted.nominal]
    assert coverage.mean() == pytest.approx(0.8, abs=0.01)


def test_low_is_never_above_the_value_nor_high_below_it(spread: Spread) -> None:
    back, spend, _ = _customers(5_000, 6)
    low, high = spread.interval(back, spend)
    assert (low <= back * spend).all()
    assert (high >= back * spend).all()
    assert (low >= 0).all()


@settings(max_examples=30, deadline=None)
@given(customers=st.integers(1, 60), seed=st.integers(0, 99))
def test_few_customers_have_finite_intervals(customers: int, seed: int) -> None:
    back, spend, actual = _customers(customers, seed)
    if not (actual > 0).any():
        return
    fitted = _fitted(back, spend, actual, inside=0.8, level_error=0.1)
    assert np.isfinite(np.concatenate(fitted.interval(back, spend))).all()
    assert fitted.total_interval(back, spend)[0] <= float((back * spend).sum()) <= fitted.total_interval(back, spend)[1]


def test_totals_hold_what_they_promise(spread: Spread) -> None:
    coverage = []
    for seed in range(200):
        back, spend, actual = _customers(2_000, 1000 + seed)
        low, high = spread.total_interval(back, spend)
        coverage.append(low <= actual.sum() <= high)
    assert np.mean(coverage) == pytest.approx(0.8, abs=0.09)


def test_a_total_does_not_depend_on_the_order_of_customers() -> None:
    """Where ratios scatter more around small values, as they do, each customer counts by their own scatter."""
    spread = Spread(0.8, 0.8, (0.0, 1.0), (0.0, 5.0), ((0.0, 2.0), (0.0, 2.0)), (3.0, 1.1), 0.0)
    back, spend = np.array([0.5, 0.9]), np.array([2.0, np.exp(5.0) / 0.9])
    low, high = spread.total_interval(back, spend)
    variance = 0.5 * 2.0**2 * 3.0 - 1.0 + spend[1] ** 2 * 0.9 * 1.1 - np.exp(5.0) ** 2
    assert (high - low) / 2 == pytest.approx(norm.ppf(0.9) * np.sqrt(variance))
    assert spread.total_interval(back[::-1], spend[::-1]) == pytest.approx((low, high))


def test_a_level_that_wanders_makes_totals_unsure(spread: Spread) -> None:
    back, spend, actual = _customers(5_000, 7)
    wandering = _fitted(back, spend, actual, inside=0.8, level_error=0.2)
    low, high = wandering.total_interval(back, spend)
    total = float((back * spend).sum())
    assert high - low == pytest.approx(2 * np.sinh(1.2816 * 0.2) * total, rel=0.02)
    assert high - low > np.subtract(*spread.total_interval(back, spend)[::-1])


def test_a_level_that_wanders_widens_the_intervals_of_customers_by_as_much() -> None:
    """Each cutoff has a level of its own: over many of them the promise holds, and without its error it does not."""
    rng, coverage = np.random.default_rng(8), {0.0: [], 0.6: []}
    for error, level_ratio in coverage.items():
        learned = [_customers(4_000, 100 + n) for n in range(4)]
        levels = np.exp(rng.normal(0, 0.6, 4))
        spread = fit_spread(
            [b for b, _, _ in learned],
            [s for _, s, _ in learned],
            [a * level for (_, _, a), level in zip(learned, levels, strict=True)],
            0.8,
            error,
        )
        for n, level in enumerate(np.exp(norm.ppf((np.arange(40) + 0.5) / 40) * 0.6)):
            back, spend, actual = _customers(1_000, 200 + n)
            level_ratio.append(_held(spread, back, spend, actual * level)[1 - back < 0.7].mean())
    assert np.mean(coverage[0.6]) == pytest.approx(0.8, abs=0.02)
    assert np.mean(coverage[0.0]) < 0.78


def test_the_level_of_one_cutoff_does_not_move_the_intervals() -> None:
    back, spend, actual = _customers(20_000, 9)
    even, doubled = (_fitted(back, spend, actual * level, inside=0.8, level_error=0.1) for level in (1.0, 2.0))
    np.testing.assert_allclose(even.interval(back, spend), doubled.interval(back, spend), rtol=1e-9, atol=1e-9)
