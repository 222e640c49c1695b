"""What is believed of an action: the posterior of its measurements, and the probability that it pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.config.plan import PlanAction
from features.outputs.manifests import Measurement, UpliftManifest
from serving.effects.action_beliefs import ActionBelief, believe_actions

ACTIONS = {"mail": PlanAction(cost=0.5), "call": PlanAction(cost=3.0)}


def _measured(action: str, effect: float, error: float, outcome: str = "value", base: float = 20.0) -> Measurement:
    estimator = "plain" if outcome == "value" else "adjusted"
    row = {"family": "action", "outcome": outcome, "estimator": estimator, "action": action, "effect": effect,
           "error": error, "mean_held": base, "held": 100}  # fmt: skip
    content: dict[str, Any] = {"cutoff": "2024-03-01", "campaign": "a", "mature": True, "log": {}, "customers": {}}
    return Measurement.model_validate({**content, "effects": [row], "sample_ratio": {"alarm": False}})


def test_a_precise_effect_is_believed_and_judged_by_its_cost() -> None:
    measured = [("a", _measured("mail", 4.0, 0.2)), ("b", _measured("call", 4.0, 0.2))]
    mail, call = believe_actions(ACTIONS, 0.5, measured, None, 0.8)
    assert mail.effect == pytest.approx(4.0, abs=0.3) and mail.gain == pytest.approx(0.5 * (mail.effect or 0) - 0.5)
    assert (mail.worth or 0) > 0.99 > 0.01 > call.worth
    assert mail.campaigns == call.campaigns == 1


def test_no_measurement_no_belief_and_an_unmeasured_action_is_like_the_others_but_less_certain() -> None:
    assert all(each.worth is None and each.effect is None for each in believe_actions(ACTIONS, 0.5, [], None, 0.8))
    mail, call = believe_actions(ACTIONS, 0.5, [("a", _measured("mail", 4.0, 0.2))], None, 0.8)
    assert call.campaigns == 0 and 0 < (call.effect or 0) < (mail.effect or 0)
    assert (call.gain_error or 0) > (mail.gain_error or 0)


def test_campaigns_that_the_model_learned_from_count_once() -> None:
    evidence = {"mail": {"value": {"base": 20.0, "average": 4.0, "error": 0.2}}}
    model = UpliftManifest(cutoff="2024-04-01", customers=1, rows=1, sha256="", model="m", source="measured",
                           evidence=evidence, plans=["a"])  # type: ignore[arg-type]  # fmt: skip
    measured = [("a", _measured("mail", 4.0, 0.2))]
    assert believe_actions(ACTIONS, 0.5, measured, model, 0.8)[0].campaigns == 1
    assert believe_actions(ACTIONS, 0.5, [("b", measured[0][1])], model, 0.8)[0].campaigns == 2


def test_a_posterior_of_the_model_is_believed_as_it_is_and_later_campaigns_are_added_by_precision() -> None:
    figures = {"base": 20.0, "average": 1.0, "error": 0.8, "posterior": 1.0}
    model = UpliftManifest(cutoff="2024-04-01", customers=1, rows=1, sha256="", model="m", source="measured",
                           evidence={"mail": {"value": figures}}, plans=["a"])  # type: ignore[arg-type]  # fmt: skip
    alone = believe_actions(ACTIONS, 0.5, [], model, 0.8)[0]
    assert (alone.effect, alone.gain_error) == (pytest.approx(1.0), pytest.approx(0.4))
    later = believe_actions(ACTIONS, 0.5, [("b", _measured("mail", 3.0, 0.8))], model, 0.8)[0]
    assert (later.effect, later.gain_error) == (pytest.approx(2.0), pytest.approx(0.4 / 2**0.5))


def test_without_money_an_action_pays_if_customers_return() -> None:
    (mail,) = believe_actions(
        {"mail": ACTIONS["mail"]}, None, [("a", _measured("mail", 0.1, 0.01, "return", 0.5))], None, 0.9
    )
    assert mail.outcome == "return" and (mail.worth or 0) > 0.99 and mail.gain == mail.effect


def test_not_knowing_costs_what_a_simulation_says() -> None:
    belief = ActionBelief("mail", "value", 0.5, 1, gain=0.3, gain_error=0.8)
    gains = np.random.default_rng(1).normal(0.3, 0.8, 400_000)
    assert belief.price_of_not_knowing == pytest.approx(np.maximum(gains, 0).mean() - 0.3, abs=0.005)
    assert ActionBelief("mail", "value", 0.5, 0).price_of_not_knowing == 0


def test_a_dose_that_was_never_tried_is_believed_to_lie_on_the_curve_of_the_others() -> None:
    doses = {f"m{depth}": PlanAction(cost=0.1, channel="mail", depth=depth / 100) for depth in (10, 20, 40)}
    measured = [("a", _measured("m10", 2.0, 0.3)), ("b", _measured("m40", 4.0, 0.3))]
    low, middle, high = (belief.effect or 0.0 for belief in believe_actions(doses, 0.5, measured, None, 0.8))
    assert low < middle < high and middle - low > (high - low) / 3


def test_observational_effects_are_shown_as_such_and_update_no_belief() -> None:
    evidence = {name: {"value": {"base": 20.0, "average": 9.0, "error": 0.2}} for name in ACTIONS}
    model = UpliftManifest(cutoff="2024-04-01", customers=1, rows=1, sha256="", model="m", source="observational",
                           evidence=evidence)  # type: ignore[arg-type]  # fmt: skip
    measured = [("a", _measured("mail", 4.0, 0.2))]
    mail, call = believe_actions(ACTIONS, 0.5, measured, model, 0.8)
    assert mail == believe_actions(ACTIONS, 0.5, measured, None, 0.8)[0] and not mail.observational
    assert call.observational and call.campaigns == 0 and (call.effect or 0) > 8
