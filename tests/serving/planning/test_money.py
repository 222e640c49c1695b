"""Money over months: what is left, the share of a plan, and a bound that no split of the money exceeds."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import RefusedError, UsageError
from serving.campaigns.overview import list_campaigns
from serving.campaigns.text import campaigns_text
from serving.language.formats import NumberFormat
from serving.language.messages import ENGLISH
from serving.nightly.steps import affordable
from serving.optimizer.allocate import allocate_actions, allocation_problem
from serving.planning.money import MoneyLeft, look_ahead, money_left
from serving.planning.plan import make_plan
from serving.planning.promise import gain_sentences
from serving.planning.text import plan_text
from tests.scored import CUTOFF, make_scored

ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.1}, "call": {"cost": 4.0, "save_rate": 0.4}}
MONEY = {"total_budget": 300, "budget_from": "2024-02-01", "budget_until": "2024-05-01"}
PLAN: dict[str, Any] = {"margin": 0.5, "actions": ACTIONS, "curve": 3, **MONEY}


def _config(folder: Path, **rules: Any) -> Config:
    return make_scored(folder, {"plan": {**PLAN, **rules}})


def _rules(config: Config) -> PlanConfig:
    assert config.plan is not None
    return config.plan


def test_a_plan_gets_its_share_of_what_others_leave(tmp_path: Path) -> None:
    config = _config(tmp_path)  # March and April are left, so there is a plan now and two later
    plan = make_plan(config, CUTOFF)
    money = plan.manifest.money
    assert money is not None and (money["plans"], money["left"], money["share"]) == (3, 300, 100)
    assert plan.manifest.budget == 100 and plan.gain * 3 == pytest.approx(money["gain"], rel=0.05)
    assert money["gain"] <= money["bound"]
    text = plan_text(plan)
    assert "until 2024-05-01, 300.00 of 300.00 is left for 3 plans, this one included: 100.00 each" in text
    assert "the next unit of money adds" in text
    sentences = list(gain_sentences(plan.manifest, NumberFormat(100), ENGLISH))
    assert any("The next unit of money would bring" in each for each in sentences)
    assert sentences[-1].startswith("Until 2024-05-01, 300 of 300 is left for 3 plans")
    later = money_left(config, _rules(config), date(2024, 4, 1))
    assert later is not None and (later.spent, later.plans) == (plan.spent, 1)
    again = money_left(config, _rules(config), CUTOFF)  # the same campaign is planned again
    assert again is not None and again.spent == 0


def test_only_money_that_is_left_may_be_asked_for(tmp_path: Path) -> None:
    config = _config(tmp_path, budget=60)
    assert make_plan(config, CUTOFF).manifest.budget == 60
    assert make_plan(config, CUTOFF, budget=200).manifest.budget == 200
    with pytest.raises(RefusedError, match=r"a budget of 301 is more than the 300 that is left"):
        make_plan(config, CUTOFF, budget=301)
    for day in (date(2024, 5, 1), date(2024, 1, 31)):
        with pytest.raises(UsageError, match="from 2024-02-01 until 2024-05-01"):
            money_left(config, _rules(config), day)


def test_the_night_plans_nothing_without_money(tmp_path: Path) -> None:
    config = _config(tmp_path, total_budget=1.2)
    assert affordable(config, _rules(config), CUTOFF) is None  # 0.4 for each of three plans
    assert affordable(config, _rules(config), CUTOFF, 20.0) == 1.2
    free = _config(tmp_path, **dict.fromkeys(MONEY), budget=7)
    assert affordable(free, _rules(free), CUTOFF) == 7 and affordable(free, _rules(free), CUTOFF, 3.0) == 3


def test_no_split_of_the_money_exceeds_the_bound() -> None:
    rng = np.random.default_rng(4)
    costs = np.array([1.0, 2.5, 4.0])
    gains = rng.lognormal(0, 1, (150, 1)) * np.array([1.0, 1.8, 2.2]) * rng.uniform(0.5, 1.5, (150, 3)) - costs
    left = MoneyLeft(240.0, 60.0, date(2024, 6, 1), 4)

    def allocate(budget: float) -> Any:
        return allocate_actions(allocation_problem(gains, costs, budget))

    facts = look_ahead(left, allocation_problem(gains, costs, left.share), allocate(left.share))
    assert (facts["left"], facts["share"]) == (180.0, 45.0)
    assert facts["gain"] <= facts["bound"] <= 1.02 * facts["gain"]
    for _ in range(8):
        split = rng.dirichlet(np.full(4, rng.choice([0.3, 1.0, 5.0]))) * left.left
        assert sum(allocate(float(budget)).gain for budget in split) <= facts["bound"] + 1e-9


def test_live_plans_side_by_side_share_by_one_price(tmp_path: Path) -> None:
    config = _config(tmp_path, independent=True, **dict.fromkeys(MONEY))
    make_plan(config, CUTOFF, 5, "small", ["save first"])
    make_plan(config, CUTOFF, 120, "large", ["keep"])
    shared = list_campaigns(config).shared
    assert shared is not None and shared.more > 0
    assert shared.budgets[f"{CUTOFF}/small"] > 5 and shared.budgets[f"{CUTOFF}/large"] < 120
    assert "By one price of money, the live plans would gain" in campaigns_text(list_campaigns(config))
