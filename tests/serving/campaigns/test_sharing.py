"""Money moved between campaigns: one price, the same money, each campaign's own groups, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config
from features.errors import RefusedError, UsageError
from serving.campaigns.sharing import share_money, shared_plans_text
from serving.planning.plan import make_plan
from tests.scored import CUTOFF, make_scored

RULES: dict[str, Any] = {
    "margin": 0.5, "holdout": 0.2, "independent": True, "curve": 20,
    "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two campaigns of different groups, of which one has nearly all the money."""
    config = make_scored(tmp_path_factory.mktemp("sharing"), {"plan": RULES}, customers=2_400)
    make_plan(config, CUTOFF, 300.0, "winback", ["save first"])
    make_plan(config, CUTOFF, 16.0, "loyal", ["keep"])
    return config


def test_no_campaign_loses_all_its_money_by_itself(planned: Config) -> None:
    with pytest.raises(RefusedError, match="less than its cheapest action costs"):
        share_money(planned, CUTOFF, budget=0.6)


def test_money_goes_where_its_next_unit_brings_more(planned: Config) -> None:
    shared = share_money(planned, CUTOFF)
    before, after = ({plan.campaign: plan for plan in plans} for plans in (shared.before, shared.after))
    assert set(after) == {"winback", "loyal"}
    assert sum(plan.spent for plan in after.values()) <= shared.money + 1e-9
    assert sum(plan.gain for plan in after.values()) > sum(plan.gain for plan in before.values())
    assert after["loyal"].spent > before["loyal"].spent
    prices = [plan.manifest.prices["budget"] for plan in after.values()]
    assert max(prices) - min(prices) < 0.5 * max(before["loyal"].manifest.prices["budget"], 1.0)
    segments = {plan.campaign: set(plan.to_pandas().query("action.notna()").segment) for plan in after.values()}
    assert segments == {"winback": {"save first"}, "loyal": {"keep"}}
    text = shared_plans_text(shared)
    assert "is shared by one price of money" in text and "together they are expected to gain +" in text


def test_nothing_is_shared_without_several_campaigns(tmp_path: Path) -> None:
    config = make_scored(tmp_path, {"plan": RULES})
    with pytest.raises(UsageError, match="two or more live campaigns"):
        share_money(config, CUTOFF)
