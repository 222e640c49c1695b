"""Plans of the nightly run: by schedule, or because an alert asks for contacts ([run] plan_on = "alert").

An alert starts a plan if a segment crosses a threshold of [monitor]. The plan is for the customers of that segment, has
a budget of its own ([run] alert_budget), and is made once for each cause: an alert that stays open starts no second
plan, and neither does one of the same segment before the horizon of the first plan is over.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from features.campaigns.live_plans import alert_campaign, live_plan
from serving.language.formats import format_money
from serving.language.messages import get_language
from serving.nightly.state import DONE, SKIPPED, UNCHANGED, Night, StepOutcome
from serving.nightly.steps import affordable, plan_on_schedule
from serving.planning import plan as planning

CONTACT = "contact"  # the action of alerts that a segment crossed a threshold


def plan_if_due(night: Night) -> StepOutcome:
    """Makes the plan of the schedule if it is due, otherwise one for new alerts that ask for contacts."""
    scheduled = plan_on_schedule(night)
    if scheduled.state in (DONE, UNCHANGED) or not night.config.run.plans_on_alert:
        return scheduled
    return _plan_for_alerts(night)


def new_causes(night: Night) -> list[dict[str, Any]]:
    """The open alerts about a segment that no plan was made for yet."""
    horizon = timedelta(night.config.task.horizon.days)
    answered = {plan["alert"] for plan in night.alert_plans}
    running = {
        plan["segment"] for plan in night.alert_plans if night.cutoff < date.fromisoformat(plan["cutoff"]) + horizon
    }
    about_segments = [alert for alert in night.alerts if alert["action"] == CONTACT and alert["segment"]]
    return [a for a in about_segments if a["id"] not in answered and a["segment"] not in running]


def _plan_for_alerts(night: Night) -> StepOutcome:
    config, rules, causes = night.config, night.config.plan, new_causes(night)
    if rules is None or not causes:
        return StepOutcome(SKIPPED, "no new alert asks for a plan ([run] plan_on)")
    if not night.newest:
        return StepOutcome(SKIPPED, "the log knows later days than this one")
    campaign = alert_campaign(rules.campaign, night.cutoff)
    live = live_plan(config, night.cutoff)
    if live and not (rules.independent and live.campaign != campaign):
        return StepOutcome(UNCHANGED, f"the plan of campaign {live.campaign} is kept; an alert starts none beside it")
    groups = sorted({alert["segment"] for alert in causes})
    budget = affordable(config, rules, night.cutoff, config.run.alert_budget)
    if budget is None:
        return StepOutcome(SKIPPED, "too little is left of [plan] total_budget for a plan that an alert asks for")
    plan = planning.make_plan(night.log, night.cutoff, budget, campaign, groups)
    night.alert_plans += [
        {"alert": a["id"], "segment": a["segment"], "campaign": campaign, "cutoff": str(night.cutoff)} for a in causes
    ]
    titles = "; ".join(alert["title"] for alert in causes)
    chosen = plan.manifest.customers["with_action"]
    spent = format_money(plan.spent, get_language("en", plan.manifest.currency))
    return StepOutcome(DONE, f"{titles}: campaign {campaign}, {chosen:,} customers get an action, {spent} is spent")
