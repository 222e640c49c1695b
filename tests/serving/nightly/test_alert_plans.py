"""Plans that alerts start: for the group of the alert alone, with a budget of their own, once for each cause."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.audit.delivery import DeliveryRecord
from features.config.load import Config
from features.intake.log import Log
from serving.nightly.alert_plans import new_causes, plan_if_due
from serving.nightly.state import DONE, SKIPPED, UNCHANGED, Night
from serving.planning.plan import make_plan, read_plan
from tests.scored import CUTOFF, make_scored

PLAN = {"margin": 0.5, "budget": 90, "actions": {"mail": {"cost": 0.5, "save_rate": 0.2}}, "curve": 2}
SECTIONS: dict[str, Any] = {
    "plan": PLAN,
    "run": {"plan_on": "alert", "alert_budget": 20},
    "monitor": {"value_at_risk": {"save first": 100}},
}


def _alert(key: str = "a1", segment: str | None = "save first", action: str = "contact") -> dict[str, Any]:
    return {"id": key, "segment": segment, "action": action, "title": f"alert {key}"}


def _night(config: Config, alerts: list[dict[str, Any]], cutoff: date = CUTOFF, **given: Any) -> Night:
    delivered = DeliveryRecord(1_000, 0, date(2024, 2, 1), cutoff - timedelta(days=1), cutoff, "f")
    return Night(Log(config), cutoff, delivered, {}, [], alerts=alerts, **given)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_scored(tmp_path, SECTIONS)


def test_an_alert_starts_one_plan_for_its_group_with_its_own_budget(config: Config) -> None:
    night = _night(config, [_alert(), _alert("drift", None, "retrain")])
    outcome = plan_if_due(night)
    assert outcome.state == DONE and "alert a1: campaign retention-alert-2024-03-01" in outcome.note
    plan = read_plan(config, CUTOFF, "retention-alert-2024-03-01")
    table = plan.to_pandas()
    assert plan.manifest.budget == 20 and 0 < plan.spent <= 20
    assert set(table[table.action.notna()].segment) == {"save first"}
    assert plan.manifest.left_out["not in the groups that the plan is for"] == 200
    expected = {"alert": "a1", "segment": "save first", "campaign": plan.campaign, "cutoff": str(CUTOFF)}
    assert night.alert_plans == [expected]
    again = plan_if_due(_night(config, [_alert("a2")], alert_plans=[]))
    assert again.state == UNCHANGED  # the cutoff has a live plan


def test_a_cause_that_persists_or_comes_back_soon_starts_no_second_plan(config: Config) -> None:
    earlier = {"alert": "a1", "segment": "save first", "campaign": "c", "cutoff": "2024-02-01"}
    causes = {
        "same": _night(config, [_alert()], alert_plans=[earlier]),
        "again within the horizon": _night(config, [_alert("a2")], date(2024, 3, 1), alert_plans=[earlier]),
        "another group": _night(config, [_alert("a2", "keep")], alert_plans=[earlier]),
        "again later": _night(config, [_alert("a2")], date(2024, 3, 3), alert_plans=[earlier]),
    }
    found = {name: [cause["id"] for cause in new_causes(night)] for name, night in causes.items()}
    assert found == {"same": [], "again within the horizon": [], "another group": ["a2"], "again later": ["a2"]}
    assert plan_if_due(causes["same"]).state == SKIPPED
    assert "no new alert" in plan_if_due(causes["same"]).note


def test_the_schedule_comes_first_and_does_not_count_plans_of_alerts(tmp_path: Path) -> None:
    both = {"plan_on": ["friday", "alert"], "plan_every": "7d", "alert_budget": 20}
    config = make_scored(tmp_path, {**SECTIONS, "run": both})  # 1 March 2024 is a Friday
    night = _night(config, [_alert()])
    assert "campaign retention-2024-03-01" in plan_if_due(night).note and night.alert_plans == []
    tomorrow = CUTOFF + timedelta(days=1)
    assert plan_if_due(_night(config, [], tomorrow)).state == SKIPPED
    make_plan(config, CUTOFF, 20, "retention-alert-2024-03-01")
    alone = config.model_copy(update={"run": config.run.model_copy(update={"plan_on": ("alert",)})})
    assert "asks for a plan" in plan_if_due(_night(alone, [], tomorrow)).note
