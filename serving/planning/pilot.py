"""A pilot: where scores tell nobody apart, one action is tried on customers drawn at random, to measure its effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.config.plan import PlanConfig
from features.errors import RefusedError
from serving.planning.eligibility import Eligibility
from serving.planning.measurability import customers_needed

NOT_DRAWN = "not drawn for the pilot"


@dataclass(frozen=True)
class Pilot:
    """What a pilot tries, and on how many.

    Attributes:
        action: Index of the action.
        needed: Customers, held out or not, who detect its expected effect.
    """

    action: int
    needed: int


def design_pilot(gains: np.ndarray, on_return: np.ndarray, churn: np.ndarray, share: float, rules: PlanConfig) -> Pilot:
    """Chooses the action of a pilot: of those whose effect can be measured, the one with the most expected gain.

    An action can be measured if customers, capacity and budget suffice to detect its expected effect on return.

    Args:
        gains: (n, a) gain of each action for each eligible customer; -inf where it is not allowed.
        on_return: (n, a) effect of each action on the probability of returning.
        churn: (n,) predicted probability of churn.
        share: Share of the customers that is held out.
        rules: The [plan], with capacities, costs and budget.

    Returns:
        The action and the customers that it takes; if no action can be measured, that of the action with most gain.

    Raises:
        RefusedError: There is no holdout, so that nothing could be measured.
    """
    if not share:
        raise RefusedError(
            "the scores tell no customer apart, so a plan can only be a pilot that measures the effect of an action, "
            "and with [plan] holdout = 0 nothing can be measured; set a share such as holdout = 0.5"
        )
    ranked = []
    for place, action in enumerate(rules.actions.values()):
        allowed = np.isfinite(gains[:, place])
        if not allowed.any():
            continue
        gain = float(gains[allowed, place].mean())
        needed = customers_needed(float(1 - churn[allowed].mean()), float(on_return[allowed, place].mean()), share, 1)
        treated = int(np.ceil(needed * (1 - share)))
        capacity = np.inf if action.capacity is None else action.capacity
        fits = treated <= capacity and treated * action.cost <= (rules.budget or 0.0)
        measurable = gain > 0 and needed <= allowed.sum() and fits
        ranked.append(((measurable, gain, -place), Pilot(place, needed)))
    return max(ranked, key=lambda each: each[0])[1]


def draw_pilot(eligibility: Eligibility, draws: np.ndarray, pilot: Pilot) -> Eligibility:
    """Leaves only the customers and the action of a pilot.

    Args:
        eligibility: Who may get which action (n customers).
        draws: (n,) a random number for each customer; of the eligible ones the lowest are drawn.
        pilot: The action, and how many customers it takes.

    Returns:
        The eligibility, with the reason NOT_DRAWN for the others.
    """
    eligible = np.flatnonzero((eligibility.reason_index < 0) & eligibility.allowed[:, pilot.action])
    drawn = eligible[np.argsort(draws[eligible], kind="stable")][: pilot.needed]
    inside = np.zeros(len(draws), bool)
    inside[drawn] = True
    reason_index, allowed = eligibility.reason_index.copy(), np.zeros_like(eligibility.allowed)
    reason_index[(reason_index < 0) & ~inside] = len(eligibility.reasons)
    allowed[drawn, pilot.action] = True
    return replace(eligibility, allowed=allowed, reasons=(*eligibility.reasons, NOT_DRAWN), reason_index=reason_index)
