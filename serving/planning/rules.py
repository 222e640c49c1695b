"""The rules and names of plans, known from the config, the options of a command, and the output folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from features.campaigns.live_plans import live_plan
from features.config.load import Config
from features.config.plan import PlanConfig
from features.errors import RefusedError, UsageError
from features.outputs.layout import MEASUREMENT, PLAN_MANIFEST
from serving.planning.money import money_left, share_of_budget


def plan_rules(
    config: Config,
    budget: float | None,
    campaign: str | None,
    only: Sequence[str] | None = None,
    cutoff: date | None = None,
    needs_budget: bool = True,
) -> PlanConfig:
    """The config's [plan] with the options of the command.

    Args:
        config: The business.
        budget: Upper limit of the total cost; None: the config's.
        campaign: Name of the campaign; None: the config's.
        only: The groups whose customers alone get actions; None: the config's.
        cutoff: The cutoff of the plan, if it shares the money of a period ([plan] total_budget).
        needs_budget: Whether the plan needs a budget; an experiment takes what its size costs.

    Returns:
        The rules; `budget` is set, unless the plan needs none.

    Raises:
        UsageError: There is no [plan], an option is not valid, or the budget is below the cheapest action.
        RefusedError: More money was asked for than is left.
    """
    if config.plan is None:
        raise UsageError(
            "the config has no [plan]; add one with a margin and at least one action with its cost, such as "
            "[plan.actions.mail] cost = 0.5"
        )
    given = {"budget": budget, "campaign": campaign, "only": only or None}
    values = config.plan.model_dump() | {name: value for name, value in given.items() if value is not None}
    try:
        rules = PlanConfig.model_validate(values)
    except ValueError:
        raise UsageError(
            f"--budget must be 0 or more (found {values['budget']}), and --campaign a name of letters, digits (of any "
            f"script), '.', '_' and '-' (found {values['campaign']!r})"
        ) from None
    if cutoff is not None and (left := money_left(config, rules, cutoff)):
        rules = rules.model_copy(update={"budget": share_of_budget(left, config.plan.budget, budget)})
    if rules.budget is None and not needs_budget:
        return rules
    if rules.budget is None:
        raise UsageError("no budget: give --budget, or set [plan] budget")
    name, cheapest = min(rules.actions.items(), key=lambda item: item[1].cost)
    if rules.budget < cheapest.cost:
        raise UsageError(
            f"a budget of {rules.budget:,.10g} is below the cheapest action ({name}, {cheapest.cost:,.10g} a "
            "customer), so nobody could be contacted; raise the budget"
        )
    return rules


def require_detectable(detect: float | None) -> None:
    """Refuses a difference that no experiment can detect.

    Raises:
        UsageError: It is given, and not a difference in the return rate.
    """
    if detect is not None and not 0 < detect < 1:
        raise UsageError(
            f"--detect {detect:g}: expected a difference in the return rate above 0 and below 1, such as 0.05 for 5 "
            "percentage points"
        )


def experiment_campaign(config: Config, campaign: str | None) -> str | None:
    """The name of a test: as asked for, or the config's campaign with '-test' behind it."""
    return campaign or (f"{config.plan.campaign}-test" if config.plan else None)


def refuse_measured(folder: Path) -> None:
    """Refuses to plan a measured campaign again: the record of the intended actions would be lost.

    Raises:
        RefusedError: The plan in the folder was measured.
    """
    if (folder / MEASUREMENT).exists():
        raise RefusedError(
            f"{folder}: was already measured, and a new plan would overwrite the record of who was meant to get what; "
            f"use another campaign name (--campaign), or remove {MEASUREMENT} there to plan again"
        )


def plan_reference(name: str) -> tuple[date, str | None]:
    """The cutoff and the campaign (None: that of the live plan) that a command names a plan by.

    Raises:
        UsageError: The name has no cutoff.

    >>> plan_reference("output/plans/cutoff=2024-06-01/spring"), plan_reference("2024-06-01")
    ((datetime.date(2024, 6, 1), 'spring'), (datetime.date(2024, 6, 1), None))
    """
    parts = Path(name).parts
    day, campaign = (parts[-2], parts[-1]) if len(parts) > 1 else ("".join(parts), None)
    try:
        return date.fromisoformat(day.removeprefix("cutoff=")), campaign
    except ValueError:
        raise UsageError(
            f"{name!r} names no plan: expected its folder (OUTPUT/plans/cutoff=D/CAMPAIGN), or D/CAMPAIGN such as "
            "2024-06-01/retention, or D, where D is the cutoff"
        ) from None


def find_plan_manifest(config: Config, cutoff: date, campaign: str | None = None) -> Path:
    """The manifest of an existing plan.

    Args:
        config: The business.
        cutoff: The cutoff of the plan.
        campaign: Name of the campaign; by default that of the cutoff's live plan.

    Returns:
        Its path.

    Raises:
        UsageError: There is no such plan.
    """
    live = live_plan(config, cutoff)
    name = campaign or (live.campaign if live else config.plan.campaign if config.plan else "")
    cutoff_folder = config.outputs.campaigns(cutoff)
    path = cutoff_folder / name / PLAN_MANIFEST
    if not name or not path.is_file():
        campaigns = ", ".join(sorted(p.parent.name for p in cutoff_folder.glob(f"*/{PLAN_MANIFEST}"))) or "none"
        raise UsageError(
            f"there is no plan {name!r} at cutoff {cutoff} under {config.output} (plans there: {campaigns}); "
            f"run `regulars plan --cutoff {cutoff} --budget B`"
        )
    return path
