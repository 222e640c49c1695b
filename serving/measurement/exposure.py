"""Checks that a plan ran as randomised: sample ratio, exposure, contamination of the holdout, and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.measurement.executed_plan import ExecutedPlan
from serving.statistics.treatment_effect import sample_ratio_p_value

ALARM = 0.01  # significance level, divided by the number of groups checked


def sample_ratio_checks(executed: ExecutedPlan) -> dict[str, Any]:
    """Compare the holdout with its planned share: among the eligible, and among those assigned to each action.

    In an experiment, the sizes of all arms are compared with their planned shares, at once.

    Returns:
        share, threshold (of each p-value), alarm, and groups: of, treated, held, p.
    """
    share = float(executed.plan.manifest.holdout["share"])
    if executed.plan.manifest.experiment is not None:
        return _arm_ratio_check(executed, executed.plan.manifest.experiment["arms"], share)
    groups = {"eligible": executed.eligible}
    groups |= {name: executed.assigned == place for place, name in enumerate(executed.actions)}
    checks: list[dict[str, Any]] = []
    for name, group in groups.items():
        held_out = int((executed.held_out & group).sum())
        treated = int(group.sum()) - held_out
        if held_out + treated:
            p = sample_ratio_p_value([treated, held_out], [1 - share, share])
            checks.append({"of": name, "treated": treated, "held": held_out, "p": p})
    threshold = ALARM / len(checks)
    return {"share": share, "threshold": threshold, "alarm": min(c["p"] for c in checks) < threshold, "groups": checks}


def _arm_ratio_check(executed: ExecutedPlan, arms: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The sizes of the arms, of the customers who are in the log, against their planned shares."""
    counts = {name: int(executed.arm(name).sum()) for name in arms}
    planned = [arm["customers"] for arm in arms.values()]
    p = sample_ratio_p_value(list(counts.values()), planned)
    control = int(executed.control.sum())
    group = {"of": "arms", "treated": sum(counts.values()) - control, "held": control, "p": p, "arms": counts}
    return {"share": share, "threshold": ALARM, "alarm": p < ALARM, "groups": [group]}


def exposure_by_action(executed: ExecutedPlan) -> dict[str, Any]:
    """Count, for each action, the contacts of those assigned to it: this action, another, one not planned, or none.

    Returns:
        By action: meant (customers assigned), got, another, not_of_the_plan, nothing, and share (got of meant).
    """
    exposure = {}
    for place, name in enumerate(executed.actions):
        assigned = executed.treated & (executed.assigned == place)
        got = assigned & (executed.contacts[:, place] > 0)
        another = assigned & ~got & (executed.contacts.sum(axis=1) > 0)
        unplanned = assigned & ~got & ~another & (executed.other_contacts > 0)
        counts = {key: int(who.sum()) for key, who in (("meant", assigned), ("got", got), ("another", another))}
        counts["not_of_the_plan"] = int(unplanned.sum())
        counts["nothing"] = counts["meant"] - int((got | another | unplanned).sum())
        exposure[name] = {**counts, "share": counts["got"] / counts["meant"] if counts["meant"] else None}
    return exposure


def holdout_contamination(executed: ExecutedPlan) -> dict[str, Any]:
    """Count contacts that were not planned: with customers held out, with other customers, and with other actions."""
    contacted = executed.contacts.sum(axis=1) > 0
    held_out = executed.control
    by_action = {
        name: {"held_out": int(of.sum()), "contacted": int((of & contacted).sum())}
        for place, name in enumerate(executed.actions)
        for of in (held_out & (executed.assigned == place),)
    }
    return {
        "held_out": int(held_out.sum()),
        "contacted": int((held_out & contacted).sum()),
        "by_action": by_action,
        "planned_nothing": int((contacted & _without_action(executed)).sum()),
        "outside_the_plan": executed.contacted_outside,
        "other_actions": executed.other_actions,
    }


def contact_costs(executed: ExecutedPlan) -> dict[str, Any]:
    """Return the money that contacts with the plan's actions cost, by the group of customers contacted."""
    sides = {
        "treated": executed.treated, "held_out": executed.control, "planned_nothing": _without_action(executed),
    }  # fmt: skip
    costs: dict[str, Any] = {name: float(executed.cost[of].sum()) for name, of in sides.items()}
    costs["by_action"] = {name: action_cost(executed, place) for place, name in enumerate(executed.actions)}
    costs["expected"] = float(executed.plan.manifest.spent)
    costs["source"] = executed.cost_source
    return costs


def _without_action(executed: ExecutedPlan) -> np.ndarray:
    """Whether no action is planned for each customer (n,), nor was one before the holdout was drawn."""
    return np.asarray((executed.assigned < 0) & ~executed.control)


def action_cost(executed: ExecutedPlan, place: int) -> float:
    """Return the money for all contacts of those assigned to the action at `place`, whichever action they got."""
    return float(np.sum(executed.cost[executed.treated & (executed.assigned == place)]))
