"""A plan that is an experiment: arms assigned at random among the customers who may get every one of them.

An experiment is asked for (`regulars plan --test`), or it is the pilot of a business that has no evidence at all of
what any action changes. It keeps to all rules of a plan: eligibility, consent, capacities, budget and quiet times.
Customers whom another plan of the cutoff holds out are left out. The customers of the arm without an action are its
holdout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.campaigns.contact_history import count_contacts_by_evidence
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, UsageError
from features.intake.log import Log
from features.outputs.layout import MEASUREMENT
from features.outputs.manifests import Measurement, read_required_manifest
from serving.effects.action_effects import UNKNOWN
from serving.effects.effect_table import RETURN, VALUE, as_floats
from serving.effects.past_effects import effect_rows
from serving.experiments.arms import NOTHING, ExperimentArms, parse_arms
from serving.experiments.design import (
    ArmLimits,
    ExperimentDesign,
    ScoredCustomers,
    assign_arms,
    design_experiment,
    refuse_small_arms,
)
from serving.optimizer.allocate import Allocation
from serving.planning.eligibility import Eligibility
from serving.planning.holdout import uniform_draws
from serving.planning.inputs import PlanInputs, collect_plan_inputs
from serving.planning.rules import require_detectable

NOT_EVERY_ARM, NOT_DRAWN = "may not get every arm of the experiment", "not drawn for the experiment"
STRATA = "segment"
EFFECTS = "effects.parquet"
ARM_DRAW = "within segments, by blake2b of the id, keyed by key and seed"


@dataclass(frozen=True)
class ExperimentKind:
    """Which experiment a plan is.

    Attributes:
        arms: Its arms.
        detect: The difference in the return rate that it should detect; None: as expected.
        pilot: Whether nobody asked for it: it is the pilot of a business without evidence.
    """

    arms: ExperimentArms
    detect: float | None
    pilot: bool


@dataclass(frozen=True)
class DrawnExperiment:
    """An experiment with the arm of each customer (n).

    Attributes:
        rules: The rules of the plan, with the actions of the arms only.
        inputs: Its inputs, with the actions of the arms only; its customers are the eligible ones.
        allocation: Who gets which action.
        chances: (n, a + 1) the probability of each action, and of none.
        facts: What the manifest says of it, in addition.
    """

    rules: PlanConfig
    inputs: PlanInputs
    allocation: Allocation
    chances: np.ndarray
    facts: dict[str, Any]


def experiment_kind(log: Log, cutoff: date, test: str | None, detect: float | None) -> ExperimentKind | None:
    """Decide whether a plan is an experiment: if it is asked for, or if there is no evidence of any effect.

    Args:
        log: The log of the business.
        cutoff: The cutoff of the plan.
        test: The arms, if asked for.
        detect: The difference in the return rate to detect, if asked for.

    Returns:
        The experiment; None for an ordinary plan.

    Raises:
        UsageError: The test, or the difference to detect, is not possible.
    """
    actions = log.config.plan.actions if log.config.plan else {}
    require_detectable(detect)
    if test is not None and actions:
        return ExperimentKind(parse_arms(test, actions), detect, pilot=False)
    if actions and not _has_evidence(log, cutoff):
        return ExperimentKind(ExperimentArms(tuple(actions), nothing=True), detect, pilot=True)
    if detect is not None and test is None:
        raise UsageError("--detect goes with --test: it is the difference that an experiment should detect")
    return None


def draw_experiment(
    log: Log, cutoff: date, rules: PlanConfig, kind: ExperimentKind, spread: float | None
) -> DrawnExperiment:
    """Choose the sizes of the arms, and assign customers to them at random.

    Args:
        log: The log of the business.
        cutoff: A scored cutoff.
        rules: Its [plan], with the options of the command.
        kind: The experiment.
        spread: Relative variance of buyers' spend; None if unknown.

    Returns:
        The experiment.

    Raises:
        RefusedError: An arm would have too few customers.
        DataError: Nobody may get every arm.
    """
    whole = collect_plan_inputs(log, rules, cutoff, experiment=True)
    for arms in _candidates(kind, rules):
        inputs = _of_arms(whole, rules, arms)
        able = inputs.eligibility.reason_index < 0
        if not able.any():
            continue
        limits = ArmLimits(inputs.costs, _capacities(rules, arms), np.inf if rules.budget is None else rules.budget)
        design = design_experiment(arms, _scored(inputs, able, spread), limits, kind.detect, rules.seed)
        if not kind.pilot or not {"budget", "customers"} & {*design.limits}:
            break
    if not able.any():
        raise DataError(
            f"cutoff {cutoff}: no customer may get every arm of the test {kind.arms.text!r} (by the rules of [plan], "
            "consent and other plans of the cutoff); test fewer arms"
        )
    refuse_small_arms(design, arms, inputs.costs)
    rules = rules.model_copy(update={"actions": {name: rules.actions[name] for name in arms.actions}})
    rules = rules.model_copy(update={"holdout": _share_of_nothing(design), "minimums": {}})
    facts = _facts(log, cutoff, kind, arms, design, int(able.sum()))
    return _assigned(inputs, rules, arms, design, able, f"{cutoff}/{rules.campaign}/arms", facts)


def _has_evidence(log: Log, cutoff: date) -> bool:
    """Whether anything is known or stated of what any action changes."""
    config = log.config
    if config.plan is None or config.uplift.observational or (config.outputs.uplift(cutoff) / EFFECTS).exists():
        return True
    stated = any(action.save_rate is not None for action in config.plan.actions.values())
    return stated or _was_measured(config) or count_contacts_by_evidence(log, cutoff, list(config.plan.actions))[0] > 0


def _was_measured(config: Config) -> bool:
    """Whether a campaign with complete outcomes, and groups as randomised, measured an action of the config."""
    for folder in config.outputs.plans(file=MEASUREMENT):
        measured = read_required_manifest(folder / MEASUREMENT, Measurement)
        if measured.mature and not measured.refused_because:
            rows = [row for outcome in (RETURN, VALUE) for row in effect_rows(measured, outcome)]
            if config.plan and any(row["action"] in config.plan.actions for row in rows):
                return True
    return False


def _candidates(kind: ExperimentKind, rules: PlanConfig) -> Iterator[ExperimentArms]:
    """The arms; for a pilot also fewer of them, without the dearest actions, if customers or budget are too few."""
    arms = kind.arms
    yield arms
    while kind.pilot and len(arms.actions) > 1:
        dearest = max(arms.actions, key=lambda name: rules.actions[name].cost)
        arms = replace(arms, actions=tuple(name for name in arms.actions if name != dearest))
        yield arms


def _of_arms(inputs: PlanInputs, rules: PlanConfig, arms: ExperimentArms) -> PlanInputs:
    """The inputs with the actions of the arms only; customers who may not get all of these are left out."""
    names = list(rules.actions)
    places = [names.index(name) for name in arms.actions]
    eligibility = inputs.eligibility
    every = eligibility.allowed[:, places].all(axis=1)
    reason_index = eligibility.reason_index.copy()
    reason_index[(reason_index < 0) & ~every] = len(eligibility.reasons)
    return replace(
        inputs,
        action_effects=inputs.action_effects.of(places),
        gains=inputs.gains[:, places],
        costs=inputs.costs[places],
        eligibility=replace(
            eligibility, allowed=eligibility.allowed[:, places], reasons=(*eligibility.reasons, NOT_EVERY_ARM),
            reason_index=reason_index, blocked={name: eligibility.blocked[name] for name in arms.actions},
        ),
    )  # fmt: skip


def _capacities(rules: PlanConfig, arms: ExperimentArms) -> np.ndarray:
    known = (rules.actions[name].capacity for name in arms.actions)
    return np.array([np.inf if capacity is None else capacity for capacity in known], float)


def _scored(inputs: PlanInputs, able: np.ndarray, spread: float | None) -> ScoredCustomers:
    churn, value, at_risk = (
        as_floats(inputs.table[name])[able] for name in ("churn_probability", "value", "value_at_risk")
    )
    known = np.array([source != UNKNOWN for source in inputs.action_effects.sources])
    return ScoredCustomers(
        churn, value, at_risk, np.where(known, inputs.action_effects.on_return[able], np.nan), spread
    )


def _share_of_nothing(design: ExperimentDesign) -> float:
    return design.sizes.get(NOTHING, 0) / sum(design.sizes.values())


def _facts(
    log: Log, cutoff: date, kind: ExperimentKind, arms: ExperimentArms, design: ExperimentDesign, eligible: int
) -> dict[str, Any]:
    """What the manifest says of the experiment."""
    plan = log.config.plan
    costs = {name: plan.actions[name].cost for name in arms.actions} if plan else {}
    experiment = {
        "test": arms.text,
        "pilot": kind.pilot,
        "order": list(arms.names),
        "factors": list(arms.factors),
        "levels": {name: list(levels) for name, levels in arms.levels.items()},
        "arms": {name: {"customers": n, "cost": costs.get(name, 0.0)} for name, n in design.sizes.items()},
        "strata": STRATA,
        "eligible": eligible,
        "target": design.source,
        "needed": design.needed,
        "money": design.money,
        "limits": list(design.limits),
        "comparisons": design.comparisons,
        "not_tried": [name for name in kind.arms.actions if name not in arms.actions],
        "observational": count_contacts_by_evidence(log, cutoff, arms.actions)[1] if kind.pilot else 0,
    }
    return {
        "experiment": experiment, "exploring": None, "money": None, "design": {}, "unmeasurable": {},
        "prices": {"budget": None, "capacity": {}, "minimum": {}}, "binding": [],
    }  # fmt: skip


def _assigned(
    inputs: PlanInputs, rules: PlanConfig, arms: ExperimentArms, design: ExperimentDesign, able: np.ndarray, key: str,
    facts: dict[str, Any],
) -> DrawnExperiment:  # fmt: skip
    """The experiment with the arm of each customer; `key` names the draw."""
    a = len(arms.actions)
    draws = uniform_draws(inputs.table["customer_id"].filter(pa.array(able)).to_pylist(), key, rules.seed)
    rotation = float(uniform_draws(["rotation"], f"{key}/rotation", rules.seed)[0])
    strata = inputs.table[STRATA].to_numpy()[able].astype(str)
    arm = np.full(len(able), -1)
    arm[able] = assign_arms(strata, draws, list(design.sizes.values()), rotation)
    treated = (arm >= 0) & (arm < a)
    shares = np.array([*(design.sizes[name] for name in arms.actions), design.sizes.get(NOTHING, 0)], float)
    chances = np.tile(shares / shares.sum(), (len(arm), 1))
    choice = np.where(treated, arm, a)
    gain = float(inputs.gains[np.flatnonzero(treated), choice[treated]].sum())
    spent = float(inputs.costs[choice[treated]].sum())
    used = np.concatenate([[spent], np.bincount(choice[treated], minlength=a), np.zeros(len(inputs.segments))])
    allocation = Allocation(choice, gain, spent, gain, np.zeros(len(used)), used)
    budget = spent if rules.budget is None else rules.budget
    share = float(chances[0, a])
    facts = facts | {
        "budget": budget, "holdout": {"share": share, "seed": rules.seed, "key": key, "draw": ARM_DRAW},
    }  # fmt: skip
    inputs = replace(
        inputs, eligibility=_drawn_only(inputs.eligibility, arm), holdout=arm == a, share=0.0, draw_key=key
    )
    return DrawnExperiment(rules.model_copy(update={"budget": budget}), inputs, allocation, chances, facts)


def _drawn_only(eligibility: Eligibility, arm: np.ndarray) -> Eligibility:
    """Leaves only the customers of the arms."""
    reason_index, allowed = eligibility.reason_index.copy(), eligibility.allowed.copy()
    reason_index[(reason_index < 0) & (arm < 0)] = len(eligibility.reasons)
    allowed[arm < 0] = False
    return replace(eligibility, allowed=allowed, reasons=(*eligibility.reasons, NOT_DRAWN), reason_index=reason_index)
