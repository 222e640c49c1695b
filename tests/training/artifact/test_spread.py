"""Intervals from a distribution of actual over expected spend whose quantiles are known."""

from __future__ import annotations

from dataclasses import asdict
from statistics import NormalDist

import numpy as np
import pytest

from training.artifact.spread import Spread, read_spread

UNIFORM = Spread(0.8, 0.8, (0.0, 1.0), (0.0,), ((0.0, 2.0),), (4 / 3,), 0.0)  # actual / expected is uniform on [0, 2]


def test_who_surely_returns_has_the_quantiles_of_the_ratio() -> None:
    low, high = UNIFORM.interval(np.array([1.0]), np.array([50.0]))
    assert (low, high) == (pytest.approx([10.0]), pytest.approx([90.0]))


def test_who_rarely_returns_has_no_lower_end_above_zero() -> None:
    returns = np.array([0.5, 0.1])
    low, high = UNIFORM.interval(returns, np.array([50.0, 50.0]))
    # P(value <= high) = 0.8: among the half that returns, the quantile at (0.8 - 0.5) / 0.5 = 0.6
    assert low.tolist() == [0.0, 0.0] and high == pytest.approx([60.0, 5.0])


def test_the_total_has_the_error_of_each_customer_and_of_the_level() -> None:
    returns, spend = np.ones(300), np.full(300, 10.0)
    z, variance = NormalDist().inv_cdf(0.9), 300 * 100 * (4 / 3 - 1)
    assert UNIFORM.total_interval(returns, spend) == pytest.approx((3000 - z * variance**0.5, 3000 + z * variance**0.5))
    wide = Spread(**{**asdict(UNIFORM), "level_error": 0.1})
    below, above = 3000 * (1 - np.exp(-0.1 * z)), 3000 * (np.exp(0.1 * z) - 1)
    expected = (3000 - np.hypot(below, z * variance**0.5), 3000 + np.hypot(above, z * variance**0.5))
    assert wide.total_interval(returns, spend) == pytest.approx(expected)


def test_ratios_are_interpolated_between_groups() -> None:
    groups = Spread(0.8, 0.8, (0.0, 1.0), (0.0, 2.0), ((1.0, 1.0), (3.0, 3.0)), (1.0, 9.0), 0.0)
    value = np.exp([-5.0, 1.0, 9.0])  # below the first group, half-way, above the last
    _, high = groups.interval(np.ones(3), value)
    assert high == pytest.approx(value * [1.0, 2.0, 3.0])


def test_it_is_read_from_json() -> None:
    content = {**asdict(UNIFORM), "chances": [0.0, 1.0], "centres": [0.0], "ratios": [[0.0, 2.0]], "squares": [4 / 3]}
    assert read_spread(content) == UNIFORM and read_spread(None) is None
