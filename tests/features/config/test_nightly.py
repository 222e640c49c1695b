"""[run]: what a plan needs, and the day on which it is due."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from features.config.nightly import RunConfig
from features.errors import UsageError

PLAN = {"margin": 0.3, "budget": 5, "actions": {"mail": {"cost": 1, "save_rate": 0.1}}}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"run": {"plan_every": "28d"}}, "there is no [plan]"),
        ({"run": {"plan_on": 1}, "plan": {**PLAN, "budget": None}}, "[plan] has no budget"),
        ({"run": {"plan_on": "mondays"}, "plan": PLAN}, "expected a weekday such as 'monday'"),
        ({"run": {"plan_on": 29}, "plan": PLAN}, "a day from 1 to 28"),
        ({"run": {"plan_on": ["monday", "friday"]}, "plan": PLAN}, "expected one weekday"),
        ({"run": {"plan_on": "alert"}, "plan": PLAN}, "plan_on = 'alert' and alert_budget go together"),
        ({"run": {"plan_on": "alert", "alert_budget": 9}, "plan": PLAN}, "[monitor] has none"),
        ({"run": {"plan_on": "alert", "alert_budget": 0.5}, "plan": PLAN}, "below the cheapest action (1 a customer)"),
        ({"run": {"plan_on": "alert", "alert_budget": 9}}, "there is no [plan]"),
        ({"run": {"retrain_on": ["panic"]}}, "[run.retrain_on]"),
        ({"run": {"retrain_evry": "7d"}}, "did you mean 'retrain_every'?"),
        ({"run": {"contributions": -1}}, "contributions"),
    ],
)
def test_impossible_values_are_refused(make_config: Any, sections: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as problem:
        make_config(sections)
    assert words in str(problem.value)


def test_a_config_without_the_section_plans_and_trains_by_no_schedule(make_config: Any) -> None:
    rules = make_config().run
    assert (rules.makes_plans, rules.retrain_every, rules.retrain_on, rules.train_first) == (
        False,
        None,
        ("retrain",),
        True,
    )
    assert make_config({"run": {"plan_on": "Monday"}, "plan": PLAN}).run.makes_plans
    by_alert = {"plan_on": "alert", "alert_budget": 9}
    limits = {"monitor": {"churn": {"all": 0.5}}, "plan": {**PLAN, "budget": None}}
    rules = make_config({"run": by_alert, **limits}).run
    assert (rules.makes_plans, rules.has_schedule, rules.plans_on_alert) == (True, False, True)


@pytest.mark.parametrize(
    ("rules", "last", "due"),
    [
        ({"plan_every": "28d"}, None, "2024-03-06"),
        ({"plan_every": "28d"}, "2024-03-06", "2024-04-03"),
        ({"plan_on": "wednesday"}, None, "2024-03-06"),
        ({"plan_on": "wednesday"}, "2024-03-06", "2024-03-13"),
        ({"plan_on": "wednesday"}, "2024-03-07", "2024-03-13"),  # the night before was missed
        ({"plan_on": 28, "plan_every": "30d"}, "2024-02-28", "2024-04-28"),
    ],
)
def test_the_day_of_the_next_plan(rules: dict[str, Any], last: str | None, due: str) -> None:
    before = date.fromisoformat(last) if last else None
    assert str(RunConfig(**rules).next_plan_day(before, date(2024, 3, 6))) == due
