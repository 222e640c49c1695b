"""A simulated business lived through round by round: what is decided in one changes what customers do afterwards.

All chance is drawn beforehand: when each customer might order and for how much, and how long each lives. Decisions only
settle which of it comes true, so that worlds of one seed differ by what was decided in them and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from features.simulation.business import (
    Business,
    OrderCandidates,
    Population,
    accept_candidates,
    apply_contacts,
    draw_lognormal,
    draw_order_candidates,
    draw_population,
    expected_orders,
    survival_probability,
)

PEOPLE, CHANCES, ORDERS = range(3)  # streams of randomness


@dataclass(frozen=True)
class World:
    """Customers, and all that may happen to them.

    Attributes:
        business: Its days are those that are lived through; actions begin with stretches of `contact_every` days.
        population: Not contacted by anybody.
        chances: Of orders, by customer and moment; that of the first order always comes true.
        amount: Money of each chance.
        channel: Where each is placed, as its place in `Settings.channels`.
    """

    business: Business
    population: Population
    chances: OrderCandidates
    amount: np.ndarray
    channel: np.ndarray

    @cached_property
    def by_stretch(self) -> tuple[np.ndarray, np.ndarray]:
        """The places of the chances, stretch by stretch, and where each stretch begins among them."""
        stretch = (self.chances.moment // self.business.settings.contact_every).astype(int)
        places = np.argsort(stretch, kind="stable")
        return places, np.searchsorted(stretch[places], np.arange(self.untouched.shape[1] + 1))

    @property
    def untouched(self) -> np.ndarray:
        """Decisions by which nobody is ever contacted (customers, stretches), to be filled in."""
        stretches = -(-len(self.business.calendar) // self.business.settings.contact_every)
        return np.full((len(self.population.birth), stretches), -1)


@dataclass(frozen=True)
class Orders:
    """Orders by stretch, customer and moment: the customer's place, days from the start, money, the channel's place."""

    who: np.ndarray
    moment: np.ndarray
    amount: np.ndarray
    channel: np.ndarray


def draw_world(customers: int, business: Business) -> World:
    """Draws all that chance decides."""
    settings = business.settings
    population = draw_population(customers, business, business.rng(0, PEOPLE))
    immortal = replace(population, death=np.full(customers, np.inf))
    later = draw_order_candidates(immortal, business, (0, business.days), business.rng(0, CHANCES))
    who = np.concatenate([np.arange(customers), later.who])
    moment = np.concatenate([population.birth, later.moment])
    sort, rng = np.lexsort((moment, who)), business.rng(0, ORDERS)
    threshold = np.concatenate([np.full(customers, -1.0), later.threshold])
    loyal, other = rng.random(len(who)) < settings.loyalty, rng.integers(len(settings.channels), size=len(who))
    amount = population.mean_amount[who[sort]] * draw_lognormal(settings.order_sigma, len(who), rng)
    return World(
        business,
        population,
        OrderCandidates(who[sort], moment[sort], threshold[sort]),
        np.maximum(np.round(amount, 2), 0.01),
        np.where(loyal, population.channel[who[sort]], other),
    )


def lived(world: World, given: np.ndarray, stretches: range | None = None) -> Orders:
    """The orders of some stretches, where customers are contacted so.

    Args:
        world: All that may happen.
        given: The action of each customer in each stretch, as its place in `Settings.actions`, -1 for none;
            what begins after the stretches changes nothing in them.
        stretches: Which, one after the other; None: all.
    """
    places, begins = world.by_stretch
    wanted = range(len(begins) - 1) if stretches is None else stretches
    some = places[begins[wanted.start] : begins[wanted.stop]]
    chances = OrderCandidates(world.chances.who[some], world.chances.moment[some], world.chances.threshold[some])
    death = apply_contacts(world.population, world.business, given).death
    came = accept_candidates(chances, world.population, world.business, given) & (chances.moment <= death[chances.who])
    return Orders(chances.who[came], chances.moment[came], world.amount[some[came]], world.channel[some[came]])


def true_gains(world: World, given: np.ndarray, stretch: int) -> np.ndarray:
    """Money (customers, actions) that each action is expected to add up to the end, if none follows.

    Of who is not yet born, or dead, it is 0. That is what nobody but the world itself knows.
    """
    business = world.business
    day = stretch * business.settings.contact_every
    people = apply_contacts(world.population, business, given)
    here = (people.birth < day) & (people.death > day)
    some, decided = _some(people, here), given[here]

    every, immortal = business.settings.contact_every, replace(some, death=np.full(here.sum(), np.inf))
    later = expected_orders(immortal, business, decided, (day + every, business.days))  # of who lives to see it

    def expected(action: int) -> np.ndarray:
        instead = decided.copy()
        instead[:, stretch] = action
        now = expected_orders(some, business, instead, (day, day + every))
        return (now + survival_probability(some, business, instead, (day, day + every)) * later) * some.mean_amount

    found = np.zeros((len(here), len(business.settings.actions)))
    nothing = expected(-1)
    found[here] = np.column_stack([expected(a) - nothing for a in range(found.shape[1])])
    return found


def live(
    world: World, rounds: range, decide: Callable[[int, Orders, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, Orders]:
    """Lives through rounds, each a stretch, deciding anew in each; returns all decisions and orders.

    Args:
        world: All that may happen.
        rounds: Stretches.
        decide: From a stretch, the orders before it and the decisions so far to the action (customers,) of each.
    """
    given = world.untouched
    parts = [lived(world, given, range(rounds.start))]
    for stretch in rounds:
        given[:, stretch] = decide(stretch, _together(parts), given.copy())
        parts.append(lived(world, given, range(stretch, stretch + 1)))
    parts.append(lived(world, given, range(rounds.stop, given.shape[1])))
    return given, _together(parts)


def _together(parts: Sequence[Orders]) -> Orders:
    return Orders(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Orders)))


def _some(population: Population, here: np.ndarray) -> Population:
    return Population(*(getattr(population, field.name)[here] for field in fields(population)))
