"""What is decided in a round changes what comes after it, for those it is decided about, as much as the world says."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from benchmarks.simulated_rounds import Orders, World, draw_world, orders_given_decisions, run_rounds, true_gains
from features.simulation.business import Business, Population, apply_contacts, expected_orders
from features.simulation.settings import Action, Settings

EVEN = {"season": 0, "weekdays": (1,) * 7, "response_spread": 0}
GOOD = Action("good", 1, 0.4, 30, (0.5, 0.5, 0.5))
HARM = Action("harm", 1, 0.4, 20, (0, 0, 0), (1, 2, 3))
SHOP = Settings(actions=(GOOD, HARM), **EVEN)


@pytest.fixture(scope="module")
def world() -> World:
    """4,000 customers over 180 days."""
    return draw_world(4_000, Business(date(2023, 1, 1), 180, SHOP, seed=4))


def all_get(world: World, action: int, stretch: int) -> np.ndarray:
    given = world.no_contacts
    given[:, stretch] = action
    return given


def pairs(orders: Orders) -> set[tuple[int, float, float]]:
    return set(zip(orders.who.tolist(), orders.moment.tolist(), orders.amount.tolist(), strict=True))


def one_customer(hazard: float, life: float, change: float) -> tuple[Population, Business]:
    """A customer born on day 0, and a business with one action that changes the hazard for 7 days."""
    action = Action("mail", 1, 0.5, 7, (0, 0, 0), (change,) * 3)
    business = Business(date(2023, 1, 1), 90, Settings(actions=(action,), **EVEN), seed=1)
    zero = np.zeros(1)
    person = Population(
        birth=zero, life=np.array([life]), death=np.array([life / hazard]), rate=np.ones(1), hazard=np.array([hazard]),
        mean_amount=np.ones(1), channel=np.zeros(1, int), category=np.zeros(1, int), response=np.zeros((1, 1)),
        hazard_response=np.array([[change]]),
    )  # fmt: skip
    return person, business


@pytest.mark.parametrize(
    ("change", "stretch", "dies"),
    [(2, 1, 30 + 1 / 0.3), (-0.5, 1, 37 + 0.65 / 0.1), (-1, 1, 47), (2, 0, 7 + 1.9 / 0.1), (2, 3, 40)],
)
def test_when_one_dies_whose_hazard_an_action_changes(change: float, stretch: int, dies: float) -> None:
    person, business = one_customer(0.1, 4.0, change)
    given = np.full((1, 6), -1)
    given[0, stretch] = 0
    assert apply_contacts(person, business, given).death == pytest.approx([dies])


def test_a_life_that_outlasts_all_stretches_ends_where_it_would() -> None:
    person, business = one_customer(0.01, 5.0, 1)
    given = np.array([[0, -1, -1]])
    assert apply_contacts(person, business, given).death == pytest.approx([500 - 7])
    assert apply_contacts(person, business, np.full((1, 3), -1)).death == pytest.approx([500])


def test_expected_orders_weigh_each_day_by_the_chance_to_live_to_it() -> None:
    person, business = one_customer(0.1, 9.0, 2)
    given = np.full((1, 6), -1)
    given[0, 1] = 0
    moments = (np.arange(60 * 2_000) + 0.5) / 2_000  # of days 30 to 90
    hazard = np.where(moments < 7, 0.3, 0.1)
    survival = np.exp(-(np.cumsum(hazard) - hazard / 2) / 2_000)
    assert expected_orders(person, business, given, (30, 90)) == pytest.approx([survival.sum() / 2_000], rel=1e-6)


def test_a_decision_changes_nothing_before_it_and_nobody_else(world: World) -> None:
    given = world.no_contacts
    given[::2, 3] = 1
    given[1::4, 3] = 0
    before, after = orders_given_decisions(world, world.no_contacts), orders_given_decisions(world, given)
    assert pairs(orders_given_decisions(world, given, range(3))) == pairs(
        orders_given_decisions(world, world.no_contacts, range(3))
    )
    differences = pairs(before) - pairs(after), pairs(after) - pairs(before)
    assert {who % 2 for who, *_ in differences[0]} == {0} and {who % 4 for who, *_ in differences[1]} == {1}
    assert min(moment for orders in differences for _, moment, _ in orders) >= 90
    assert max(moment for _, moment, _ in differences[1]) < 120 < max(moment for _, moment, _ in differences[0])


def test_customers_order_as_often_as_they_are_expected_to(world: World) -> None:
    nothing = world.no_contacts
    orders = orders_given_decisions(world, nothing)
    later = np.bincount(orders.who[orders.moment >= 60], minlength=4_000)
    some = world.population.birth < 60
    assert later[some].sum() == pytest.approx(
        expected_orders(world.population, world.business, nothing, (60, 180))[some].sum(), rel=0.04
    )
    assert (orders.channel == world.population.channel[orders.who]).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("action", [0, 1])
def test_true_gains_are_what_comes_of_an_action_on_average(action: int) -> None:
    world = draw_world(20_000, Business(date(2023, 1, 1), 180, SHOP, seed=5))
    gains = true_gains(world, world.no_contacts, 2)[:, action]
    born = world.population.birth < 60
    assert not gains[~born].any() and not gains[world.population.death < 60].any()
    with_it, without = (
        orders_given_decisions(world, all_get(world, action, 2)),
        orders_given_decisions(world, world.no_contacts),
    )
    simulated_gain = (with_it.amount * born[with_it.who]).sum() - (without.amount * born[without.who]).sum()
    assert simulated_gain == pytest.approx(gains.sum(), rel=0.1)
    assert (gains[born] >= 0).all() if action == 0 else (gains[born] <= 0).all()


def test_rounds_see_only_what_was_before_them(world: World) -> None:
    seen = []

    def decide(stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        seen.append((orders.moment.max(), given[:, stretch:].max()))
        return np.full(4_000, stretch % 2)

    given, orders = run_rounds(world, range(2, 4), decide)
    assert [last < day and untouched == -1 for (last, untouched), day in zip(seen, (60, 90), strict=True)] == [True] * 2
    assert given[:, 2:5].tolist() == [[0, 1, -1]] * 4_000
    assert pairs(orders) == pairs(orders_given_decisions(world, given))


def test_the_same_seed_gives_the_same_world() -> None:
    first, same, other = (draw_world(200, Business(date(2023, 1, 1), 60, SHOP, seed)) for seed in (8, 8, 9))
    assert pairs(orders_given_decisions(first, first.no_contacts)) == pairs(
        orders_given_decisions(same, same.no_contacts)
    )
    assert pairs(orders_given_decisions(first, first.no_contacts)) != pairs(
        orders_given_decisions(other, other.no_contacts)
    )
