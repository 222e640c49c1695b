"""The benchmark of the loop at a tiny size: policies keep to the budget, and the oracle gains."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from benchmarks import loop
from benchmarks.simulated_rounds import World, draw_world, orders_given_decisions, run_rounds
from features.simulation.business import Business

CUSTOMERS = 2_500  # enough for the 50 customers in each arm that learning asks for


@pytest.fixture(scope="module")
def world() -> World:
    """The first rounds of a small shop."""
    days = (loop.FIRST + 2) * loop.SHOP.contact_every + loop.AFTER
    return draw_world(CUSTOMERS, Business(date(2023, 1, 1), days, loop.SHOP, 1))


def test_two_rounds_with_the_oracle_above_nothing() -> None:
    rows = pd.DataFrame([loop.policy_gains(seed, CUSTOMERS, 2, ("random", "ours", "oracle")) for seed in (1, 2)])
    assert rows["oracle"].mean() > 0
    assert rows["oracle"].mean() > max(rows["random"].mean(), rows["ours"].mean())
    assert (rows["contacts:ours"] > 0).all() and (rows["nothing"] > 0).all()


def test_the_table_pairs_seeds_and_shows_the_best_of_each_rule() -> None:
    names = loop.all_policies(draw_world(10, Business(date(2023, 1, 1), 90, loop.SHOP, 1)), 1)
    rows = pd.DataFrame(
        {name: [10.0, 20.0, 30.0] for name in names} | {f"contacts:{name}": [5.0] * 3 for name in names}
    )
    rows["oracle"], rows["ours"] = [100.0, 200.0, 300.0], [60.0, 70.0, 80.0]
    rows["highest risk (voucher)"] += 1
    lines = loop.table(rows).splitlines()
    assert lines[-1] == "| oracle | 200 (-48 to 448) | 100% (100 to 100) | -130 (-354 to 94) | 5 |"
    assert "| highest risk (voucher) | 21 (-4 to 46) | 11% (10 to 11) | 49 (49 to 49) | 5 |" in lines
    assert len(lines) == 2 + 7


def test_nobody_spends_more_than_the_budget_or_contacts_who_is_not_active(world: World) -> None:
    rounds = range(loop.FIRST, loop.FIRST + 2)
    for name, decide in loop.all_policies(world, 1).items():
        if name.endswith(("(letter)", "(voucher)")):
            continue
        given, _ = run_rounds(world, rounds, decide)
        for stretch in rounds:
            chosen = given[:, stretch]
            assert 0 < loop.COSTS[chosen[chosen >= 0]].sum() <= loop.round_budget(world), name
            assert not (chosen[world.population.birth > stretch * 30] >= 0).any(), name


def test_the_past_is_counted_as_by_hand(world: World) -> None:
    orders = orders_given_decisions(world, world.no_contacts, range(12))
    seen = loop.view_customers(world, orders, world.no_contacts, 360)
    place = int(np.argmax(seen["orders_count"]))
    mine = orders.who == seen.who[place]
    age, amount = 360 - orders.moment[mine], orders.amount[mine]
    assert seen["orders_count"][place] == mine.sum() > 5
    assert seen["last_order_days"][place] == age.min() and seen["first_order_days"][place] == age.max()
    assert seen["orders_amount_90d"][place] == pytest.approx(amount[age <= 90].sum())
    assert seen["channel_share_store"][place] == pytest.approx((orders.channel[mine] == 1).mean())


def test_a_pilot_gives_each_action_to_equally_many_at_random() -> None:
    held_out = np.arange(1_000) < 100
    arms = loop.pilot_arms(1_000, held_out, 350.0, np.random.default_rng(1))
    assert [(arms == arm).sum() for arm in (0, 1)] == [100, 100] and (arms[held_out] == -1).all()
    few = loop.pilot_arms(1_000, held_out, 1e9, np.random.default_rng(1))
    assert [(few == arm).sum() for arm in (0, 1)] == [300, 300]  # as many as get nothing


def test_in_a_turned_world_later_decisions_are_other_actions() -> None:
    days = (loop.FIRST + loop.ROUNDS) * 30
    world = draw_world(10, Business(date(2023, 1, 1), days, loop.WORLDS["turned"][0], 1))
    given = world.no_contacts
    given[0, [loop.FIRST, loop.FIRST + loop.TURN]] = 1
    assert loop.actions_of_world(world, given)[0, [loop.FIRST, loop.FIRST + loop.TURN]].tolist() == [1, 3]
    assert (loop.actions_of_world(world, given)[1:] == -1).all()
