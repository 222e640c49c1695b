"""Doses of one action share a curve: their averages move, differences between customers stay, gaps are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.config.plan import PlanAction
from serving.effects.pooled_doses import OneAction, pool_doses

EXPECTED = np.array([10.0, 20.0, 30.0, 40.0])
DOSES: dict[str, dict[str, Any]] = {"m10": {"depth": 0.1}, "m20": {"depth": 0.2}, "m40": {"depth": 0.4}}
ACTIONS = {name: PlanAction(cost=1.0, channel="mail", **more) for name, more in DOSES.items()}


def _effect(average: float, error: float, enough: bool = True) -> OneAction:
    shape = EXPECTED / EXPECTED.mean()
    spread = np.array([-1.0, 0.0, 0.0, 1.0]) if enough else np.zeros(4)
    evidence = {"outcome": "value", "estimate": average, "error": error, "believed": average, "enough": enough}
    parts = np.stack([error * shape, np.zeros(4)], axis=1)
    value = average * shape * enough + spread
    return OneAction(value / 100, value, error * shape, parts, average * shape + spread, evidence, counted=enough)


def test_averages_move_to_the_curve_and_a_dose_between_is_filled_in() -> None:
    effects = {"m10": _effect(1.0, 0.3), "m40": _effect(3.0, 0.3)}
    pooled, untried = pool_doses(effects, ACTIONS, EXPECTED, "value")
    assert untried == ("m20",)
    means = {name: pooled[name].on_value.mean() for name in ACTIONS}
    assert means["m10"] < means["m20"] < means["m40"]
    assert means["m20"] - means["m10"] > (means["m40"] - means["m10"]) / 3  # concave: more than its share
    np.testing.assert_allclose(pooled["m10"].on_value - means["m10"] * EXPECTED / 25, [-1, 0, 0, 1], atol=1e-9)
    error = pooled["m20"].parts[1, 0] / 0.8  # the second customer is expected to bring 0.8 of the mean
    known = {"estimate": means["m20"], "error": error, "believed": means["m20"]}
    facts = {name: pytest.approx(value) for name, value in known.items()}
    assert pooled["m20"].evidence == {"outcome": "value", "enough": True, **facts}


def test_a_dose_without_evidence_of_its_own_borrows_from_the_others() -> None:
    effects = {"m10": _effect(2.0, 0.2), "m20": _effect(1.5, 1.2, enough=False), "m40": _effect(3.0, 0.2)}
    pooled, untried = pool_doses(effects, ACTIONS, EXPECTED, "value")
    assert untried == () and pooled["m20"].counted and pooled["m20"].on_value.mean() > 2.0
    weak = {"m10": _effect(0.1, 1.0, enough=False), "m40": _effect(0.1, 1.0, enough=False)}
    pooled, _ = pool_doses(weak, ACTIONS, EXPECTED, "value")
    assert not pooled["m20"].counted and not pooled["m20"].on_value.any() and pooled["m20"].believed.all()


def test_other_actions_and_doses_beyond_stay_as_they_are() -> None:
    effects = {"m10": _effect(1.0, 0.3), "m20": _effect(2.0, 0.3)}
    call = {**ACTIONS, "call": PlanAction(cost=1.0, channel="phone", depth=0.15)}
    pooled, untried = pool_doses(effects, call, EXPECTED, "value")
    assert untried == () and set(pooled) == {"m10", "m20"}  # m40 lies beyond, call has another channel
    alone = {"m10": _effect(1.0, 0.3)}
    assert pool_doses(alone, ACTIONS, EXPECTED, "value") == (alone, ())
