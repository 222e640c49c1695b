"""A pilot: one action that can be measured, on customers drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from features.config.plan import PlanConfig
from features.errors import RefusedError
from serving.planning.eligibility import Eligibility
from serving.planning.pilot import NOT_DRAWN, Pilot, design_pilot, draw_pilot

N = 5000


def _rules(**call: float) -> PlanConfig:
    actions = {"mail": {"cost": 1.0}, "call": {"cost": 4.0, **call}}
    return PlanConfig.model_validate({"actions": actions, "budget": 3000.0, "margin": 0.5})


def _design(rules: PlanConfig, gains: tuple[float, float] = (2.0, 6.0), share: float = 0.5) -> Pilot:
    effects = np.tile([0.05, 0.10], (N, 1))
    return design_pilot(np.tile(gains, (N, 1)), effects, np.full(N, 0.6), share, rules)


def test_the_action_with_the_most_gain_is_tried_if_it_can_be_measured() -> None:
    assert _design(_rules()).action == 1
    assert _design(_rules(capacity=100)).action == 0, "100 calls cannot be measured"
    assert _design(_rules(), gains=(2.0, -1.0)).action == 0


def test_a_smaller_effect_takes_more_customers() -> None:
    assert _design(_rules(capacity=0)).needed > 3 * _design(_rules()).needed


def test_without_a_holdout_there_is_no_pilot() -> None:
    with pytest.raises(RefusedError, match="holdout = 0 nothing can be measured"):
        _design(_rules(), share=0.0)


def test_customers_are_drawn_by_their_random_numbers_alone() -> None:
    left_out = np.full(N, -1)
    left_out[:500] = 0
    allowed = np.repeat((left_out < 0)[:, None], 2, axis=1)
    draws = np.random.default_rng(3).random(N)
    drawn = draw_pilot(Eligibility(allowed, ("opted out",), left_out, {}, {}), draws, Pilot(1, 300))
    inside = drawn.reason_index < 0
    assert inside.sum() == 300
    assert draws[inside].max() <= draws[(left_out < 0) & ~inside].min()
    assert drawn.left_out == {"opted out": 500, NOT_DRAWN: 4200}
    np.testing.assert_array_equal(drawn.allowed, np.column_stack([np.zeros(N, bool), inside]))
