"""[plan]: what may be done to customers, what it costs, who is left out, and what a plan must keep to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from features.config.sections import Duration, Section

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class PlanAction(Section):
    """[plan.actions.NAME]: one thing that may be done to a customer."""

    cost: float = Field(ge=0, allow_inf_nan=False, description="money that it costs for one customer")
    capacity: int | None = Field(None, ge=0, description="most customers who can have it; empty: any number")
    save_rate: float | None = Field(
        None, ge=0, le=1, description="share of leavers whom it keeps: assumed, where no effect was measured"
    )


class Exclusion(Section):
    """[[plan.exclude]]: who is left out: by a column's values, or by a list of ids."""

    why: str = Field(min_length=1, max_length=60, description="the reason, as the plan names it")
    column: str = Field(
        "", description="segment, tier or lifecycle of the scores, or an attribute of [customers] as it stood"
    )
    values: tuple[bool | int | float | str, ...] = Field((), description="values of the column that are left out")
    ids: str = Field("", description="CSV or Parquet file with a column customer_id, relative to the config")
    customers: tuple[str, ...] = Field((), description="ids")
    actions: tuple[str, ...] = Field((), description="the actions that they do not get; without it, all")

    @model_validator(mode="after")
    def _check(self) -> Exclusion:
        if sum(map(bool, (self.column, self.ids, self.customers))) != 1:
            raise ValueError("an exclusion names one of column (with values), ids and customers")
        if bool(self.column) != bool(self.values):
            raise ValueError("column and values go together: the column, and which values of it are left out")
        return self

    def values_as_text(self) -> list[str]:
        """The values as the customer table writes them.

        >>> Exclusion(why="opted out", column="consent", values=(False, 3, 2.5, "no")).texts()
        ['no', '3', '2.5', 'no']
        """
        return [_text(value) for value in self.values]


def without_customer_ids(rule: Mapping[str, Any]) -> dict[str, Any]:
    """An exclusion's values as they may be kept: the number of its customers in the place of their ids.

    >>> unnamed({"why": "staff", "customers": ("C-1", "C-2")})
    {'why': 'staff', 'customers': 2}
    """
    return {**rule, "customers": len(rule["customers"])}


class PlanConfig(Section):
    """[plan]: who gets which action, within what."""

    actions: dict[str, PlanAction] = Field(min_length=1, description="what may be done, by name")
    campaign: str = Field(
        "retention",
        pattern=NAME_PATTERN,
        description="names the plan (--campaign goes first); its holdout stays the same",
    )
    budget: float | None = Field(None, ge=0, allow_inf_nan=False, description="most money; --budget goes first")
    margin: float | None = Field(
        None, gt=0, le=1, description="share of value that is profit; needed where there is money"
    )
    holdout: float = Field(0.1, ge=0, lt=1, description="share of the eligible who get nothing, to measure by")
    seed: int = Field(
        7, description="who is held out is drawn from it, the campaign's name and the customer's id alone"
    )
    contacted_within: Duration | None = Field(
        None, description="who was contacted so recently before the cutoff is left out, such as '30d'"
    )
    contacts_at_most: int | None = Field(None, ge=0, description="who had more contacts in contacts_window is left out")
    contacts_window: Duration | None = Field(None, description="where contacts_at_most counts, before the cutoff")
    exclude: tuple[Exclusion, ...] = Field((), description="who is left out")
    minimums: dict[str, float] = Field({}, description="by segment: least share of its eligible who get an action")
    curve: int = Field(12, ge=2, le=100, description="budgets of the curve of gain against budget")

    @model_validator(mode="after")
    def _check(self) -> PlanConfig:
        for rule in self.exclude:
            unknown = [name for name in rule.actions if name not in self.actions]
            if unknown:
                known = ", ".join(self.actions)
                raise ValueError(f"exclude: there is no action {unknown[0]!r}; [plan.actions] has {known}")
        if (self.contacts_at_most is None) != (self.contacts_window is None):
            raise ValueError("contacts_at_most and contacts_window go together: how many contacts, in which time")
        wrong = [name for name, share in self.minimums.items() if not 0 <= share <= 1]
        if wrong:
            raise ValueError(f"minimums: {wrong[0]!r} has {self.minimums[wrong[0]]:g}; expected a share from 0 to 1")
        return self

    @property
    def limits_contacts(self) -> bool:
        """Whether earlier contacts leave anyone out."""
        return self.contacted_within is not None or self.contacts_at_most is not None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
