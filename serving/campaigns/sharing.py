"""Moves money between the live campaigns of a cutoff, so that its next unit brings the same in each of them.

Each campaign keeps its rules and its holdout, and is planned again with its part of the money. The parts come from the
curves of gain against budget by one price of money (`serving.optimizer.shared_budget`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from features.campaigns.live_plans import plans_of_cutoff
from features.config.load import Config
from features.errors import RefusedError, UsageError
from features.intake.log import Business, as_date, opened
from features.outputs.layout import MEASUREMENT
from serving.language.formats import NumberFormat
from serving.language.messages import get_language
from serving.optimizer.shared_budget import share_budget
from serving.planning.plan import Plan, make_plan, read_plan


@dataclass(frozen=True)
class SharedPlans:
    """The campaigns of a cutoff that share money.

    Attributes:
        before, after: The plans, before and after money was moved, in the same order.
        money: What they share.
        price: What the next unit of money brings in each, by their curves.
    """

    before: tuple[Plan, ...]
    after: tuple[Plan, ...]
    money: float
    price: float


def share_money(business: Business, cutoff: date | str, budget: float | None = None) -> SharedPlans:
    """Plan the live campaigns of a cutoff again, with the budgets that gain most together.

    Args:
        business: An opened log, a config, or the path of a config.
        cutoff: The cutoff.
        budget: The money that they share; by default what they spend now.

    Returns:
        The plans before and after.

    Raises:
        UsageError: There are fewer than two live plans that can be made again.
        RefusedError: A campaign would get less than its cheapest action costs.
    """
    with opened(business) as log:
        day = as_date(cutoff)
        plans = _live_plans(log.config, day)
        money = sum(plan.spent for plan in plans) if budget is None else budget
        curves = {plan.campaign: [(row["budget"], row["gain"]) for row in plan.curve().to_pylist()] for plan in plans}
        shared = share_budget(curves, money)
        _refuse_too_little(plans, shared.budgets, money)
        after = tuple(
            make_plan(log, day, shared.budgets[plan.campaign], plan.campaign, plan.manifest.rules.get("only") or None)
            for plan in plans
        )
        return SharedPlans(plans, after, money, shared.price)


def _live_plans(config: Config, cutoff: date) -> tuple[Plan, ...]:
    """The live plans of a cutoff that are neither measured nor experiments."""
    live = [plan for plan in plans_of_cutoff(config, cutoff) if plan.live]
    plans = [read_plan(config, cutoff, plan.campaign) for plan in live if not (plan.folder / MEASUREMENT).exists()]
    plans = [plan for plan in plans if plan.manifest.experiment is None]
    independent = config.plan is not None and config.plan.independent
    if len(plans) < 2 or not independent:
        names = ", ".join(plan.campaign for plan in plans) or "none"
        raise UsageError(
            f"--share: money is shared by two or more live campaigns of a cutoff that are not measured (at {cutoff}: "
            f"{names}); set [plan] independent = true, and make a plan for each with --campaign"
        )
    return tuple(plans)


def _refuse_too_little(plans: Sequence[Plan], shares: Mapping[str, float], money: float) -> None:
    """Refuse to take all money from a campaign: that is the user's decision."""
    for plan in plans:
        cheapest = min(action["cost"] for action in plan.manifest.rules["actions"].values())
        if shares[plan.campaign] < cheapest:
            raise RefusedError(
                f"of {money:,.10g}, the campaign {plan.campaign!r} would get {shares[plan.campaign]:,.10g}, which is "
                f"less than its cheapest action costs ({cheapest:,.10g}): remove {plan.folder} to do without it, or "
                "raise --budget"
            )


def shared_plans_text(shared: SharedPlans, currency: str = "") -> str:
    """Return the budgets and gains before and after as text for a terminal."""
    tr = get_language("en", currency)
    form = NumberFormat(max(abs(plan.gain) for plan in (*shared.before, *shared.after)) / 100, tr)
    head = ("campaign", "spent", "expected gain", "next unit adds")
    rows: list[tuple[str, ...]] = [head]
    for before, after in zip(shared.before, shared.after, strict=True):
        price = after.manifest.prices["budget"]
        changes = (before.spent, after.spent), (before.gain, after.gain)
        moves = [f"{form.money(earlier)} -> {form.money(now)}" for earlier, now in changes]
        rows.append((after.campaign, *moves, "–" if price is None else f"{price:,.3g}"))
    wide = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    more = sum(plan.gain for plan in shared.after) - sum(plan.gain for plan in shared.before)
    return "\n".join(
        [
            f"{form.money(shared.money)} is shared by one price of money: the next unit brings about "
            f"{shared.price:,.3g} in each campaign",
            *lines,
            f"together they are expected to gain {form.money(more, '+')} compared with before",
        ]
    )
