"""Whether a plan was carried out as the lot had it: who is there, who was reached, and who was although held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from serving.measurement.executed_plan import ExecutedPlan
from serving.statistics.treatment_effect import sample_ratio_p_value

ALARM = 0.01  # shared among the groups looked at


def sample_ratio_checks(campaign: ExecutedPlan) -> dict[str, Any]:
    """The drawn holdout against its share: among the eligible, and among those meant to have each action.

    Returns:
        share, threshold (of each probability), alarm, and groups: of, treated, held, p.
    """
    share = float(campaign.plan.manifest["holdout"]["share"])
    groups = {"eligible": campaign.eligible}
    groups |= {name: campaign.assigned == place for place, name in enumerate(campaign.actions)}
    found: list[dict[str, Any]] = []
    for name, group in groups.items():
        held = int((campaign.held_out & group).sum())
        treated = int(group.sum()) - held
        if held + treated:
            p = sample_ratio_p_value([treated, held], [1 - share, share])
            found.append({"of": name, "treated": treated, "held": held, "p": p})
    threshold = ALARM / len(found)
    return {"share": share, "threshold": threshold, "alarm": min(g["p"] for g in found) < threshold, "groups": found}


def exposure_by_action(campaign: ExecutedPlan) -> dict[str, Any]:
    """Of those meant to get each action: how many got it, only another of the plan, only one it lacks, or nothing."""
    found = {}
    for place, name in enumerate(campaign.actions):
        mine = campaign.treated & (campaign.assigned == place)
        got = mine & (campaign.contacts[:, place] > 0)
        another = mine & ~got & (campaign.contacts.sum(axis=1) > 0)
        strange = mine & ~got & ~another & (campaign.other_contacts > 0)
        counts = {key: int(who.sum()) for key, who in (("meant", mine), ("got", got), ("another", another))}
        counts["not_of_the_plan"] = int(strange.sum())
        counts["nothing"] = counts["meant"] - int((got | another | strange).sum())
        found[name] = {**counts, "share": counts["got"] / counts["meant"] if counts["meant"] else None}
    return found


def holdout_contamination(campaign: ExecutedPlan) -> dict[str, Any]:
    """Contacts with the plan's actions that the plan did not mean: of those held out, of others, and other actions."""
    contacted = campaign.contacts.sum(axis=1) > 0
    held = campaign.held_out & (campaign.assigned >= 0)
    by_action = {
        name: {"held_out": int(of.sum()), "contacted": int((of & contacted).sum())}
        for place, name in enumerate(campaign.actions)
        for of in (held & (campaign.assigned == place),)
    }
    return {
        "held_out": int(held.sum()),
        "contacted": int((held & contacted).sum()),
        "by_action": by_action,
        "planned_nothing": int((contacted & (campaign.assigned < 0)).sum()),
        "outside_the_plan": campaign.contacted_outside,
        "other_actions": campaign.other_actions,
    }


def contact_costs(campaign: ExecutedPlan) -> dict[str, Any]:
    """Money of the contacts with the plan's actions that really went out, by whom they reached."""
    held = campaign.held_out & (campaign.assigned >= 0)
    sides = {"treated": campaign.treated, "held_out": held, "planned_nothing": campaign.assigned < 0}
    found: dict[str, Any] = {name: float(campaign.cost[of].sum()) for name, of in sides.items()}
    found["by_action"] = {name: action_cost(campaign, place) for place, name in enumerate(campaign.actions)}
    found["expected"] = float(campaign.plan.manifest["spent"])
    found["source"] = campaign.cost_source
    return found


def action_cost(campaign: ExecutedPlan, place: int) -> float:
    """Money of all contacts of those who were meant to get an action, whichever they got."""
    return float(np.sum(campaign.cost[campaign.treated & (campaign.assigned == place)]))
