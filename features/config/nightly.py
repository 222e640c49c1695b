"""The section [run]: what the nightly run does besides scoring: when to train, when to plan, and what to keep."""

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
    """[run]: the nightly run (`regulars run`)."""

    train_first: bool = Field(True, description="whether to train on the first night if there is no champion model yet")
    retrain_every: Duration | None = Field(
        None, description="time after the last training when models are trained again; empty: never by time"
    )
    retrain_on: tuple[Literal["retrain", "recalibrate", "data", "contact"], ...] = Field(
        ("retrain",), description="actions recommended by alerts that also start a training; []: alerts never do"
    )
    retrain_pause: Duration = Field(Window(7), description="minimum time between trainings that alerts start")
    plan_every: Duration | None = Field(None, description="time after the last plan when a new plan is made")
    plan_on: PlanDay = Field("", description="weekday, or day of the month (1 to 28), on which plans are made")
    contributions: int = Field(
        1, ge=0, description="number of most recent nights for which the contributions of all features are kept"
    )
    report: bool = Field(True, description="whether to write the report for analysts")

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
        """Whether the nightly run makes plans."""
        return self.plan_every is not None or bool(self.plan_on)

    def next_plan_day(self, last: date | None, first: date) -> date:
        """Return the first day on which the next plan is due.

        Args:
            last: The cutoff of the last plan, if there is one.
            first: The cutoff of the first night.

        >>> rules, first = RunConfig(plan_every="28d", plan_on="monday"), date(2024, 3, 6)
        >>> str(rules.next_plan_day(None, first)), str(rules.next_plan_day(date(2024, 3, 11), first))
        ('2024-03-11', '2024-04-08')
        >>> str(RunConfig(plan_on=1).next_plan_day(date(2024, 3, 1), date(2024, 3, 1)))
        '2024-04-01'
        """
        day = first if last is None else last + (self.plan_every or Window(1)).delta
        while self.plan_on and self.plan_on not in (WEEKDAYS[day.weekday()], str(day.day)):
            day += Window(1).delta
        return day
