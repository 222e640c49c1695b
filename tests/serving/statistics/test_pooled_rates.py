"""Partial pooling of shares: intervals hold what they say, and extremes are no trouble."""

from __future__ import annotations

import numpy as np
import pytest

from serving.statistics.pooled_rates import pool_shares


@pytest.mark.parametrize(("centre", "spread"), [(-2.0, 0.5), (-4.5, 0.3), (0.0, 0.0)])
def test_intervals_hold_what_they_say(centre: float, spread: float) -> None:
    rng, held = np.random.default_rng(5), []
    for _ in range(40):
        truth = 1 / (1 + np.exp(-rng.normal(centre, spread, 8)))
        sizes = rng.integers(30, 400, 8)
        _, low, high = pool_shares(rng.binomial(sizes, truth), sizes, 0.95)
        held += ((low <= truth) & (truth <= high)).tolist()
    assert np.mean(held) >= 0.93


def test_nobody_and_everybody_have_rates_between() -> None:
    mean, low, high = pool_shares(np.array([0, 40, 5]), np.array([50, 10_000, 5]), 0.95)
    assert ((low > 0) & (low < mean) & (mean < high) & (high < 1)).all()
    assert mean[1] == pytest.approx(0.004, abs=0.0005)


def test_one_group_has_its_own_rate() -> None:
    mean, low, high = pool_shares(np.array([40]), np.array([10_000]), 0.95)
    assert low[0] < 0.004 < high[0] and mean[0] == pytest.approx(0.00405, abs=1e-5)
