"""Orders, lives and responses of simulated customers, against formulas."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.simulation.business import Business, Population, draw_orders, draw_population, expected_orders
from features.simulation.settings import Action, Settings
from features.simulation.simulate import ORDERS, POPULATION

START = date(2023, 1, 1)
QUIET = Settings(actions=())


def act(**changes: Any) -> tuple[Action, ...]:
    return (Action(**{"name": "mail", "cost": 1, "propensity": 0.5, "days": 7, "lifts": (0.1, 0.2, 0.3), **changes}),)


def one_customer(rate: float, hazard: float, response: float) -> Population:
    preferences = {name: np.array([0]) for name in ("channel", "category")}
    life = {"birth": np.array([0.0]), "life": np.array([np.inf]), "death": np.array([np.inf])}
    return Population(
        **life, **preferences, rate=np.array([rate]), hazard=np.array([hazard]), mean_amount=np.array([1.0]),
        response=np.array([[response]]), hazard_response=np.zeros((1, 1)),
    )  # fmt: skip


def test_an_action_works_from_its_day_on_for_its_days() -> None:
    settings = Settings(season=0, weekdays=(1,) * 7, actions=act(days=2, lifts=(-1, 0, 0)), response_spread=0)
    business, given = Business(START, 60, settings, seed=1), np.array([[-1, 0, -1, -1, -1]])
    _, moment = draw_orders(one_customer(300, 0, -1.0), business, given, (0, 60), business.rng(0, ORDERS))
    assert set(range(60)) - set(moment.astype(int).tolist()) == {30, 31}
    ahead = [expected_orders(one_customer(3, 0, -1.0), business, given, (d, d + 1))[0] for d in (29, 30, 31, 32)]
    assert ahead == [3, 0, 0, 3]


def test_expected_orders_of_a_short_life() -> None:
    settings = Settings(season=0, weekdays=(1,) * 7, actions=act())
    business, given = Business(START, 60, settings, seed=1), np.full((1, 5), -1)
    orders = expected_orders(one_customer(3, 0.5, 0.0), business, given, (60, 150))
    assert orders == pytest.approx([3 * (1 - np.exp(-45)) / 0.5])  # the rate's integral over the survival


def test_orders_of_two_periods_are_those_of_both(tmp_path: Path) -> None:
    business = Business(START, 200, QUIET, seed=3)
    people, nothing = draw_population(3_000, business, business.rng(0, POPULATION)), np.full((3_000, 10), -1)
    parts = [draw_orders(people, business, nothing, days, business.rng(0, ORDERS)) for days in ((0, 120), (120, 200))]
    both_periods = draw_orders(people, business, nothing, (0, 200), business.rng(1, ORDERS))
    assert all((np.diff(who) >= 0).all() for who, _ in parts)
    assert parts[0][1].max() < 120 <= parts[1][1].min()
    assert set(np.concatenate([who for who, _ in parts])) == set(range(3_000))
    assert sum(len(who) for who, _ in parts) == pytest.approx(len(both_periods[0]), rel=0.05)


def test_who_orders_often_responds_less_where_responses_saturate() -> None:
    plain, less = (
        draw_population(500, b, b.rng(0, POPULATION))
        for b in (Business(START, 90, Settings(saturation=by), seed=1) for by in (0, 2))
    )
    often = np.maximum(plain.rate / 0.03, 1)
    assert (often > 1.5).any() and np.array_equal(plain.rate, less.rate)
    assert less.response == pytest.approx(plain.response / often[:, None] ** 2)
