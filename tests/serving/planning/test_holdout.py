"""The holdout is stable, uniform, and independent between campaigns."""

from __future__ import annotations

import numpy as np
import pytest

from serving.planning.holdout import assign_holdout, uniform_draws

PINNED_A, PINNED_E = 0.8447766948309198, 0.3494682646748083
IDS = [f"customer-{i}" for i in range(20_000)]


def test_draws_are_uniform_and_independent_of_other_campaigns_and_seeds() -> None:
    first = uniform_draws(IDS, "spring", 7)
    assert first.min() >= 0 and first.max() < 1
    counts = np.histogram(first, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square, 19 degrees: 0.999 quantile 43.8
    for other in (uniform_draws(IDS, "autumn", 7), uniform_draws(IDS, "spring", 8)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.03


def test_a_customer_stays_whoever_else_there_is_and_however_large_the_share() -> None:
    some = IDS[100:40:-3]
    few, all_of_them = assign_holdout(some, "spring", 7, 0.2), assign_holdout(IDS, "spring", 7, 0.2)
    assert few.tolist() == [bool(all_of_them[IDS.index(one)]) for one in some]
    assert not (all_of_them & ~assign_holdout(IDS, "spring", 7, 0.3)).any()
    assert not assign_holdout(IDS, "spring", 7, 0.0).any()
    assert (assign_holdout(IDS, "spring", 8, 0.2) != all_of_them).mean() == pytest.approx(0.32, abs=0.02)


def test_the_draw_is_the_one_of_earlier_versions() -> None:
    """A changed draw would move customers in and out of holdouts that are running."""
    np.testing.assert_allclose(uniform_draws(["a", "é"], "spring", 7), [PINNED_A, PINNED_E], atol=1e-15)
