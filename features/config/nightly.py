"""[run]: what the nightly chain does beside scoring: when it trains anew, when a plan is due, and what it keeps."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from features.config.sections import Duration, Section
from features.task import Window

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST_DAY_OF_MONTH = 28  # of a month: every month has it
PlanDay = Annotated[str, BeforeValidator(lambda v: str(v).strip().lower() if isinstance(v, str | int) else v)]


class RunConfig(Section):
    """[run]: the nightly chain."""

    train_first: bool = Field(True, description="whether the first night trains, where there is no champion yet")
    retrain_every: Duration | None = Field(None, description="models learn anew so long after they last did")
    retrain_on: tuple[Literal["retrain", "recalibrate", "data", "contact"], ...] = Field(
        ("retrain",), description="they do so too when an alert asks for one of these; []: never by an alert"
    )
    retrain_pause: Duration = Field(Window(7), description="least time between trainings that alerts ask for")
    plan_every: Duration | None = Field(None, description="a plan is due so long after the last one")
    plan_on: PlanDay = Field("", description="a plan is due on this weekday, or on this day of the month (1 to 28)")
    contributions: int = Field(1, ge=0, description="of how many newest nights every contribution is kept")
    report: bool = Field(True, description="whether the page for analysts is written")

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        on = self.plan_on
        if on and on not in WEEKDAYS and on not in map(str, range(1, LAST_DAY_OF_MONTH + 1)):
            raise ValueError(
                f"plan_on: expected a weekday such as 'monday', or a day from 1 to {LAST_DAY_OF_MONTH}, found {on}"
            )
        return self

    @property
    def makes_plans(self) -> bool:
        """Whether plans are ever due."""
        return self.plan_every is not None or bool(self.plan_on)

    def next_plan_day(self, last: date | None, first: date) -> date:
        """The day from which the next plan is due.

        Args:
            last: The cutoff of the last plan, if there is one.
            first: The cutoff of the first night.

        >>> rules = RunConfig(plan_every="28d", plan_on="monday")
        >>> str(rules.plan_day(None, date(2024, 3, 6))), str(rules.plan_day(date(2024, 3, 11), date(2024, 3, 6)))
        ('2024-03-11', '2024-04-08')
        >>> str(RunConfig(plan_on=1).plan_day(date(2024, 3, 1), date(2024, 3, 1)))
        '2024-04-01'
        """
        day = first if last is None else last + (self.plan_every or Window(1)).delta
        while self.plan_on and self.plan_on not in (WEEKDAYS[day.weekday()], str(day.day)):
            day += Window(1).delta
        return day
