"""Money over time: what is left of [plan] total_budget, and the share of it that a plan gets.

The look-ahead is simple: every coming cutoff of the period is assumed to have the same curve of gain against budget as
this one. The curve is concave, so the total gain is highest if every plan gets the same share of what is left. What a
plan leaves unspent goes to the later ones. No split of the money gains more than the number of plans times the bound of
one share, because the bound (the value of a Lagrangian dual) is concave in the budget too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from features.campaigns.live_plans import superseded_by
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import RefusedError, UsageError
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST
from features.outputs.manifests import PlanManifest, read_required_manifest
from serving.optimizer.allocate import Allocation, budget_curve
from serving.optimizer.dual_prices import AllocationProblem


@dataclass(frozen=True)
class MoneyLeft:
    """What is left of the money of a period, before a plan.

    Attributes:
        total: The money of the whole period.
        spent: What the other plans of the period spend.
        until: The day on which it ends.
        plans: How many plans are still to come, with this one.
    """

    total: float
    spent: float
    until: date
    plans: int

    @property
    def left(self) -> float:
        """What is left; 0 if more was spent."""
        return max(self.total - self.spent, 0.0)

    @property
    def share(self) -> float:
        """The equal share of each plan to come."""
        return self.left / self.plans

    def rest_share(self, spent: float) -> float:
        """The equal share of each later plan if this one spends so much."""
        return max(self.left - spent, 0.0) / max(self.plans - 1, 1)


def look_ahead(left: MoneyLeft, problem: AllocationProblem, allocation: Allocation) -> dict[str, Any]:
    """What all plans to come are expected to gain together, and what no split of the money can exceed.

    Args:
        left: The money that is left before this plan.
        problem: The customers and limits of this plan, which stand for those of the later ones.
        allocation: What this plan does.

    Returns:
        total, spent, until, plans, left, share, gain and bound, ready for JSON; gain and bound are null if the share is
        too small for the minimums.
    """
    later = left.rest_share(allocation.spent)
    points = {point.budget: point for point in budget_curve(problem, [left.share, later])}
    share, rest = points.get(left.share), points.get(later)
    gain = None if rest is None else allocation.gain + (left.plans - 1) * rest.gain
    bound = None if share is None else left.plans * share.bound
    facts = {**asdict(left), "until": str(left.until), "left": left.left, "share": left.share}
    return {**facts, "gain": gain, "bound": bound}


def money_left(config: Config, rules: PlanConfig, cutoff: date) -> MoneyLeft | None:
    """Compute what is left of the money of the period; None if the config has no total_budget.

    Superseded plans do not count, unless they were measured. Neither do plans that the new one takes the place of.

    Args:
        config: The business, in whose output folder the other plans are.
        rules: The rules of the plan.
        cutoff: Its cutoff.

    Returns:
        The money.

    Raises:
        UsageError: The cutoff is not in the period.
        DataError: A plan of the period cannot be read.
    """
    if rules.total_budget is None or rules.budget_until is None:
        return None
    start = rules.budget_from
    if cutoff >= rules.budget_until or (start is not None and cutoff < start):
        period = f"from {start} until {rules.budget_until}" if start else f"until {rules.budget_until}"
        raise UsageError(
            f"[plan] total_budget is for cutoffs {period}, and the plan is of {cutoff}: set the money and the days of "
            "a period that has it, or remove total_budget"
        )
    every = (rules.budget_every or config.run.plan_every or config.task.horizon).days
    plans = 1 + ((rules.budget_until - cutoff).days - 1) // every
    spent = sum(manifest.spent for manifest in _other_plans(config, rules, cutoff))
    return MoneyLeft(rules.total_budget, spent, rules.budget_until, plans)


def share_of_budget(left: MoneyLeft, budget: float | None, asked: float | None) -> float:
    """The budget of a plan: what was asked for, or its share of the money that is left, at most the config's budget.

    Args:
        left: The money that is left.
        budget: The config's budget; None: no other limit than the share.
        asked: What was asked for (`--budget`); None: the share.

    Returns:
        The budget.

    Raises:
        RefusedError: More was asked for than is left.
    """
    if asked is not None and asked > left.left:
        raise RefusedError(
            f"a budget of {asked:,.10g} is more than the {left.left:,.10g} that is left of [plan] total_budget "
            f"({left.total:,.10g} until {left.until}, of which plans spend {left.spent:,.10g}); give less, or raise it"
        )
    return asked if asked is not None else min(left.share, budget if budget is not None else left.share)


def _other_plans(config: Config, rules: PlanConfig, cutoff: date) -> Iterator[PlanManifest]:
    """The plans of the period whose money counts."""
    for folder in config.outputs.plans():
        replaced = folder.parent == config.outputs.campaigns(cutoff) and (
            folder.name == rules.campaign or not rules.independent
        )
        if replaced or (superseded_by(folder) and not (folder / MEASUREMENT).is_file()):
            continue
        manifest = read_required_manifest(folder / PLAN_MANIFEST, PlanManifest)
        in_period = rules.budget_from is None or manifest.cutoff >= rules.budget_from
        if in_period and rules.budget_until is not None and manifest.cutoff < rules.budget_until:
            yield manifest
