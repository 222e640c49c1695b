"""The simulated businesses of the benchmark change as much as they say, and only from the day of the change on."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.monitoring import CHANGE, CHANGES, COHORT, PERIOD, Law, alerts_of_behaviour, apply_change, draw_orders


@pytest.mark.parametrize("what", CHANGES)
def test_changes_have_their_size_and_begin_on_their_day(what: str) -> None:
    rng = np.random.default_rng(2)
    orders, people = draw_orders(4000, Law(), rng)
    changed = apply_change(orders, people, what, 0.3, rng)
    before, after = (orders.day < CHANGE), (orders.day >= CHANGE) & (orders.day < CHANGE + PERIOD)
    now = changed.day < CHANGE
    assert np.array_equal(orders.amount[before], changed.amount[now])
    assert np.array_equal(orders.category[before], changed.category[now])
    later = (changed.day >= CHANGE) & (changed.day < CHANGE + PERIOD)
    cohort = np.unique(orders.who[before & (orders.day >= CHANGE - COHORT * PERIOD)])
    away = [1 - np.isin(cohort, o.who[place]).mean() for o, place in ((orders, after), (changed, later))]
    sizes = {
        "away": away[1] / away[0],
        "amount": changed.amount[later].mean() / orders.amount[after].mean(),
        "category": (changed.category[later] == 0).mean() / (orders.category[after] == 0).mean(),
    }
    for name, size in sizes.items():
        assert size == pytest.approx(1.3 if name == what else 1.0, abs=0.06), (name, what)


def test_a_large_change_is_found() -> None:
    rng = np.random.default_rng(2)
    orders, people = draw_orders(4000, Law(), rng)
    changed = apply_change(orders, people, "amount", 0.5, rng)
    assert "order_amount" in alerts_of_behaviour(changed, CHANGE + PERIOD)
