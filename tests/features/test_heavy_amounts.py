"""Only amounts far above all others are heavy; ordinary amounts, also of few very large customers, are not."""

from __future__ import annotations

import numpy as np
import pytest

from features.heavy_amounts import count_heavy, ordinary_limit


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("count", [60, 1000, 50_000])
def test_amounts_with_a_long_tail_are_ordinary(spread: float, count: int) -> None:
    rng = np.random.default_rng(3)
    assert ordinary_limit(np.exp(rng.normal(3.0, spread, count))) == np.inf


@pytest.mark.parametrize("mistyped", [[1e12], [9.5e9, 1e12], [1e9] * 10, [3e5]])
def test_mistyped_amounts_are_heavy_and_the_largest_other_is_the_limit(mistyped: list[float]) -> None:
    amounts = np.r_[np.linspace(10.0, 90.0, 500), mistyped, np.nan, -5.0]
    assert ordinary_limit(amounts) == 90.0


def test_few_amounts_prove_nothing() -> None:
    assert ordinary_limit(np.r_[np.ones(20), 1e9]) == np.inf
    assert ordinary_limit(np.array([])) == np.inf
    assert count_heavy(np.array([1e9]), 1e9 + 20, 21, 1.0, 10.0) == 0
