"""Effects of a plan on return and value, by action and segment, and the money that it brought.

Every figure compares customers assigned to an action with those held out from it, by re-drawing the holdout
(`serving.statistics.randomisation`). Three rules are fixed before it is known who was held out. Value counts up to a
cap: the 95% quantile of the customers who brought something. Covariates are those of the plan, with one slope for all.
And a group gets no row if it would probably miss even the largest effect that is plausible: one of the size of its mean
outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np

from serving.measurement.arm_contrasts import contrast_rows
from serving.measurement.compared_outcomes import ComparedOutcomes, compare_outcomes
from serving.measurement.executed_plan import RETURN, VALUE, ExecutedPlan
from serving.measurement.exposure import action_cost
from serving.statistics.partial_pooling import pool_partially
from serving.statistics.randomisation import DRAWS
from serving.statistics.treatment_effect import LEVEL, TreatmentEffect, simultaneous_effects, smallest_detectable

ALL = "all"
ADJUSTED, PLAIN = "adjusted", "plain"
EACH_ACTION, EACH_SEGMENT, EACH_PAIR = "action", "segment", "action and segment"
POWER = 0.8  # with which a group must be able to detect the largest plausible effect
FEWEST = 2  # customers on each side of a group
Group = tuple[str, str, np.ndarray]  # action, segment, and which customers (n,)


@dataclass(frozen=True)
class MeasuredEffects:
    """The effects of a plan.

    Attributes:
        rows: One for each effect, with the columns of `EFFECT_SCHEMA`.
        withheld: Groups that are too small: family, outcome, action, segment, treated, held, and needed (how many held
            out would do; None if unknown).
        caps: By outcome, up to how much one customer counts in adjusted effects.
        compared: Names of the actions with customers on both sides.
    """

    rows: list[dict[str, Any]]
    withheld: list[dict[str, Any]]
    caps: dict[str, float]
    compared: tuple[str, ...]


def measured_effects(executed: ExecutedPlan, draws: int = DRAWS) -> MeasuredEffects:
    """Estimate effects by outcome and estimator: on all customers, each action, each segment, each pair.

    The effect on all customers holds by itself and is always given. Those of a family (actions, segments, pairs) hold
    together; `together` is the number of effects in it that are given. `pooled` is a group's effect, drawn towards
    those of the other groups of its family.
    """
    outcomes = compare_outcomes(executed, draws)
    if executed.experiment and not executed.control.any():  # nobody got nothing, so there are differences only
        contrasts = list(contrast_rows(executed, outcomes))
        return MeasuredEffects(contrasts, [], outcomes.caps, executed.actions)
    actions = list(_actions(executed, outcomes.inside))
    segments = list(_segments(executed, outcomes.inside))
    families = {EACH_ACTION: actions, EACH_SEGMENT: segments, EACH_PAIR: list(_pairs(actions, segments))}
    everybody, overall = (ALL, ALL, outcomes.inside), outcomes.overall()
    effects = {
        family: [overall] if len(groups) == 1 else [outcomes.of_group(inside) for _, _, inside in groups]
        for family, groups in families.items()
    }
    rows, withheld = list[dict[str, Any]](), list[dict[str, Any]]()
    for place, outcome in enumerate(executed.outcomes):
        needed = {family: [_needed(outcomes, place, outcome, g, len(groups)) for g in groups]
                  for family, groups in families.items()}  # fmt: skip
        for column, estimator in ((place, ADJUSTED), (place + len(executed.outcomes), PLAIN)):
            key = {"outcome": outcome, "estimator": estimator}
            rows.append({**key, **_row(executed, outcome, ALL, everybody, overall[column])})
            for family, groups in families.items():
                shown = [j for j, few in enumerate(needed[family]) if few is None]
                parts = [effects[family][j][column] for j in shown]
                rows += [
                    {**key, **row} for row in _family_rows(executed, outcome, family, [groups[j] for j in shown], parts)
                ]
        withheld += [
            few | {"family": family, "outcome": outcome}
            for family in families for few in needed[family] if few is not None
        ]  # fmt: skip
    rows += contrast_rows(executed, outcomes) if executed.experiment else ()
    return MeasuredEffects(rows, withheld, outcomes.caps, tuple(name for name, _, _ in actions))


def plan_returns(executed: ExecutedPlan, effects: MeasuredEffects) -> dict[str, Any]:
    """Return what the plan and each action brought in total: customers, money, and money for each unit spent.

    Figures come from the adjusted effects, each as [estimate, low, high]. The ends are those of the effect, or of its
    sequential confidence interval while outcomes are immature; costs count as known exactly.
    """
    margin = executed.plan.manifest.margin
    low, high = interval_columns(executed.mature)
    adjusted = [row for row in effects.rows if row["estimator"] == ADJUSTED and row["family"] in (ALL, EACH_ACTION)]
    by_action = {name: action_cost(executed, place) for place, name in enumerate(executed.actions)}
    spent = {**by_action, ALL: sum(cost for name, cost in by_action.items() if name in effects.compared)}
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


def _actions(executed: ExecutedPlan, compared: np.ndarray) -> Iterator[Group]:
    for place, name in enumerate(executed.actions):
        inside = compared & (executed.assigned == place)
        if inside.any():
            yield name, ALL, inside | (executed.control & executed.experiment)


def _segments(executed: ExecutedPlan, compared: np.ndarray) -> Iterator[Group]:
    for name in sorted(set(executed.segment[compared])):
        yield ALL, name, compared & (executed.segment == name)


def _pairs(actions: Sequence[Group], segments: Sequence[Group]) -> Iterator[Group]:
    for action, _, of_action in actions:
        for _, segment, of_segment in segments:
            if (both := of_action & of_segment).any():
                yield action, segment, both


def _needed(outcomes: ComparedOutcomes, place: int, outcome: str, group: Group, groups: int) -> dict[str, Any] | None:
    """Why a group gets no row: its customers, and how many held out would do; None if it is large enough.

    Args:
        outcomes: What is compared.
        place: The column of the outcome.
        outcome: Its name.
        group: The group.
        groups: Number of groups in its family; the only one is never too small.

    Returns:
        action, segment, treated, held and needed; None for a group with a row.
    """
    action, segment, inside = group
    treated, held = outcomes.group_sizes(inside)
    mean, deviation = float(outcomes.counted[inside, place].mean()), float(outcomes.adjusted[inside, place].std())
    largest = min(mean, 1 - mean) if outcome == RETURN else abs(mean)
    level = 1 - (1 - LEVEL) / groups
    few = min(treated, held) < FEWEST
    if groups == 1 or (not few and 0 < smallest_detectable(deviation, treated, held, POWER, level) <= largest):
        return None
    share = float((~outcomes.treated[outcomes.inside]).mean())
    one = smallest_detectable(deviation, (1 - share) / share, 1, POWER, level)
    needed = max(ceil((one / largest) ** 2), FEWEST) if largest > 0 and deviation > 0 else None
    return {"action": action, "segment": segment, "treated": treated, "held": held, "needed": needed}


def _family_rows(
    executed: ExecutedPlan, outcome: str, family: str, groups: Sequence[Group], effects: Sequence[TreatmentEffect]
) -> Iterator[dict[str, Any]]:
    """The rows of one family, which hold together."""
    known = max(len(effects), 1)
    errors = np.array([effect.error for effect in effects])
    pool = len(effects) > 1 and bool((errors > 0).all())
    pooled = (
        zip(*pool_partially(np.array([effect.effect for effect in effects]), errors), strict=True) if pool else None
    )
    for group, effect in zip(groups, simultaneous_effects(effects), strict=True):
        row = _row(executed, outcome, family, group, effect, known)
        if pooled is not None:
            row["pooled"], row["pooled_error"] = map(float, next(pooled))
        yield row


def _row(
    executed: ExecutedPlan, outcome: str, family: str, group: Group, effect: TreatmentEffect, known: int = 1
) -> dict[str, Any]:
    """One row of the table.

    Args:
        executed: The plan.
        outcome: Name of the outcome.
        family: What the row is about.
        group: The customers.
        effect: The effect on them.
        known: Number of effects that hold together.

    Returns:
        The row, without outcome and estimator.
    """
    action, segment, inside = group
    values = executed.outcomes[outcome]
    sides = {"treated": inside & ~executed.held_out, "held": inside & executed.held_out}
    anytime = effect.anytime_interval(1 - (1 - LEVEL) / known, looks=executed.horizon.days)
    figures = {
        "effect": effect.effect, "error": effect.error, "low": effect.low, "high": effect.high, "p": effect.p,
        "anytime_low": anytime[0], "anytime_high": anytime[1],
        **{f"mean_{name}": float(values[who].mean()) if who.any() else None for name, who in sides.items()},
    }  # fmt: skip
    return {
        "family": family, "action": action, "segment": segment,
        **{name: value if value is not None and isfinite(value) else None for name, value in figures.items()},
        **{name: int(who.sum()) for name, who in sides.items()},
        "together": known, "pooled": None, "pooled_error": None, "against": None,
    }  # fmt: skip
