"""Simulates a business round by round: the decisions of one round change what customers do afterwards.

All randomness is drawn beforehand: when each customer might order and for how much, and how long each lives. Decisions
only determine which of these orders happen, so worlds of the same seed differ only by the decisions made in them.
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

POPULATION, CHANCES, ORDERS = range(3)  # streams of randomness


@dataclass(frozen=True)
class World:
    """Customers, and everything that may happen to them.

    Attributes:
        business: The period and the settings; actions begin with stretches of `contact_every` days.
        population: The customers, as if never contacted.
        candidates: Possible orders, by customer and moment; the first one of a customer always happens.
        amount: Money of each candidate.
        channel: Channel of each candidate, as its position in `Settings.channels`.
    """

    business: Business
    population: Population
    candidates: OrderCandidates
    amount: np.ndarray
    channel: np.ndarray

    @cached_property
    def by_stretch(self) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the candidates, stretch by stretch, and where each stretch begins among them."""
        stretch = (self.candidates.moment // self.business.settings.contact_every).astype(int)
        places = np.argsort(stretch, kind="stable")
        return places, np.searchsorted(stretch[places], np.arange(self.no_contacts.shape[1] + 1))

    @property
    def no_contacts(self) -> np.ndarray:
        """A new array of decisions (customers, stretches) by which nobody is contacted; callers fill it in."""
        stretches = -(-len(self.business.calendar) // self.business.settings.contact_every)
        return np.full((len(self.population.birth), stretches), -1)


@dataclass(frozen=True)
class Orders:
    """Orders by stretch, customer and moment.

    Attributes:
        who: The customer's position, (n,).
        moment: Days from the start, (n,).
        amount: Money, (n,).
        channel: The channel's position, (n,).
    """

    who: np.ndarray
    moment: np.ndarray
    amount: np.ndarray
    channel: np.ndarray


def draw_world(customers: int, business: Business, reshape: Callable[[Population], Population] | None = None) -> World:
    """Draws the customers and their possible orders.

    Args:
        customers: How many.
        business: The period and the settings.
        reshape: Changes the customers after they are drawn, such as how they respond; None: nothing.

    Returns:
        The world.
    """
    settings = business.settings
    population = draw_population(customers, business, business.rng(0, POPULATION))
    population = reshape(population) if reshape else population
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


def orders_given_decisions(world: World, decisions: np.ndarray, stretches: range | None = None) -> Orders:
    """The orders of some stretches that follow from decisions.

    Args:
        world: The world.
        decisions: The action of each customer in each stretch, as its position in `Settings.actions`, -1 for none;
            (customers, stretches). Decisions after the stretches change nothing in them.
        stretches: The stretches, one after the other; all if None.

    Returns:
        The orders.
    """
    places, begins = world.by_stretch
    wanted = range(len(begins) - 1) if stretches is None else stretches
    selected = places[begins[wanted.start] : begins[wanted.stop]]
    candidates = OrderCandidates(
        world.candidates.who[selected], world.candidates.moment[selected], world.candidates.threshold[selected]
    )
    death = apply_contacts(world.population, world.business, decisions).death
    accepted = accept_candidates(candidates, world.population, world.business, decisions) & (
        candidates.moment <= death[candidates.who]
    )
    return Orders(
        candidates.who[accepted],
        candidates.moment[accepted],
        world.amount[selected[accepted]],
        world.channel[selected[accepted]],
    )


def true_gains(world: World, decisions: np.ndarray, stretch: int) -> np.ndarray:
    """Expected money that each action of a stretch adds up to the end, if no other action follows.

    Only the world itself knows these numbers.

    Args:
        world: The world.
        decisions: The decisions before the stretch, as in `orders_given_decisions`.
        stretch: The stretch of the action.

    Returns:
        Money (customers, actions); 0 for customers who are not yet born, or dead.
    """
    business = world.business
    day = stretch * business.settings.contact_every
    customers = apply_contacts(world.population, business, decisions)
    alive = (customers.birth < day) & (customers.death > day)
    living, decided = _subset(customers, alive), decisions[alive]

    every, immortal = business.settings.contact_every, replace(living, death=np.full(alive.sum(), np.inf))
    later = expected_orders(immortal, business, decided, (day + every, business.days))  # of who lives to see it

    def expected(action: int) -> np.ndarray:
        changed = decided.copy()
        changed[:, stretch] = action
        now = expected_orders(living, business, changed, (day, day + every))
        return (now + survival_probability(living, business, changed, (day, day + every)) * later) * living.mean_amount

    gains = np.zeros((len(alive), len(business.settings.actions)))
    without_action = expected(-1)
    gains[alive] = np.column_stack([expected(a) - without_action for a in range(gains.shape[1])])
    return gains


def run_rounds(
    world: World, rounds: range, decide: Callable[[int, Orders, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, Orders]:
    """Simulates rounds, each one stretch, with new decisions in each.

    Args:
        world: The world.
        rounds: The stretches in which decisions are made.
        decide: Given a stretch, the orders before it and the decisions so far, returns the action of each customer,
            (customers,).

    Returns:
        All decisions, (customers, stretches), and all orders.
    """
    decisions = world.no_contacts
    parts = [orders_given_decisions(world, decisions, range(rounds.start))]
    for stretch in rounds:
        decisions[:, stretch] = decide(stretch, _concatenate(parts), decisions.copy())
        parts.append(orders_given_decisions(world, decisions, range(stretch, stretch + 1)))
    parts.append(orders_given_decisions(world, decisions, range(rounds.stop, decisions.shape[1])))
    return decisions, _concatenate(parts)


def _concatenate(parts: Sequence[Orders]) -> Orders:
    return Orders(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Orders)))


def _subset(population: Population, here: np.ndarray) -> Population:
    return Population(*(getattr(population, field.name)[here] for field in fields(population)))
