"""One price of money: the best split of several curves, against a search over a grid."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from serving.optimizer.shared_budget import gain_at, share_budget

CURVES = {"a": [(10.0, 30.0), (20.0, 45.0), (40.0, 50.0)], "b": [(10.0, 20.0), (30.0, 55.0)], "c": [(5.0, 0.0)]}


@pytest.mark.parametrize("money", [0.0, 7.0, 25.0, 50.0, 1000.0])
def test_no_split_gains_more(money: float) -> None:
    shared = share_budget(CURVES, money)
    steps = np.linspace(0, min(money, 45), 46)
    best = max(
        gain_at(CURVES["a"], a) + gain_at(CURVES["b"], b) for a, b in product(steps, steps) if a + b <= money + 1e-9
    )
    assert shared.gain >= best - 1e-9 and sum(shared.budgets.values()) <= money + 1e-9
    assert shared.gain == pytest.approx(sum(gain_at(CURVES[n], b) for n, b in shared.budgets.items()))
    assert shared.budgets["c"] == 0


def test_the_price_is_what_the_next_unit_brings() -> None:
    for money in (3.0, 15.0, 33.0):
        more = share_budget(CURVES, money + 0.01).gain - share_budget(CURVES, money).gain
        assert share_budget(CURVES, money).price == pytest.approx(more / 0.01)
    assert share_budget(CURVES, 1000.0).price == 0


def test_a_dent_in_a_curve_is_bridged_and_a_falling_curve_gets_no_money_there() -> None:
    assert gain_at([(10, 1), (20, 40)], 10) == pytest.approx(20)
    assert share_budget({"a": [(10, 5), (20, 3)]}, 20).budgets == {"a": 10}
    assert share_budget({}, 5).gain == 0
