"""What the customers of a simulated business are like, and when they order.

A customer is born at a uniform moment of the period with a first order, orders again at a rate, and dies. On day d
(from the start, UTC) a living customer orders with intensity, in orders a day,

    rate x calendar[d] x (1 + response to the action received less than the action's days ago)

and dies with its hazard, which an action may change for the same days, and that lasts. All of it is constant within a
day, so orders are drawn exactly, by thinning a Poisson process, and what is expected next has a closed form. Only times
(whole seconds) and money (cents, one at least) are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

HORIZON = 90  # days: how far the truth looks ahead
CONTROL = "none"
SECONDS = 86_400

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


@checked_dataclass(frozen=True)
class Action:
    """Something done to a customer that changes the rate of orders for some days; raises ValueError like `Settings`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", description="its name in the contacts")]
    cost: Annotated[NonNegative, Field(description="money for each contact")]
    propensity: Annotated[Positive, Field(lt=1, description="probability of it in a round; the rest is the control's")]
    days: Annotated[int, Field(ge=1, description="days from the contact on that the effect lasts")]
    lifts: Annotated[
        tuple[float, ...],
        Field(description="mean change of the rate by preferred channel: 0.5 half as much again, -0.2 a fifth less"),
    ]
    hazards: Annotated[
        tuple[float, ...],
        Field(description="mean change of the hazard by preferred channel: -0.5 halves it, 1 doubles it; empty: none"),
    ] = ()


@checked_dataclass(frozen=True)
class Settings:
    """What the simulated business is like; raises ValueError (of pydantic) on what cannot be.

    >>> Settings(season=1.5)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings...
    """

    rate_mean: Annotated[Positive, Field(description="orders a day of the living, mean over customers (gamma)")] = 0.03
    rate_shape: Annotated[Positive, Field(description="shape of that gamma; smaller is more uneven")] = 1.5
    hazard_mean: Annotated[NonNegative, Field(description="hazard of dying a day, mean over customers (gamma)")] = 0.003
    hazard_shape: Annotated[Positive, Field(description="shape of that gamma")] = 1.5
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
    channels: Annotated[Names, Field(description="where orders are placed; each customer prefers one, evenly")] = (
        "web", "store", "app",
    )  # fmt: skip
    categories: Annotated[Names, Field(description="what is bought; each customer prefers one, evenly")] = (
        "garden", "kitchen", "office", "sports", "toys",
    )  # fmt: skip
    loyalty: Annotated[Share, Field(description="probability of the preferred kind; else any, evenly")] = 0.7
    refund_share: Annotated[Share, Field(description="probability that an order is refunded, in whole")] = 0.05
    refund_delay: Annotated[NonNegative, Field(description="mean days from order to refund (exponential)")] = 7.0
    actions: Annotated[tuple[Action, ...], Field(description="besides the control 'none'; empty: no contacts")] = (
        Action("email", 0.1, 0.25, 14, (0.6, 0.0, 0.3)),
        Action("voucher", 2.0, 0.25, 21, (0.2, 0.8, -0.3)),
    )
    contact_every: Annotated[int, Field(ge=1, description="days between rounds, and before the first; at 00:00")] = 30
    contact_share: Annotated[Share, Field(description="probability that one seen before takes part in a round")] = 0.25
    response_spread: Annotated[Share, Field(description="response is the lift times a uniform in 1 +- this")] = 0.3
    saturation: Annotated[
        NonNegative,
        Field(description="who orders k times as often as the mean (k > 1) responds less, by k to this power"),
    ] = 0.0

    def __post_init__(self) -> None:
        arms = [CONTROL, *(a.name for a in self.actions)]
        rules = {
            "some weekday above 0": any(self.weekdays),
            "every channel, category and arm once": all(
                len(set(names)) == len(names) for names in (self.channels, self.categories, arms)
            ),
            "propensities below 1 in all": sum(a.propensity for a in self.actions) < 1,
            "days of an action within contact_every": all(a.days <= self.contact_every for a in self.actions),
            "one lift a channel": all(len(a.lifts) == len(self.channels) for a in self.actions),
            "one change of the hazard a channel, or none": all(
                len(a.hazards) in (0, len(self.channels)) for a in self.actions
            ),
            **{
                f"no {what} below -1, spread included": all(c * (1 + self.response_spread) >= -1 for c in changes)
                for what, changes in (
                    ("lift", [lift for a in self.actions for lift in a.lifts]),
                    ("change of the hazard", [change for a in self.actions for change in a.hazards]),
                )
            },
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"expected {'; '.join(broken)}")


@dataclass(frozen=True)
class Population:
    """What some customers are like, one entry a customer; moments in days from the start."""

    birth: np.ndarray  # moment of the first order
    life: np.ndarray  # the hazard, summed up since birth, at which they die
    death: np.ndarray  # moment, infinite where the hazard is 0; see `after_contacts`
    rate: np.ndarray  # orders a day, before calendar and contacts
    hazard: np.ndarray  # a day, before contacts
    mean_amount: np.ndarray  # money of an order
    channel: np.ndarray  # the preferred one, as its place in Settings.channels
    category: np.ndarray  # likewise
    response: np.ndarray  # change of the rate by each action, (customers, actions)
    hazard_response: np.ndarray  # likewise of the hazard


@dataclass(frozen=True)
class Business:
    """Where and when customers live: `days` days from `start` on, the settings, and the only source of randomness."""

    start: date
    days: int
    settings: Settings
    seed: int

    @cached_property
    def calendar(self) -> np.ndarray:
        """The factor of the rate on each day up to a horizon after the end: season times weekday, 1 on average.

        >>> settings = Settings(season=0, weekdays=(1, 1, 1, 1, 0.5, 2, 0.5))
        >>> Business(date(2024, 1, 5), 3, settings, seed=1).calendar[:3].tolist()
        [0.5, 2.0, 0.5]
        """
        offsets, weights = np.arange(self.days + HORIZON), np.array(self.settings.weekdays)
        dates = np.datetime64(self.start) + offsets
        day_of_year = (dates - dates.astype("datetime64[Y]")).astype(int) + 1
        season = 1 + self.settings.season * np.cos(2 * np.pi * (day_of_year - self.settings.season_peak) / 365.25)
        return season * (weights / weights.mean())[(self.start.weekday() + offsets) % 7]

    def rng(self, block: int, stream: int) -> np.random.Generator:
        """The randomness of a block of customers."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block, stream)))

    def times(self, moments: np.ndarray) -> pa.Array:
        """Moments as timestamps in UTC, whole seconds; null where not a number."""
        seconds = np.floor(np.nan_to_num(moments) * SECONDS).astype("timedelta64[s]")
        return pa.array((np.datetime64(self.start, "s") + seconds).astype("datetime64[us]"), mask=np.isnan(moments))


def draw_population(number: int, business: Business, rng: np.random.Generator) -> Population:
    """Draws customers who are born within the period; nobody contacts them."""
    settings = business.settings
    hazard = rng.gamma(settings.hazard_shape, settings.hazard_mean / settings.hazard_shape, number)
    birth, life = rng.random(number) * business.days, rng.standard_exponential(number)
    channel = rng.integers(len(settings.channels), size=number)
    rate = rng.gamma(settings.rate_shape, settings.rate_mean / settings.rate_shape, number)
    amount = settings.amount_mean * draw_lognormal(settings.amount_sigma, number, rng)
    category = rng.integers(len(settings.categories), size=number)
    response = _draw_responses([a.lifts for a in settings.actions], channel, settings, rng)
    return Population(
        birth=birth,
        life=life,
        death=birth + np.divide(life, hazard, out=np.full(number, np.inf), where=hazard > 0),
        rate=rate,
        hazard=hazard,
        mean_amount=amount,
        channel=channel,
        category=category,
        response=response * np.maximum(rate / settings.rate_mean, 1.0)[:, None] ** -settings.saturation,
        hazard_response=_draw_responses([a.hazards for a in settings.actions], channel, settings, rng),
    )


def _draw_responses(
    changes: list[tuple[float, ...]], channel: np.ndarray, settings: Settings, rng: np.random.Generator
) -> np.ndarray:
    """Each customer's change by each action, (customers, actions): that of its channel, times its own factor."""
    channels = len(settings.channels)
    means = np.array([change or (0.0,) * channels for change in changes]).reshape(-1, channels)
    return means.T[channel] * (1 + settings.response_spread * rng.uniform(-1, 1, (len(channel), len(means))))


def apply_contacts(population: Population, business: Business, given: np.ndarray) -> Population:
    """The customers with the moments at which they die if they are contacted so; `given` as in `draw_orders`."""
    contacted = np.flatnonzero((given >= 0).any(axis=0))
    if not population.hazard_response.any() or not len(contacted):
        return population
    hazard, birth, every = population.hazard, population.birth, business.settings.contact_every
    stretches = range(int(contacted[0]), int(contacted[-1]) + 1)
    left = np.divide(population.life, hazard, out=np.full(len(hazard), np.inf), where=hazard > 0)
    left -= np.maximum(stretches.start * every - birth, 0)
    death, who = np.where(left < 0, population.death, np.inf), np.arange(len(hazard))
    lasts = np.array([a.days for a in business.settings.actions])
    for stretch in stretches:
        action = given[:, stretch]
        start, end = np.full(len(hazard), stretch * every), np.full(len(hazard), (stretch + 1) * every)
        over = start + np.where(action >= 0, lasts[action], 0)
        changed = 1 + np.where(action >= 0, population.hazard_response[who, action], 0.0)
        for begins, ends, factor in ((start, over, changed), (over, end, np.ones(len(hazard)))):
            alive_from = np.clip(birth, begins, ends)
            aged = factor * (ends - alive_from)
            dies = np.isinf(death) & (left < aged)
            death[dies] = alive_from[dies] + left[dies] / factor[dies]
            left = np.where(dies, np.inf, left - aged)
    rest = np.where(np.isinf(death), np.maximum(birth, stretches.stop * every) + left, np.inf)
    return replace(population, death=np.minimum(death, rest))


def draw_orders(
    population: Population, business: Business, given: np.ndarray, days: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the orders of days [from, to), first orders of customers born in them included.

    Args:
        population: The customers.
        business: Calendar and settings.
        given: The action that each customer received at the beginning of each stretch of `contact_every` days, as its
            place in `Settings.actions`, -1 for none; shape (customers, stretches).
        days: From and to, counted from the start.
        rng: Source of randomness.

    Returns:
        The customer (its place) and the moment of each order, sorted by both.
    """
    candidates = draw_order_candidates(population, business, days, rng)
    kept = accept_candidates(candidates, population, business, given)
    born = np.flatnonzero((population.birth >= days[0]) & (population.birth < days[1]))
    who = np.concatenate([born, candidates.who[kept]])
    moment = np.concatenate([population.birth[born], candidates.moment[kept]])
    order = np.lexsort((moment, who))
    return who[order], moment[order]


@dataclass(frozen=True)
class OrderCandidates:
    """Moments at which customers order if their intensity is above a threshold: orders, once contacts are known."""

    who: np.ndarray  # the customer's place
    moment: np.ndarray
    threshold: np.ndarray  # as a factor of the rate


def draw_order_candidates(
    population: Population, business: Business, days: tuple[int, int], rng: np.random.Generator
) -> OrderCandidates:
    """Draws the chances of orders of the living in days [from, to), as many as any contacts can need."""
    begin, end = np.maximum(population.birth, days[0]), np.minimum(population.death, days[1])
    span = np.maximum(end - begin, 0)
    most = business.calendar.max() * (1 + np.max(population.response, axis=1, initial=0))
    who = np.repeat(np.arange(len(span)), rng.poisson(population.rate * most * span))
    moment = np.minimum(begin[who] + span[who] * rng.random(len(who)), np.nextafter(days[1], 0))
    return OrderCandidates(who, moment, rng.random(len(who)) * most[who])


def accept_candidates(
    candidates: OrderCandidates, population: Population, business: Business, given: np.ndarray
) -> np.ndarray:
    """Which chances become orders, where customers are contacted so; `given` as in `draw_orders`."""
    day = candidates.moment.astype(int)
    boost = _contact_factor(population.response, business, given, candidates.who, day)
    return np.asarray(candidates.threshold < business.calendar[day] * boost)


def expected_orders(population: Population, business: Business, given: np.ndarray, days: tuple[int, int]) -> np.ndarray:
    """Expected orders of each customer in days [from, to), for those alive at `from`; 0 for the dead.

    The integral of rate x calendar x boost x survival, day by day: the first three are constant within a day, over
    which survival exp(-hazard t) integrates to exp(-hazard d) (1 - exp(-hazard)) / hazard, d being the days before,
    each weighed by what contacts make of the hazard. `given` as in `draw_orders`.
    """
    day, who = np.arange(*days)[None, :], np.arange(len(given))[:, None]
    hazard, before = population.hazard[:, None], day - days[0]
    if population.hazard_response.any():
        factor = _contact_factor(population.hazard_response, business, given, who, day)
        before, hazard = np.cumsum(factor, axis=1) - factor, hazard * factor
    within_day = np.divide(-np.expm1(-hazard), hazard, out=np.ones(hazard.shape), where=hazard > 0)
    survival = np.exp(-population.hazard[:, None] * before) * within_day
    intensity = business.calendar[day] * _contact_factor(population.response, business, given, who, day)
    return np.where(population.death > days[0], population.rate * (intensity * survival).sum(axis=1), 0.0)


def survival_probability(
    population: Population, business: Business, given: np.ndarray, days: tuple[int, int]
) -> np.ndarray:
    """The probability of each customer who is alive at `from` to be alive at `to`; `given` as in `draw_orders`."""
    day, who = np.arange(*days)[None, :], np.arange(len(given))[:, None]
    factor = _contact_factor(population.hazard_response, business, given, who, day)
    return np.asarray(np.exp(-population.hazard * np.broadcast_to(factor, (len(given), day.size)).sum(axis=1)))


def _contact_factor(
    response: np.ndarray, business: Business, given: np.ndarray, who: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """The factor that the last contact leaves on a day, by the responses to each action; `who` and `day` broadcast."""
    if not business.settings.actions:
        return np.ones(1)
    stretch, since = np.divmod(day, business.settings.contact_every)
    action = given[who, stretch]
    lasts = np.array([a.days for a in business.settings.actions])
    return 1 + np.where((action >= 0) & (since < lasts[action]), response[who, action], 0.0)


def draw_lognormal(sigma: float, number: int, rng: np.random.Generator) -> np.ndarray:
    """Lognormal numbers with a mean of 1."""
    return rng.lognormal(-(sigma**2) / 2, sigma, number)
