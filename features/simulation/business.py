"""The customers of a simulated business, when they order, and what is expected of them.

A customer is born at a uniformly random moment of the period with a first order, orders again at a rate, and dies. On
day d (from the start, UTC) a living customer orders with the intensity, in orders a day,

    rate x calendar[d] x (1 + response to the action received less than the action's days ago)

and dies with its hazard, which an action may change on the same days; a change of survival is permanent. All of this is
constant within a day. So orders are drawn exactly, by thinning a Poisson process, and expectations have a closed form.
Only times (to seconds) and amounts (to cents, at least one) are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import pyarrow as pa

from features.simulation.settings import Settings

HORIZON = 90  # days after the end for which the truth states expectations
SECONDS = 86_400


@dataclass(frozen=True)
class Population:
    """The true properties of some customers, as arrays with one entry for each; moments in days from the start.

    Attributes:
        birth: Moment of the first order.
        life: The cumulative hazard since birth at which the customer dies.
        death: Moment of death, infinite if the hazard is 0; `apply_contacts` changes it.
        rate: Orders a day, before calendar and contacts.
        hazard: Hazard of dying a day, before contacts.
        mean_amount: Mean money of an order.
        channel: The preferred channel, as its position in `Settings.channels`.
        category: The preferred category, as its position in `Settings.categories`.
        response: Relative change of the rate by each action, (customers, actions).
        hazard_response: Relative change of the hazard by each action, (customers, actions).
    """

    birth: np.ndarray
    life: np.ndarray
    death: np.ndarray
    rate: np.ndarray
    hazard: np.ndarray
    mean_amount: np.ndarray
    channel: np.ndarray
    category: np.ndarray
    response: np.ndarray
    hazard_response: np.ndarray


@dataclass(frozen=True)
class Business:
    """A period of `days` days from `start` on, the settings, and the seed of all randomness."""

    start: date
    days: int
    settings: Settings
    seed: int

    @cached_property
    def calendar(self) -> np.ndarray:
        """The factor of the rate on each day up to a horizon after the end: season times weekday, about 1 on average.

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
        """The random generator of a block of customers; the streams of a block are independent."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block, stream)))

    def times(self, moments: np.ndarray) -> pa.Array:
        """Moments as timestamps in UTC, rounded down to seconds; null for NaN."""
        seconds = np.floor(np.nan_to_num(moments) * SECONDS).astype("timedelta64[s]")
        return pa.array((np.datetime64(self.start, "s") + seconds).astype("datetime64[us]"), mask=np.isnan(moments))


def draw_population(number: int, business: Business, rng: np.random.Generator) -> Population:
    """Draws customers who are born within the period and are never contacted.

    Args:
        number: How many.
        business: The period and the settings.
        rng: The source of randomness.

    Returns:
        The customers.
    """
    settings = business.settings
    hazard = rng.gamma(settings.hazard_shape, settings.hazard_mean / settings.hazard_shape, number)
    birth, life = rng.random(number) * business.days, rng.standard_exponential(number)
    channel = rng.integers(len(settings.channels), size=number)
    rate = rng.gamma(settings.rate_shape, settings.rate_mean / settings.rate_shape, number)
    hazard = hazard * np.clip(rate / settings.rate_mean, 0.1, 10.0) ** -settings.hazard_by_rate
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
    """Draws each customer's response to each action, (customers, actions): the channel's mean times a random factor."""
    channels = len(settings.channels)
    means = np.array([change or (0.0,) * channels for change in changes]).reshape(-1, channels)
    return means.T[channel] * (1 + settings.response_spread * rng.uniform(-1, 1, (len(channel), len(means))))


def apply_contacts(population: Population, business: Business, received: np.ndarray) -> Population:
    """The customers with the moments at which they die, given the actions that they receive.

    Args:
        population: The customers, as drawn.
        business: The period and the settings.
        received: The actions received, as in `draw_orders`.

    Returns:
        The customers with changed moments of death.
    """
    contacted = np.flatnonzero((received >= 0).any(axis=0))
    if not population.hazard_response.any() or not len(contacted):
        return population
    hazard, birth, every = population.hazard, population.birth, business.settings.contact_every
    stretches = range(int(contacted[0]), int(contacted[-1]) + 1)
    left = np.divide(population.life, hazard, out=np.full(len(hazard), np.inf), where=hazard > 0)
    left -= np.maximum(stretches.start * every - birth, 0)
    death, who = np.where(left < 0, population.death, np.inf), np.arange(len(hazard))
    lasts = np.array([a.days for a in business.settings.actions])
    for stretch in stretches:
        action = received[:, stretch]
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
    population: Population, business: Business, received: np.ndarray, days: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the orders of days [from, to), including the first orders of customers who are born in them.

    Args:
        population: The customers.
        business: Calendar and settings.
        received: The action that each customer received at the beginning of each stretch of `contact_every` days, as
            its position in `Settings.actions`, -1 for none; (customers, stretches).
        days: From and to, counted from the start.
        rng: The source of randomness.

    Returns:
        The customer (its position) and the moment of each order, sorted by both.
    """
    candidates = draw_order_candidates(population, business, days, rng)
    kept = accept_candidates(candidates, population, business, received)
    born = np.flatnonzero((population.birth >= days[0]) & (population.birth < days[1]))
    who = np.concatenate([born, candidates.who[kept]])
    moment = np.concatenate([population.birth[born], candidates.moment[kept]])
    order = np.lexsort((moment, who))
    return who[order], moment[order]


@dataclass(frozen=True)
class OrderCandidates:
    """Moments at which customers order if their intensity is above a threshold, which depends on their contacts.

    Attributes:
        who: The customer's position, (n,).
        moment: In days from the start, (n,).
        threshold: As a factor of the customer's rate, (n,).
    """

    who: np.ndarray
    moment: np.ndarray
    threshold: np.ndarray


def draw_order_candidates(
    population: Population, business: Business, days: tuple[int, int], rng: np.random.Generator
) -> OrderCandidates:
    """Draws the candidates for orders of living customers in days [from, to), enough for any contacts.

    Args:
        population: The customers.
        business: Calendar and settings.
        days: From and to, counted from the start.
        rng: The source of randomness.

    Returns:
        The candidates, of which `accept_candidates` selects the orders.
    """
    begin, end = np.maximum(population.birth, days[0]), np.minimum(population.death, days[1])
    span = np.maximum(end - begin, 0)
    most = business.calendar.max() * (1 + np.max(population.response, axis=1, initial=0))
    who = np.repeat(np.arange(len(span)), rng.poisson(population.rate * most * span))
    moment = np.minimum(begin[who] + span[who] * rng.random(len(who)), np.nextafter(days[1], 0))
    return OrderCandidates(who, moment, rng.random(len(who)) * most[who])


def accept_candidates(
    candidates: OrderCandidates, population: Population, business: Business, received: np.ndarray
) -> np.ndarray:
    """Decides which candidates become orders, given the actions that customers receive (thinning).

    Args:
        candidates: The candidates.
        population: The customers.
        business: Calendar and settings.
        received: The actions received, as in `draw_orders`.

    Returns:
        True for each candidate that is an order, (n,).
    """
    day = candidates.moment.astype(int)
    boost = _contact_factor(population.response, business, received, candidates.who, day)
    return np.asarray(candidates.threshold < business.calendar[day] * boost)


def expected_orders(
    population: Population, business: Business, received: np.ndarray, days: tuple[int, int]
) -> np.ndarray:
    """Expected orders of each customer in days [from, to), for those alive at `from`; 0 for the dead.

    The integral of rate x calendar x contact factor x survival. The first three are constant within a day. Over the day
    after d days, survival exp(-hazard t) integrates to exp(-hazard d) (1 - exp(-hazard)) / hazard; contacts change the
    hazard day by day.

    Args:
        population: The customers.
        business: Calendar and settings.
        received: The actions received, as in `draw_orders`.
        days: From and to, counted from the start.

    Returns:
        Expected orders, (customers,).
    """
    day, who = np.arange(*days)[None, :], np.arange(len(received))[:, None]
    hazard, before = population.hazard[:, None], day - days[0]
    if population.hazard_response.any():
        factor = _contact_factor(population.hazard_response, business, received, who, day)
        before, hazard = np.cumsum(factor, axis=1) - factor, hazard * factor
    within_day = np.divide(-np.expm1(-hazard), hazard, out=np.ones(hazard.shape), where=hazard > 0)
    survival = np.exp(-population.hazard[:, None] * before) * within_day
    intensity = business.calendar[day] * _contact_factor(population.response, business, received, who, day)
    return np.where(population.death > days[0], population.rate * (intensity * survival).sum(axis=1), 0.0)


def survival_probability(
    population: Population, business: Business, received: np.ndarray, days: tuple[int, int]
) -> np.ndarray:
    """The probability that a customer who is alive at `from` is alive at `to`.

    Args:
        population: The customers.
        business: Calendar and settings.
        received: The actions received, as in `draw_orders`.
        days: From and to, counted from the start.

    Returns:
        Probabilities [0, 1], (customers,).
    """
    day, who = np.arange(*days)[None, :], np.arange(len(received))[:, None]
    factor = _contact_factor(population.hazard_response, business, received, who, day)
    return np.asarray(np.exp(-population.hazard * np.broadcast_to(factor, (len(received), day.size)).sum(axis=1)))


def _contact_factor(
    response: np.ndarray, business: Business, received: np.ndarray, who: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """The factor by which the last contact changes a rate or hazard on a day; `who` and `day` are broadcast."""
    if not business.settings.actions:
        return np.ones(1)
    stretch, since = np.divmod(day, business.settings.contact_every)
    action = received[who, stretch]
    lasts = np.array([a.days for a in business.settings.actions])
    return 1 + np.where((action >= 0) & (since < lasts[action]), response[who, action], 0.0)


def draw_lognormal(sigma: float, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draws lognormal numbers with a mean of 1.

    Args:
        sigma: Standard deviation of the logarithm.
        number: How many.
        rng: The source of randomness.

    Returns:
        The numbers, (number,).
    """
    return rng.lognormal(-(sigma**2) / 2, sigma, number)
