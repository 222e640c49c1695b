"""Effects of a plan on return and value, by action and segment, and what its money brought."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from typing import Any

import numpy as np

from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.measurement.exposure import action_cost
from serving.statistics.treatment_effect import (
    LEVEL,
    TreatmentEffect,
    difference_in_means,
    pool_effects,
    regression_adjusted_effect,
    simultaneous_effects,
)

ALL = "all"
ADJUSTED, PLAIN = "adjusted", "plain"
EACH_ACTION, EACH_SEGMENT, EACH_PAIR = "action", "segment", "action and segment"
Cell = tuple[str, str, np.ndarray]


def effect_rows(campaign: ExecutedPlan) -> list[dict[str, Any]]:
    """Tidy rows: of each outcome and estimator the plan as a whole, then its actions, segments, and pairs of them.

    Intervals and probabilities of a family's rows hold together (`together` of them); those of the whole by itself.
    The whole is the mean over actions, each weighing as many customers as it was meant for, of those that have
    customers on both sides.
    """
    rows: list[dict[str, Any]] = []
    for outcome, came in campaign.outcomes.items():
        for estimator in (ADJUSTED, PLAIN):
            families = [list(_actions(campaign)), list(_segments(campaign)), list(_pairs(campaign))]
            parts = [_estimate(campaign, came, cell, estimator) for cell in families[0]]
            of = {"outcome": outcome, "estimator": estimator}
            told = [(ALL, (ALL, ALL, campaign.assigned >= 0), _whole(parts), 1)]
            for family, cells in zip((EACH_ACTION, EACH_SEGMENT, EACH_PAIR), families, strict=True):
                found = parts if family == EACH_ACTION else [_estimate(campaign, came, c, estimator) for c in cells]
                known = max(sum(not isnan(part.p) for part in found), 1)
                told += [(family, c, e, known) for c, e in zip(cells, simultaneous_effects(found), strict=True)]
            rows += [{**of, **_row(campaign, came, *each)} for each in told]
    return rows


def plan_returns(campaign: ExecutedPlan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the plan and each action brought in all, adjusted: customers, money, and money for each unit spent.

    Ends of intervals are those of the effect, or while the outcome is immature those that hold at every look; costs
    are taken as known.
    """
    margin = campaign.plan.manifest["margin"]
    low, high = interval_columns(campaign.mature)
    told = [row for row in rows if row["estimator"] == ADJUSTED and row["family"] in (ALL, EACH_ACTION)]
    measured = {row["action"] for row in told if row["effect"] is not None}
    by_action = {name: action_cost(campaign, place) for place, name in enumerate(campaign.actions)}
    spent = {**by_action, ALL: sum(cost for name, cost in by_action.items() if name in measured)}
    found: dict[str, Any] = {}
    for row in told:
        name, cost = row["action"], spent[row["action"]]
        one = found.setdefault(name, {"cost": cost, "margin": margin})
        ends = [row["effect"], row[low], row[high]]
        more = [None if end is None else end * row["treated"] for end in ends]
        one[f"more_{row['outcome']}"] = more
        if row["outcome"] == VALUE and margin is not None:
            one["gain"] = [None if v is None else margin * v - cost for v in more]
            one["return_on_spend"] = [None if v is None or not cost else margin * v / cost for v in more]
    return found


def interval_columns(mature: bool) -> tuple[str, str]:
    """The columns of the interval to read: while an outcome is immature, the one that holds at every look."""
    return ("low", "high") if mature else ("anytime_low", "anytime_high")


def _actions(campaign: ExecutedPlan) -> Iterator[Cell]:
    for place, name in enumerate(campaign.actions):
        if (mine := campaign.assigned == place).any():
            yield name, ALL, mine


def _segments(campaign: ExecutedPlan) -> Iterator[Cell]:
    some = campaign.assigned >= 0
    for name in sorted(set(campaign.segment[some])):
        yield ALL, name, some & (campaign.segment == name)


def _pairs(campaign: ExecutedPlan) -> Iterator[Cell]:
    for action, _, of in _actions(campaign):
        for _, segment, mine in _segments(campaign):
            if (both := of & mine).any():
                yield action, segment, both


def _estimate(campaign: ExecutedPlan, came: np.ndarray, cell: Cell, estimator: str) -> TreatmentEffect:
    mine = cell[2]
    treated = ~campaign.held_out[mine]
    if estimator == PLAIN:
        return difference_in_means(came[mine], treated)
    return regression_adjusted_effect(came[mine], treated, campaign.covariates[mine])


def _whole(parts: list[TreatmentEffect]) -> TreatmentEffect:
    """The mean of those effects that are known."""
    known = [part for part in parts if not isnan(part.effect)]
    return pool_effects(known, [part.treated for part in known]) if known else parts[0]


def _row(
    campaign: ExecutedPlan, came: np.ndarray, family: str, cell: Cell, effect: TreatmentEffect, known: int
) -> dict[str, Any]:
    action, segment, mine = cell
    sides = (came[mine & ~campaign.held_out], came[mine & campaign.held_out])
    low, high = effect.anytime_interval(1 - (1 - LEVEL) / known)
    figures = {**asdict(effect), "anytime_low": low, "anytime_high": high}
    figures["held"] = figures.pop("held_out")
    figures |= {
        f"mean_{name}": float(side.mean()) if len(side) else None
        for name, side in zip(("treated", "held"), sides, strict=True)
    }
    told = {name: None if isinstance(v, float) and isnan(v) else v for name, v in figures.items()}
    return {"family": family, "action": action, "segment": segment, **told, "together": known}
