"""The arms of an experiment compared with each other: pairs, main effects and interactions.

Arms were assigned at random within segments, so each comparison re-draws its two sides within segments
(`serving.statistics.randomisation`), a main effect also within each combination of the other attributes. For an
interaction the main effects are taken out first. P-values are Holm's and intervals Bonferroni's, within each family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from serving.experiments.arms import NOTHING, ExperimentArms
from serving.experiments.contrasts import FAMILIES, INTERACTION, Contrast, list_contrasts
from serving.measurement.compared_outcomes import ComparedOutcomes
from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.measurement.exposure import action_cost
from serving.statistics.treatment_effect import LEVEL, TreatmentEffect, simultaneous_effects, treatment_effects

ADJUSTED, PLAIN, ALL = "adjusted", "plain", "all"


def contrast_rows(executed: ExecutedPlan, outcomes: ComparedOutcomes) -> Iterator[dict[str, Any]]:
    """Yield a row for each comparison, outcome and estimator, with the columns of `EFFECT_SCHEMA`.

    Args:
        executed: An experiment.
        outcomes: Its outcomes, as they are compared.

    Yields:
        The rows; `action` is one side and `against` the other.
    """
    contrasts = list_contrasts(_arms(executed))
    effects = [_effects(executed, outcomes, each) for each in contrasts]
    for family in FAMILIES:
        places = [place for place, each in enumerate(contrasts) if each.family == family]
        for column, (estimator, outcome) in enumerate((e, o) for e in (ADJUSTED, PLAIN) for o in executed.outcomes):
            parts = simultaneous_effects([effects[place][column] for place in places])
            for place, part in zip(places, parts, strict=True):
                yield _row(executed, contrasts[place], outcome, estimator, part, len(places))


def experiment_facts(executed: ExecutedPlan, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What measured.json says of an experiment beside its effects.

    Args:
        executed: The experiment.
        rows: Its effects.

    Returns:
        test, pilot, order (of the arms), arms (customers, cost of one customer, mean return and value) and gains: by
        'one vs other', the difference of the gains after costs of a customer, as [estimate, low, high].
    """
    experiment = executed.plan.manifest.experiment or {}
    arms = {name: _arm_facts(executed, name) for name in experiment["arms"]}
    margin, ends = (
        executed.plan.manifest.margin,
        ("low", "high") if executed.mature else ("anytime_low", "anytime_high"),
    )
    gains: dict[str, Any] = {}
    costs = {f"{c.one} vs {c.other}": _cost_difference(c, arms) for c in list_contrasts(_arms(executed))}
    for row in rows if margin is not None else ():
        key = f"{row['action']} vs {row.get('against')}"
        if row.get("against") and row["outcome"] == VALUE and row["estimator"] == ADJUSTED:
            known = [row[name] for name in ("effect", *ends)]
            gains[key] = [None if v is None else (margin or 0.0) * v - costs[key] for v in known]
    kept = {key: experiment[key] for key in ("test", "pilot", "order")}
    return {**kept, "arms": arms, "gains": gains}


def _arms(executed: ExecutedPlan) -> ExperimentArms:
    facts = executed.plan.manifest.experiment or {}
    actions = tuple(name for name in facts["order"] if name != NOTHING)
    levels = {name: tuple(facts["levels"][name]) for name in actions if facts["factors"]}
    return ExperimentArms(actions, NOTHING in facts["order"], tuple(facts["factors"]), levels)


def _effects(executed: ExecutedPlan, outcomes: ComparedOutcomes, contrast: Contrast) -> list[TreatmentEffect]:
    """The effects of one comparison: each outcome adjusted, then each outcome plain."""
    n = len(executed.assigned)
    inside, first, place = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, int)
    names = (*contrast.arms, *contrast.against)
    for number, name in enumerate(names):
        members = executed.arm(name)
        inside |= members
        first |= members & (name in contrast.arms)
        place[members] = number
    _, blocks = np.unique([str(contrast.block.get(name)) for name in names], return_inverse=True)
    strata = outcomes.stratum * (int(blocks.max()) + 1) + blocks[place]
    taken_out = _main_effects(contrast, names)[place]
    columns = np.column_stack([outcomes.adjusted, outcomes.plain])
    return treatment_effects(
        columns[inside], first[inside], taken_out[inside], strata[inside], outcomes.seed, outcomes.draws
    )


def _main_effects(contrast: Contrast, names: Sequence[str]) -> np.ndarray:
    """For each arm the indicators (k, 2) of the later level of both attributes of an interaction; none otherwise."""
    if contrast.family != INTERACTION:
        return np.empty((len(names), 0))
    levels = [contrast.factors[name] for name in names]
    return np.array([[float(pair[side] == levels[0][side]) for side in (0, 1)] for pair in levels])


def _row(
    executed: ExecutedPlan, contrast: Contrast, outcome: str, estimator: str, effect: TreatmentEffect, known: int
) -> dict[str, Any]:
    """One row of the table; `known` effects hold together."""
    values, scale = executed.outcomes[outcome], contrast.scale
    sides = [np.any([executed.arm(n) for n in names], axis=0) for names in (contrast.arms, contrast.against)]
    anytime = effect.anytime_interval(1 - (1 - LEVEL) / known, looks=executed.horizon.days)
    figures = {
        "effect": effect.effect, "error": effect.error, "low": effect.low, "high": effect.high,
        "anytime_low": anytime[0], "anytime_high": anytime[1],
    }  # fmt: skip
    means = [float(values[who].mean()) if who.any() else None for who in sides]
    is_interaction = contrast.family == INTERACTION
    return {
        "family": contrast.family, "outcome": outcome, "action": contrast.one, "against": contrast.other,
        "segment": ALL, "estimator": estimator,
        **{name: scale * value if np.isfinite(value) else None for name, value in figures.items()},
        "p": effect.p if np.isfinite(effect.p) else None,
        "treated": int(sides[0].sum()), "held": int(sides[1].sum()),
        "mean_treated": None if is_interaction else means[0], "mean_held": None if is_interaction else means[1],
        "together": known, "pooled": None, "pooled_error": None,
    }  # fmt: skip


def _arm_facts(executed: ExecutedPlan, name: str) -> dict[str, Any]:
    inside = executed.arm(name)
    count = int(inside.sum())
    cost = (
        float(executed.cost[inside].sum()) if name == NOTHING else action_cost(executed, executed.actions.index(name))
    )
    means = {f"mean_{o}": float(v[inside].mean()) if count else None for o, v in executed.outcomes.items()}
    return {"customers": count, "cost": cost / count if count else 0.0, **means}


def _cost_difference(contrast: Contrast, arms: Mapping[str, Mapping[str, Any]]) -> float:
    """By how much the cost of a customer differs between the sides."""
    sides = [[arms[name] for name in names] for names in (contrast.arms, contrast.against)]
    means = [
        sum(a["cost"] * a["customers"] for a in side) / max(sum(a["customers"] for a in side), 1) for side in sides
    ]
    return contrast.scale * (means[0] - means[1])
