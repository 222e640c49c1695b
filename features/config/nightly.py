"""The section [run]: what the nightly run does besides scoring: when to train, when to plan, and what to keep."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from features.config.sections import Duration, Section
from features.task import Window

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST_DAY_OF_MONTH = 28  # of a month: every month has it
DAYS_OF_MONTH = tuple(map(str, range(1, LAST_DAY_OF_MONTH + 1)))
ON_ALERT = "alert"


def _texts(value: object) -> object:
    """A text or number as a list of one text; empty text is no entry."""
    values = value if isinstance(value, list | tuple) else [value]
    texts = [str(each).strip().lower() if isinstance(each, str | int) else each for each in values]
    return [each for each in texts if each != ""]


PlanDays = Annotated[tuple[str, ...], BeforeValidator(_texts)]


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
    plan_on: PlanDays = Field(
        (),
        description="weekday, or day of the month (1 to 28), on which plans are made; and 'alert': a plan is made "
        "when a segment crosses a threshold of [monitor], once for each cause. A list for both",
    )
    alert_budget: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="maximum total cost of a plan that an alert starts"
    )
    contributions: int = Field(
        1, ge=0, description="number of most recent nights for which the contributions of all features are kept"
    )
    report: bool = Field(True, description="whether to write the report for analysts")

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        wrong = [on for on in self.plan_on if on not in (*WEEKDAYS, ON_ALERT) and on not in DAYS_OF_MONTH]
        if wrong:
            raise ValueError(
                f"plan_on: expected a weekday such as 'monday', a day from 1 to {LAST_DAY_OF_MONTH}, or 'alert', found "
                f"{wrong[0]}"
            )
        if len(self.plan_days) > 1:
            raise ValueError(f"plan_on: expected one weekday or day of the month, found {', '.join(self.plan_days)}")
        if self.plans_on_alert != (self.alert_budget is not None):
            raise ValueError(
                "plan_on = 'alert' and alert_budget go together: set both (the budget is that of each plan that an "
                "alert starts) or neither"
            )
        return self

    @property
    def plan_days(self) -> tuple[str, ...]:
        """The weekday, or the day of the month, of `plan_on`."""
        return tuple(on for on in self.plan_on if on != ON_ALERT)

    @property
    def plans_on_alert(self) -> bool:
        """Whether alerts start plans."""
        return ON_ALERT in self.plan_on

    @property
    def has_schedule(self) -> bool:
        """Whether plans are made by a schedule."""
        return self.plan_every is not None or bool(self.plan_days)

    @property
    def makes_plans(self) -> bool:
        """Whether the nightly run makes plans."""
        return self.has_schedule or self.plans_on_alert

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
        while self.plan_days and self.plan_days[0] not in (WEEKDAYS[day.weekday()], str(day.day)):
            day += Window(1).delta
        return day
