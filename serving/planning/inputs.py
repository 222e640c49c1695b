"""What a plan is made from: scores, effects, who is eligible, who of them is held out, and what each action gains."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import DataError, UsageError
from serving.planning.action_effects import ActionEffects, load_action_effects
from serving.planning.eligibility import Eligibility, apply_eligibility_rules
from serving.planning.holdout import assign_holdout
from serving.scoring.score_tables import Scores, read_scores

MONEY, CUSTOMERS_KEPT = "margin", "customers kept"


@dataclass(frozen=True)
class PlanInputs:
    """What a plan is made from, in the order of the scored customers.

    Attributes:
        scores: Where the scores are, and `table` them, by customer_id.
        action_effects: Of the actions.
        eligibility: Who may be contacted with what.
        table: The scores.
        objective: 'margin' or 'customers kept'.
        gains: (n, a) of each action; -inf where it may not be done.
        costs: (a,) of the actions.
        holdout: (n,) the eligible who are held out.
        segments: Names of the segments, and `codes` (n,) whose segment each customer is in.
        minimums: (g,) least number with an action among the eligible who are not held out.
    """

    scores: Scores
    table: pa.Table
    action_effects: ActionEffects
    eligibility: Eligibility
    objective: str
    gains: np.ndarray
    costs: np.ndarray
    holdout: np.ndarray
    segments: tuple[str, ...]
    segment_index: np.ndarray
    minimums: np.ndarray


def collect_plan_inputs(config: Config, rules: PlanConfig, cutoff: date) -> PlanInputs:
    """Reads all of it.

    Raises:
        UsageError: The cutoff is not scored, or a rule names what is not there.
        DataError: Nobody is eligible, or a table cannot be read.
    """
    scores = read_scores(config, cutoff)
    table = scores.table().sort_by("customer_id")
    money = config.has_value and table["value_at_risk"].null_count < table.num_rows
    if money and rules.margin is None:
        raise UsageError("[plan] margin is missing: the share of value that is profit, such as margin = 0.3")
    known = load_action_effects(config, rules, cutoff, table)
    costs = np.array([action.cost for action in rules.actions.values()])
    gains = (rules.margin or 0.0) * known.on_value - costs if money else known.on_return.copy()
    who = apply_eligibility_rules(config, rules, cutoff, table, np.isfinite(gains))
    if not who.allowed.any():
        told = ", ".join(f"{reason}: {number:,}" for reason, number in who.left_out.items() if number)
        raise DataError(f"cutoff {cutoff}: none of {table.num_rows:,} scored customers may be contacted ({told})")
    gains[~who.allowed] = -np.inf
    ids = table["customer_id"].to_pylist()
    held = assign_holdout(ids, rules.campaign, rules.seed, rules.holdout) & (who.reason_index < 0)
    segments, codes, minimums = _minimums(table, rules, (who.reason_index < 0) & ~held)
    objective = MONEY if money else CUSTOMERS_KEPT
    return PlanInputs(scores, table, known, who, objective, gains, costs, held, segments, codes, minimums)


def _minimums(
    table: pa.Table, rules: PlanConfig, open_to: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names of the segments, the segment of each customer, and how many of each must have an action."""
    names = sorted(table["segment"].unique().to_pylist())
    codes = pc.index_in(table["segment"], value_set=pa.array(names, pa.string())).to_numpy()
    for name in rules.minimums:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"[plan.minimums]: nobody is in segment {name!r}; {hint}there are {', '.join(names)}")
    there = np.bincount(codes[open_to], minlength=len(names))
    asked = [np.ceil(rules.minimums.get(name, 0.0) * there[place] - 1e-9) for place, name in enumerate(names)]
    return tuple(names), codes, np.array(asked, dtype=int)
