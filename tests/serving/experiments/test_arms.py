"""The arms of a test: by name, by attributes, and what is refused."""

from __future__ import annotations

import pytest

from features.config.plan import PlanAction
from features.errors import UsageError
from serving.experiments.arms import NOTHING, parse_arms

ACTIONS = {
    "mail10": PlanAction(cost=1, channel="email", depth=0.1),
    "mail20": PlanAction(cost=2, channel="email", depth=0.2),
    "call10": PlanAction(cost=4, channel="phone", depth=0.1),
    "call20": PlanAction(cost=5, channel="phone", depth=0.2),
    "letter": PlanAction(cost=3, day_part="evening"),
}


def test_arms_are_named_one_by_one() -> None:
    arms = parse_arms("letter VS mail10 vs. Nothing", ACTIONS)
    assert arms.actions == ("letter", "mail10") and arms.nothing and not arms.factors
    assert arms.text == "letter vs mail10 vs nothing"
    assert parse_arms("nothing vs letter", ACTIONS).names == ("letter", NOTHING), "nothing comes last"


def test_every_combination_of_attributes_is_an_arm() -> None:
    arms = parse_arms("channel x depth vs nothing", ACTIONS)
    assert arms.factors == ("channel", "depth")
    assert arms.levels == {
        "mail10": ("email", 0.1), "mail20": ("email", 0.2), "call10": ("phone", 0.1), "call20": ("phone", 0.2),
    }  # fmt: skip
    assert arms.names[-1] == NOTHING
    assert parse_arms("day part = evening vs nothing", ACTIONS).actions == ("letter",)
    assert parse_arms("channel = phone, email x depth = 0.2", ACTIONS).actions == ("call20", "mail20")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mail10", "a single arm"),
        ("mail10 vs mail10", "named twice"),
        ("mail10 vs ", "empty or named twice"),
        ("mail1O vs letter", "did you mean 'mail10'"),
        ("channel", "all have channel = email"),
        ("channel x channel", "an attribute is named twice"),
        ("channel x depth = 0.3", "has depth = 0.3; they have 0.1, 0.2"),
        ("channel x depth = deep", "expected numbers"),
        ("channel x day_part", "no action of"),
        ("channel x depth vs mail10", "no action 'channel x depth'"),
    ],
)
def test_other_tests_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_arms(text, ACTIONS)


def test_a_missing_combination_is_named() -> None:
    with pytest.raises(UsageError, match=r"no action with channel = phone, depth = 0\.2; add one"):
        parse_arms("channel x depth", {name: ACTIONS[name] for name in ("mail10", "mail20", "call10")})


def test_no_action_may_be_called_nothing() -> None:
    with pytest.raises(UsageError, match="rename it"):
        parse_arms("mail10 vs nothing", {**ACTIONS, NOTHING: PlanAction(cost=0)})
