"""Settings of a simulated business that contradict each other are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.simulation.settings import Action, Settings


def act(**changes: Any) -> tuple[Action, ...]:
    return (Action(**{"name": "mail", "cost": 1, "propensity": 0.5, "days": 7, "lifts": (0.1, 0.2, 0.3), **changes}),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Settings(rate_mean=0), "rate_mean"),
        (lambda: Settings(hazard_mean=-1), "hazard_mean"),
        (lambda: Settings(season=1), "season"),
        (lambda: Settings(weekdays=(0,) * 7), "a weekday with a weight above 0"),
        (lambda: Settings(weekdays=(1, 1)), "weekdays"),
        (lambda: Settings(channels=("web", "web", "app")), "channels, categories and arms without repetition"),
        (lambda: Settings(categories=()), "categories"),
        (lambda: Settings(actions=act(name="none")), "arms without repetition"),
        (lambda: Settings(actions=act() + act()), "arms without repetition"),
        (lambda: Settings(actions=act() + act(name="call")), "a sum of propensities below 1"),
        (lambda: Settings(actions=act(days=31)), "no days of an action above contact_every"),
        (lambda: Settings(actions=act(lifts=(0.1,))), "one lift for each channel"),
        (lambda: Settings(actions=act(lifts=(-0.9, 0, 0))), "no lift below -1"),
        (lambda: Settings(actions=act(hazards=(0.1,))), "one change of the hazard for each channel, or none"),
        (lambda: Settings(actions=act(hazards=(-0.9, 0, 0))), "no change of the hazard below -1"),
        (lambda: Settings(saturation=-1), "saturation"),
        (lambda: act(propensity=1), "propensity"),
        (lambda: act(name="a mail"), "name"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_the_defaults_hold_together() -> None:
    assert [action.name for action in Settings().actions] == ["email", "voucher"]
