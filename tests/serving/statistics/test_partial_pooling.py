"""Partial pooling: between no pooling and complete pooling, closer to the truth than either."""

from __future__ import annotations

import numpy as np
import pytest

from serving.statistics.partial_pooling import pool_partially


def test_noisy_groups_are_drawn_to_the_mean_and_precise_ones_stay() -> None:
    effects, errors = np.array([10.0, 0.0, 2.0, 4.0]), np.array([5.0, 0.1, 1.0, 1.0])
    pooled, deviations = pool_partially(effects, errors)
    assert pooled[0] < 6 and pooled[1] == pytest.approx(0.0, abs=0.02)
    assert deviations[0] < 0.6 * errors[0] and deviations[1] == pytest.approx(errors[1], rel=0.01)


def test_one_group_stays_as_it_is() -> None:
    pooled, deviations = pool_partially(np.array([3.0]), np.array([2.0]))
    assert (pooled.item(), deviations.item()) == (3.0, 2.0)


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0])
def test_pooled_effects_are_closer_to_the_truth_and_their_deviations_fit(spread: float) -> None:
    rng, own, ours, inside = np.random.default_rng(1), 0.0, 0.0, []
    for _ in range(300):
        truth = 1 + spread * rng.normal(size=8)
        errors = rng.uniform(0.5, 2, 8)
        effects = truth + errors * rng.normal(size=8)
        pooled, deviations = pool_partially(effects, errors)
        own, ours = own + np.sum((effects - truth) ** 2), ours + np.sum((pooled - truth) ** 2)
        inside.append(np.abs(pooled - truth) < 1.96 * deviations)
    assert ours < own
    assert np.mean(inside) > 0.92  # more where all groups have the same effect
