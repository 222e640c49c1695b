"""The section [plan]: the actions, their costs, who is excluded, and the constraints of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import Field, model_validator

from features.config.names import Name
from features.config.quiet_times import check_quiet_times
from features.config.sections import Duration, Section

ATTRIBUTES = ("channel", "depth", "day_part", "message")


class PlanAction(Section):
    """[plan.actions.NAME]: an action that a customer may get, such as an e-mail or a voucher.

    Actions that share everything but their depth are doses of one thing: what is known of each helps to estimate the
    others.
    """

    cost: float = Field(ge=0, allow_inf_nan=False, description="cost of the action for one customer")
    capacity: int | None = Field(None, ge=0, description="maximum number of customers who can get it; empty: no limit")
    save_rate: float | None = Field(
        None, ge=0, le=1, description="assumed share of churners whom the action keeps, used if no effect was measured"
    )
    unproven: bool = Field(
        False, description="whether customers get the action even if its measured effect may well be nothing"
    )
    channel: str = Field("", max_length=60, description="how the customer is reached, such as 'email'")
    depth: float | None = Field(
        None, ge=0, le=1, description="how much is offered, such as 0.1 for a discount of 10%: the dose of the action"
    )
    day_part: str = Field("", max_length=60, description="when it is sent, such as 'evening'")
    message: str = Field("", max_length=60, description="name of the text or template that is sent")
    rest: Duration | None = Field(
        None, description="time before the cutoff in which customers who got this action do not get it again"
    )
    consent: str = Field(
        "",
        description="attribute of [customers] that must be yes (true or 1) for this action; customers without consent, "
        "or of whom nothing is known, do not get it",
    )

    def attributes(self) -> dict[str, str | float]:
        """Return the attributes that are set: channel, depth, day_part and message."""
        values = {name: getattr(self, name) for name in ATTRIBUTES}
        return {name: value for name, value in values.items() if value not in ("", None)}


class Exclusion(Section):
    """[[plan.exclude]]: customers who are excluded from plans, by the values of a column or by a list of ids."""

    why: str = Field(min_length=1, max_length=60, description="the reason, as it is written in the plan")
    column: str = Field(
        "",
        description="segment, tier or lifecycle of the scores, or an attribute of [customers] as it was at the cutoff",
    )
    values: tuple[bool | int | float | str, ...] = Field(
        (), description="values of the column whose customers are excluded"
    )
    ids: str = Field("", description="CSV or Parquet file with a column customer_id, relative to the config")
    customers: tuple[str, ...] = Field((), description="ids of the excluded customers")
    actions: tuple[str, ...] = Field((), description="actions that these customers do not get; empty: all")

    @model_validator(mode="after")
    def _check(self) -> Exclusion:
        if sum(map(bool, (self.column, self.ids, self.customers))) != 1:
            raise ValueError("an exclusion needs exactly one of column (with values), ids and customers")
        if bool(self.column) != bool(self.values):
            raise ValueError("column and values go together: set the column, and the values to exclude")
        return self

    def values_as_text(self) -> list[str]:
        """Return the values as the customer table writes them.

        >>> Exclusion(why="opted out", column="consent", values=(False, 3, 2.5, "no")).values_as_text()
        ['no', '3', '2.5', 'no']
        """
        return [_text(value) for value in self.values]


def without_customer_ids(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exclusion with the number of its customers instead of their ids, which must not be stored.

    >>> without_customer_ids({"why": "staff", "customers": ("C-1", "C-2")})
    {'why': 'staff', 'customers': 2}
    """
    return {**rule, "customers": len(rule["customers"])}


class PlanConfig(Section):
    """[plan]: which actions exist, and the budget and rules by which customers get them."""

    actions: dict[str, PlanAction] = Field(min_length=1, description="the actions by name")
    campaign: Name = Field("retention", description="name of the plan. --campaign overrides it")
    budget: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="maximum total cost; --budget overrides it"
    )
    total_budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="maximum total cost of all plans from budget_from until budget_until; each plan gets its share, at "
        "most `budget`",
    )
    budget_from: date | None = Field(
        None, description="first day of the period of total_budget; empty: every plan in the output folder counts"
    )
    budget_until: date | None = Field(None, description="day on which the period of total_budget ends, not included")
    budget_every: Duration | None = Field(
        None, description="time between plans in that period; empty: [run] plan_every, else the horizon"
    )
    margin: float | None = Field(
        None, gt=0, le=1, description="share of value that is profit; required if value is in money"
    )
    holdout: float = Field(
        0.1, ge=0, lt=1, description="share of eligible customers held out at random, to measure the effect"
    )
    explore: float = Field(
        0.02,
        ge=0,
        le=1,
        description="how much expected gain a plan may give up to learn more about its measured actions, as a share "
        "of the budget (without money: of the gain); 0: the plan of highest expected gain",
    )
    seed: int = Field(
        7, ge=0, description="seed of the random assignment, which depends only on it, the cutoff and the customer's id"
    )
    independent: bool = Field(
        False,
        description="whether the campaigns of a cutoff are independent: each has a holdout of its own, contacts those "
        "held out by another, and does not supersede it",
    )
    contacted_within: Duration | None = Field(
        None, description="exclude customers contacted within this time before the cutoff, such as '30d'"
    )
    contacts_at_most: int | None = Field(
        None, ge=0, description="exclude customers with more contacts than this in contacts_window"
    )
    contacts_window: Duration | None = Field(
        None, description="time before the cutoff in which contacts_at_most counts"
    )
    quiet_days: tuple[str, ...] = Field(
        (),
        description="days on which nobody is contacted: weekdays such as 'sunday', dates such as '2024-12-25', or days "
        "of every year such as '12-25'; the plan names the first other day",
    )
    quiet_hours: str = Field(
        "", description="hours in which nobody is contacted, such as '20:00-08:00', in the time of the business"
    )
    exclude: tuple[Exclusion, ...] = Field((), description="customers who are excluded")
    only: tuple[str, ...] = Field(
        (), description="segments, tiers or lifecycle stages whose customers alone get actions; empty: all customers"
    )
    minimums: dict[str, float] = Field(
        {}, description="minimum share of eligible customers who get an action, by segment"
    )
    curve: int = Field(12, ge=2, le=100, description="number of budgets on the curve of expected gain against budget")

    @model_validator(mode="after")
    def _check(self) -> PlanConfig:
        for rule in self.exclude:
            unknown = [name for name in rule.actions if name not in self.actions]
            if unknown:
                known = ", ".join(self.actions)
                raise ValueError(f"exclude: there is no action {unknown[0]!r}; [plan.actions] has {known}")
        if (self.contacts_at_most is None) != (self.contacts_window is None):
            raise ValueError(
                "contacts_at_most and contacts_window go together: set how many contacts, and in which time"
            )
        if (self.total_budget is None) != (self.budget_until is None):
            raise ValueError(
                "total_budget and budget_until go together: set how much may be spent, and until which day"
            )
        if self.budget_from and self.budget_until and self.budget_from >= self.budget_until:
            raise ValueError(f"budget_from is {self.budget_from}, which is not before budget_until {self.budget_until}")
        check_quiet_times(self.quiet_days, self.quiet_hours)
        wrong = [name for name, share in self.minimums.items() if not 0 <= share <= 1]
        if wrong:
            raise ValueError(f"minimums: {wrong[0]!r} has {self.minimums[wrong[0]]:g}; expected a share from 0 to 1")
        return self

    @property
    def limits_contacts(self) -> bool:
        """Whether customers can be excluded because of earlier contacts."""
        rests = any(action.rest is not None for action in self.actions.values())
        return self.contacted_within is not None or self.contacts_at_most is not None or rests


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
