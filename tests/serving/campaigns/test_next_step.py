"""What to try next: each branch of the rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from serving.campaigns.next_step import CampaignStep, choose_next_step, verdict
from serving.campaigns.overview import Campaign, CampaignOverview
from serving.effects.action_beliefs import ActionBelief

PLAN = Campaign(
    "2024-03-01/a", date(2024, 3, 1), "a", "waiting", "", date(2024, 3, 31), True, 100, 10, None, 50.0, 50.0, None, 9.0,
    None, None, False, None, None, None, None, 0.1, {}, (),
)  # fmt: skip
MEASURED = replace(PLAN, status="measured", gained=5.0, valid=True)
NEWER = replace(PLAN, name="2024-05-01/a", cutoff=date(2024, 5, 1), matures=date(2024, 5, 31))


def _belief(action: str, gain: float | None, error: float, worth: float | None) -> ActionBelief:
    return ActionBelief(action, "value", 1.0, 1, 2.0, 1.0, 3.0, 0.8, gain, error, worth)


PAYS, FAILS = _belief("mail", 2.0, 0.5, 0.99), _belief("sms", -2.0, 0.5, 0.01)
OPEN, WIDER = _belief("call", 0.1, 0.5, 0.6), _belief("visit", 0.1, 2.0, 0.55)
NEVER = _belief("gift", None, 0.0, None)
UNTRIED = replace(_belief("letter", 3.0, 0.5, 0.99), campaigns=0)  # believed by what was measured of others
CLAIMED = replace(_belief("note", 3.0, 0.5, 0.99), campaigns=0, observational=True)


@pytest.mark.parametrize(
    ("campaigns", "beliefs", "step"),
    [
        ((), (), CampaignStep("plan")),
        ((replace(PLAN, status="superseded"),), (), CampaignStep("plan")),
        ((replace(NEWER, status="due"), MEASURED), (OPEN,), CampaignStep("measure", NEWER.name)),
        ((MEASURED, replace(PLAN, status="due", name="old")), (OPEN,), CampaignStep("test", action="call")),
        ((replace(PLAN, held_out=0),), (PAYS,), CampaignStep("hold out")),
        ((MEASURED,), (PAYS, OPEN, WIDER), CampaignStep("test", action="visit")),
        ((PLAN,), (NEVER,), CampaignStep("wait", PLAN.name, day="2024-03-31")),
        ((MEASURED,), (PAYS, FAILS), CampaignStep("go on", action="mail")),
        ((MEASURED,), (PAYS, UNTRIED), CampaignStep("test", action="letter")),
        ((MEASURED,), (PAYS, CLAIMED), CampaignStep("test", action="note")),
        ((MEASURED,), (FAILS,), CampaignStep("stop")),
    ],
)
def test_the_rule(campaigns: tuple[Campaign, ...], beliefs: tuple[ActionBelief, ...], step: CampaignStep) -> None:
    assert choose_next_step(CampaignOverview("shop", campaigns, beliefs, {})) == step


def test_verdicts() -> None:
    assert [verdict(each) for each in (PAYS, FAILS, OPEN, NEVER, UNTRIED, CLAIMED)] == [
        "pays", "does not pay", "undecided", "never measured", "never measured", "observational",
    ]  # fmt: skip
