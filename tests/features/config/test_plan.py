"""[plan] is loaded completely, or refused with a message that says what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.load import Config, parse_config
from features.errors import UsageError
from features.task import Window

ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.1}}
CONTACTS = {"source": "c.csv", "customer": "c", "time": "t", "action": "a", "control": "mail"}


def _parsed(contacts: dict[str, Any] | None = None, **plan: Any) -> Config:
    events = {"source": "log.csv", "customer": "customer", "time": "time"}
    sections = {"contacts": contacts} if contacts else {}
    return parse_config(
        {"config_version": 1, "name": "shop", "events": events, "plan": {"actions": ACTIONS, **plan}, **sections}
    )


def test_a_plan_needs_little() -> None:
    plan = _parsed(contacted_within="2w", contacts={**CONTACTS, "control": "none"}).plan
    assert plan is not None
    assert (plan.campaign, plan.holdout, plan.contacted_within) == ("retention", 0.1, Window(14))
    assert (plan.actions["mail"].cost, plan.actions["mail"].capacity) == (0.5, None)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"bugdet": 3}, r"unknown key 'bugdet' in \[plan\]; did you mean 'budget'"),
        ({"actions": {"mail": {"cost": 1, "save_rte": 0.1}}}, "did you mean 'save_rate'"),
        ({"actions": {"mail": {}}}, "cost is missing"),
        ({"actions": {"mail": {"cost": -1}}}, r"\[plan.actions.mail\] cost"),
        ({"actions": {"mail": {"cost": 1, "save_rate": 2}}}, "save_rate"),
        ({"actions": {}}, "actions"),
        ({"holdout": 1.0}, "holdout"),
        ({"margin": 0}, "margin"),
        ({"campaign": "../up"}, "campaign"),
        ({"minimums": {"keep": 1.5}}, "'keep' has 1.5; expected a share"),
        ({"total_budget": 9}, "total_budget and budget_until go together"),
        ({"total_budget": 9, "budget_until": "2024-01-01", "budget_from": "2024-01-01"}, "not before budget_until"),
        ({"quiet_days": ["someday"]}, "expected a weekday"),
        ({"actions": {"mail": {"cost": 1, "depth": 1.5}}}, "depth"),
        ({"contacts_at_most": 3}, "contacts_at_most and contacts_window go together"),
        ({"seed": -1}, "seed"),
        ({"contacted_within": "30d"}, r"counts earlier contacts .* but there is no \[contacts\]"),
        ({"contacts": CONTACTS}, "names 'mail', which is the control of .contacts."),
        ({"exclude": [{"why": "x"}]}, "needs exactly one of column"),
        ({"exclude": [{"why": "x", "column": "city"}]}, "column and values go together"),
        ({"exclude": [{"why": "x", "customers": ["a"], "ids": "f.csv"}]}, "needs exactly one of column"),
        ({"exclude": [{"why": "x", "customers": ["a"], "actions": ["sms"]}]}, "there is no action 'sms'.*has mail"),
    ],
)
def test_invalid_plans_are_refused(plan: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _parsed(**plan)
