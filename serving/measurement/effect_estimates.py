"""Effects of a plan on return and value, by action and segment, and the money that it brought."""

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
Group = tuple[str, str, np.ndarray]  # action, segment, and which customers (n,)


def effect_rows(executed: ExecutedPlan) -> list[dict[str, Any]]:
    """Return one row for each effect, by outcome and estimator: all customers, each action, each segment, each pair.

    The effect on all customers is the mean over the actions that have customers on both sides, weighted by the
    customers treated; its interval and p-value hold by themselves. Those of a family (actions, segments, pairs) hold
    together; `together` is the number of effects in it that are known.
    """
    rows: list[dict[str, Any]] = []
    for outcome, values in executed.outcomes.items():
        for estimator in (ADJUSTED, PLAIN):
            families = [list(_actions(executed)), list(_segments(executed)), list(_pairs(executed))]
            parts = [_estimate(executed, values, group, estimator) for group in families[0]]
            estimates = [(ALL, (ALL, ALL, executed.assigned >= 0), _pooled(parts), 1)]
            for family, groups in zip((EACH_ACTION, EACH_SEGMENT, EACH_PAIR), families, strict=True):
                effects = (
                    parts if family == EACH_ACTION else [_estimate(executed, values, g, estimator) for g in groups]
                )
                known = max(sum(not isnan(effect.p) for effect in effects), 1)
                adjusted = simultaneous_effects(effects)
                estimates += [(family, g, effect, known) for g, effect in zip(groups, adjusted, strict=True)]
            key = {"outcome": outcome, "estimator": estimator}
            rows += [{**key, **_row(executed, values, *estimate)} for estimate in estimates]
    return rows


def plan_returns(executed: ExecutedPlan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the plan and each action brought in total: customers, money, and money for each unit spent.

    Figures come from the adjusted effects, each as [estimate, low, high]. The ends are those of the effect, or of its
    sequential confidence interval while outcomes are immature; costs count as known exactly.
    """
    margin = executed.plan.manifest.margin
    low, high = interval_columns(executed.mature)
    adjusted = [row for row in rows if row["estimator"] == ADJUSTED and row["family"] in (ALL, EACH_ACTION)]
    measured = {row["action"] for row in adjusted if row["effect"] is not None}
    by_action = {name: action_cost(executed, place) for place, name in enumerate(executed.actions)}
    spent = {**by_action, ALL: sum(cost for name, cost in by_action.items() if name in measured)}
    returns: dict[str, Any] = {}
    for row in adjusted:
        name, cost = row["action"], spent[row["action"]]
        figures = returns.setdefault(name, {"cost": cost, "margin": margin})
        ends = [row["effect"], row[low], row[high]]
        more = [None if end is None else end * row["treated"] for end in ends]
        figures[f"more_{row['outcome']}"] = more
        if row["outcome"] == VALUE and margin is not None:
            figures["gain"] = [None if v is None else margin * v - cost for v in more]
            figures["return_on_spend"] = [None if v is None or not cost else margin * v / cost for v in more]
    return returns


def interval_columns(mature: bool) -> tuple[str, str]:
    """Return the columns of the interval to read: while an outcome is immature, those of the sequential one."""
    return ("low", "high") if mature else ("anytime_low", "anytime_high")


def _actions(executed: ExecutedPlan) -> Iterator[Group]:
    for place, name in enumerate(executed.actions):
        if (inside := executed.assigned == place).any():
            yield name, ALL, inside


def _segments(executed: ExecutedPlan) -> Iterator[Group]:
    assigned = executed.assigned >= 0
    for name in sorted(set(executed.segment[assigned])):
        yield ALL, name, assigned & (executed.segment == name)


def _pairs(executed: ExecutedPlan) -> Iterator[Group]:
    for action, _, of_action in _actions(executed):
        for _, segment, of_segment in _segments(executed):
            if (both := of_action & of_segment).any():
                yield action, segment, both


def _estimate(executed: ExecutedPlan, values: np.ndarray, group: Group, estimator: str) -> TreatmentEffect:
    inside = group[2]
    treated = ~executed.held_out[inside]
    if estimator == PLAIN:
        return difference_in_means(values[inside], treated)
    return regression_adjusted_effect(values[inside], treated, executed.covariates[inside])


def _pooled(parts: list[TreatmentEffect]) -> TreatmentEffect:
    """The mean of the effects that are known, weighted by the customers treated."""
    known = [part for part in parts if not isnan(part.effect)]
    return pool_effects(known, [part.treated for part in known]) if known else parts[0]


def _row(
    executed: ExecutedPlan, values: np.ndarray, family: str, group: Group, effect: TreatmentEffect, known: int
) -> dict[str, Any]:
    action, segment, inside = group
    sides = (values[inside & ~executed.held_out], values[inside & executed.held_out])
    low, high = effect.anytime_interval(1 - (1 - LEVEL) / known)
    figures = {**asdict(effect), "anytime_low": low, "anytime_high": high}
    figures["held"] = figures.pop("held_out")
    figures |= {
        f"mean_{name}": float(side.mean()) if len(side) else None
        for name, side in zip(("treated", "held"), sides, strict=True)
    }
    written = {name: None if isinstance(v, float) and isnan(v) else v for name, v in figures.items()}
    return {"family": family, "action": action, "segment": segment, **written, "together": known}
