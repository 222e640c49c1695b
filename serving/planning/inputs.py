"""Collects the inputs of a plan: scores, effects, eligibility, the holdout, and the gain of each action."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config.plan import PlanConfig
from features.errors import DataError, UsageError
from features.intake.log import Log
from serving.effects.action_effects import ActionEffects, load_action_effects
from serving.planning.cutoff_holdout import HELD_OUT_ELSEWHERE, CutoffHoldout, draw_cutoff_holdout
from serving.planning.eligibility import Eligibility, apply_eligibility_rules
from serving.planning.holdout import uniform_draws
from serving.planning.pilot import design_pilot, draw_pilot
from serving.scoring.score_tables import Scores, read_scores, refuse_other_zone

MONEY, CUSTOMERS_KEPT = "margin", "customers kept"


@dataclass(frozen=True)
class PlanInputs:
    """The inputs of a plan; rows are the scored customers, by customer_id.

    Attributes:
        scores: The scores on disk.
        table: The score table, n rows.
        action_effects: Effects of the actions.
        eligibility: Which customers may get which action.
        objective: 'margin' or 'customers kept'.
        gains: (n, a) gain of each action; -inf where it is not allowed.
        costs: (a,) cost of each action.
        holdout: (n,) which eligible customers are held out.
        share: The probability of being held out.
        draw_key: The key of the random draw.
        segments: Names of the segments.
        segment_index: (n,) index of each customer's segment.
        minimums: (g,) fewest customers of each segment with an action, among eligible customers not held out.
        order: (n,) the customers in the order that breaks ties: by id, in a pilot at random.
        pilot: For a pilot: its `action`, and how many customers are `needed`, `eligible` and `drawn`; None otherwise.
    """

    scores: Scores
    table: pa.Table
    action_effects: ActionEffects
    eligibility: Eligibility
    objective: str
    gains: np.ndarray
    costs: np.ndarray
    holdout: np.ndarray
    share: float
    draw_key: str
    segments: tuple[str, ...]
    segment_index: np.ndarray
    minimums: np.ndarray
    order: np.ndarray
    pilot: dict[str, Any] | None = None


def _refuse_nobody(eligibility: Eligibility, table: pa.Table, cutoff: date) -> None:
    """Raises DataError if no customer may be contacted."""
    if not eligibility.allowed.any():
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in eligibility.left_out.items() if number)
        raise DataError(
            f"cutoff {cutoff}: none of {table.num_rows:,} scored customers may be contacted ({reasons}); check the "
            "rules of [plan]"
        )


def collect_plan_inputs(log: Log, rules: PlanConfig, cutoff: date, experiment: bool = False) -> PlanInputs:
    """Reads and computes the inputs of a plan.

    Args:
        log: The log of the business.
        rules: Its [plan], with the options of the command.
        cutoff: A scored cutoff.
        experiment: Whether arms are assigned at random: then scores need no skill, effects need not be known, minimums
            do not apply, and everybody whom another plan of the cutoff holds out is left out.

    Returns:
        The inputs, by customer_id.

    Raises:
        UsageError: The cutoff is not scored, or a rule names something that does not exist.
        DataError: Nobody is eligible, or a table or another plan of the cutoff cannot be read.
    """
    config = log.config
    scores = read_scores(config, cutoff)
    refuse_other_zone(config, scores)
    table = scores.table().sort_by("customer_id")
    money = config.has_value and table["value_at_risk"].null_count < table.num_rows
    if money and rules.margin is None:
        raise UsageError("[plan] margin is missing: the share of value that is profit, such as margin = 0.3")
    if experiment:
        rules = rules.model_copy(update={"holdout": 0.0, "minimums": {}})
    action_effects = load_action_effects(config, rules, cutoff, table, money, experiment)
    costs = np.array([action.cost for action in rules.actions.values()])
    gains = (rules.margin or 0.0) * action_effects.on_value - costs if money else action_effects.on_return.copy()
    drawn = draw_cutoff_holdout(config, rules, cutoff, table["customer_id"])
    taken = ((HELD_OUT_ELSEWHERE, drawn.elsewhere, ()),) if drawn.elsewhere.any() else ()
    eligibility = apply_eligibility_rules(log, rules, cutoff, table, np.isfinite(gains), taken)
    _refuse_nobody(eligibility, table, cutoff)
    order, pilot = np.arange(len(table)), None
    if not scores.manifest.skill and not experiment:
        gains[~eligibility.allowed] = -np.inf
        eligibility, order, pilot = _drawn(table, eligibility, gains, action_effects.on_return, rules, drawn)
        rules = rules.model_copy(update={"minimums": {}})
    gains[~eligibility.allowed] = -np.inf
    holdout = drawn.held_out & (eligibility.reason_index < 0)
    segments, segment_index, minimums = _minimums(table, rules, (eligibility.reason_index < 0) & ~holdout)
    return PlanInputs(
        scores, table, action_effects, eligibility, MONEY if money else CUSTOMERS_KEPT, gains, costs, holdout,
        drawn.share, drawn.key, segments, segment_index, minimums, order, pilot,
    )  # fmt: skip


def _drawn(
    table: pa.Table, eligibility: Eligibility, gains: np.ndarray, on_return: np.ndarray, rules: PlanConfig,
    drawn: CutoffHoldout,
) -> tuple[Eligibility, np.ndarray, dict[str, Any]]:  # fmt: skip
    """A pilot's customers: who is in it, all in random order, and what the manifest says of it."""
    draws = uniform_draws(table["customer_id"].to_pylist(), f"{drawn.key}/pilot", rules.seed)
    eligible, churn = eligibility.reason_index < 0, table["churn_probability"].to_numpy()
    pilot = design_pilot(gains[eligible], on_return[eligible], churn[eligible], drawn.share, rules)
    inside = draw_pilot(eligibility, draws, pilot)
    facts = {
        "action": list(rules.actions)[pilot.action],
        "needed": pilot.needed,
        "eligible": int(eligible.sum()),
        "drawn": int((inside.reason_index < 0).sum()),
    }
    return inside, np.argsort(draws, kind="stable"), facts


def _minimums(
    table: pa.Table, rules: PlanConfig, counted: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names of the segments, the index of each customer's segment, and how many of each must get an action."""
    names = sorted(table["segment"].unique().to_pylist())
    segment_index = pc.index_in(table["segment"], value_set=pa.array(names, pa.string())).to_numpy()
    for name in rules.minimums:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"[plan.minimums]: nobody is in segment {name!r}; {hint}expected one of {', '.join(names)}"
            )
    available = np.bincount(segment_index[counted], minlength=len(names))
    minimums = [np.ceil(rules.minimums.get(name, 0.0) * available[place] - 1e-9) for place, name in enumerate(names)]
    return tuple(names), segment_index, np.array(minimums, dtype=int)
