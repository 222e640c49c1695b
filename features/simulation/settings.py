"""The settings of a simulated business."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

CONTROL = "none"

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


@checked_dataclass(frozen=True)
class Action:
    """A contact that changes a customer's rate of orders for some days; invalid values raise ValueError."""

    name: Annotated[str, Field(pattern=r"^\w+$", description="name in the contacts")]
    cost: Annotated[NonNegative, Field(description="money for each contact")]
    propensity: Annotated[Positive, Field(lt=1, description="probability in a round; the rest is the control's")]
    days: Annotated[int, Field(ge=1, description="days that the effect lasts, from the contact on")]
    lifts: Annotated[
        tuple[float, ...],
        Field(description="mean change of the rate by preferred channel: 0.5: half as much again, -0.2: a fifth less"),
    ]
    hazards: Annotated[
        tuple[float, ...],
        Field(description="mean change of the hazard by preferred channel: -0.5 halves it, 1 doubles it; empty: none"),
    ] = ()


@checked_dataclass(frozen=True)
class Settings:
    """The settings of the simulated business; invalid values raise pydantic's ValidationError, a ValueError.

    >>> Settings(season=1.5)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings...
    """

    rate_mean: Annotated[
        Positive, Field(description="orders a day of living customers, mean over customers (gamma)")
    ] = 0.03
    rate_shape: Annotated[Positive, Field(description="shape of that gamma; smaller: more uneven")] = 1.5
    hazard_mean: Annotated[NonNegative, Field(description="hazard of dying a day, mean over customers (gamma)")] = 0.003
    hazard_shape: Annotated[Positive, Field(description="shape of that gamma")] = 1.5
    hazard_by_rate: Annotated[
        NonNegative,
        Field(
            description="who orders k times as often as the mean has the hazard divided by k to this power; 0: equal"
        ),
    ] = 0.0
    amount_mean: Annotated[Positive, Field(description="money of an order, mean over customers (lognormal)")] = 40.0
    amount_sigma: Annotated[NonNegative, Field(description="spread of customers' mean order amounts, log scale")] = 0.6
    order_sigma: Annotated[
        NonNegative, Field(description="spread of a customer's orders around the mean, log scale")
    ] = 0.4
    extra_lines: Annotated[NonNegative, Field(description="mean order lines beyond the first (Poisson)")] = 0.8
    season: Annotated[Share, Field(lt=1, description="amplitude of the yearly sinusoid, share of the rate")] = 0.3
    season_peak: Annotated[int, Field(ge=1, le=366, description="day of the year with most orders")] = 345
    weekdays: Annotated[
        tuple[NonNegative, NonNegative, NonNegative, NonNegative, NonNegative, NonNegative, NonNegative],
        Field(description="weights of Monday to Sunday, scaled to a mean of 1"),
    ] = (0.9, 0.9, 0.9, 1.0, 1.1, 1.3, 0.9)
    channels: Annotated[Names, Field(description="where orders are placed; each is preferred equally often")] = (
        "web", "store", "app",
    )  # fmt: skip
    categories: Annotated[Names, Field(description="what is bought; each is preferred equally often")] = (
        "garden", "kitchen", "office", "sports", "toys",
    )  # fmt: skip
    loyalty: Annotated[Share, Field(description="probability of the preferred one; else any, all equally likely")] = 0.7
    refund_share: Annotated[Share, Field(description="probability that an order is fully refunded")] = 0.05
    refund_delay: Annotated[NonNegative, Field(description="mean days from order to refund (exponential)")] = 7.0
    actions: Annotated[tuple[Action, ...], Field(description="besides the control 'none'; empty: no contacts")] = (
        Action("email", 0.1, 0.25, 14, (0.6, 0.0, 0.3)),
        Action("voucher", 2.0, 0.25, 21, (0.2, 0.8, -0.3)),
    )
    contact_every: Annotated[int, Field(ge=1, description="days between rounds, and before the first; at 00:00")] = 30
    contact_share: Annotated[Share, Field(description="probability that a known customer takes part in a round")] = 0.25
    response_spread: Annotated[Share, Field(description="response is the lift times a uniform number in 1 +- this")] = (
        0.3
    )
    saturation: Annotated[
        NonNegative,
        Field(description="who orders k > 1 times as often as the mean responds less, by a factor k to this power"),
    ] = 0.0

    def __post_init__(self) -> None:
        arms = [CONTROL, *(a.name for a in self.actions)]
        rules = {
            "a weekday with a weight above 0": any(self.weekdays),
            "channels, categories and arms without repetition": all(
                len(set(names)) == len(names) for names in (self.channels, self.categories, arms)
            ),
            "a sum of propensities below 1": sum(a.propensity for a in self.actions) < 1,
            "no days of an action above contact_every": all(a.days <= self.contact_every for a in self.actions),
            "one lift for each channel": all(len(a.lifts) == len(self.channels) for a in self.actions),
            "one change of the hazard for each channel, or none": all(
                len(a.hazards) in (0, len(self.channels)) for a in self.actions
            ),
            **{
                f"no {what} below -1, response_spread included": all(
                    c * (1 + self.response_spread) >= -1 for c in changes
                )
                for what, changes in (
                    ("lift", [lift for a in self.actions for lift in a.lifts]),
                    ("change of the hazard", [change for a in self.actions for change in a.hazards]),
                )
            },
        }
        if violated := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"expected {'; '.join(violated)}")
