"""Every group has advice; none forbids what a plan may do, and contracts are spoken of as contracts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from features.config.load import Config
from features.config.rfm_rules import RULES
from features.config.segments import LIFECYCLE_STAGES, SEGMENTS, TIERS
from serving.segmentation.advice import CONTRACT_ADVICE, config_advice, group_advice

GROUPS = {*RULES, *LIFECYCLE_STAGES, *TIERS, *SEGMENTS}


@pytest.mark.parametrize("contractual", [False, True])
def test_every_group_has_advice_that_leaves_the_spending_to_the_plan(contractual: bool) -> None:
    advice = group_advice({}, contractual)
    assert advice.keys() == GROUPS
    for name, text in advice.items():
        assert not re.search(r"no spending|no discounts|only cheap|contacts only|at most", text), name
    assert "value at risk" in advice["quiet occasional buyers"] and "saves" in advice["let go"]


def test_contracts_are_renewed_or_cancelled_and_not_bought() -> None:
    assert CONTRACT_ADVICE.keys() <= GROUPS and set(SEGMENTS) <= CONTRACT_ADVICE.keys()
    for name, text in CONTRACT_ADVICE.items():
        assert not re.search(r"order|buy|bought|purchase|basket|bundle", text), name
    for name in SEGMENTS:
        assert re.search(r"renew|cancel", CONTRACT_ADVICE[name]), name


def test_the_words_of_the_config_go_first(make_config: Callable[..., Config]) -> None:
    own = {"segments": {"treatments": {"keep": "call"}}}
    assert config_advice(make_config(own))["keep"] == "call"
    terms = {"source": "t.csv", "customer": "c", "start": "s", "end": "e"}
    contract = make_config({**own, "task": {"churn": "cancelled"}, "subscriptions": terms})
    assert config_advice(contract)["keep"] == "call"
    assert config_advice(contract)["save first"] == CONTRACT_ADVICE["save first"]
