"""The benchmark of promises: its worlds are valid, its truth is right, and a small plan goes all the way."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import promise
from benchmarks.simulated_rounds import draw_world, orders_given_decisions
from features.simulation.business import Business
from features.simulation.settings import Action, Settings

KIND = promise.Kind(700, 1, mean=1.5, spread=0.01, nothing=0.0, saturation=0.0, cost=0.05, share=0.8)


def test_a_world_without_actions_gains_nothing_and_a_lift_of_one_doubles() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        assert promise.draw_settings(promise.draw_kind(rng), rng).actions
    actions = (Action("none0", 0.0, 0.3, 30, (0.0,) * 3), Action("double", 0.0, 0.3, 30, (1.0,) * 3))
    business = Business(date(2020, 1, 1), 390, Settings(actions=actions, response_spread=0.0), 3)
    world = draw_world(4_000, business)
    effects = promise.true_effects(world, world.no_contacts)
    assert not effects[:, 0].any()
    month = range(promise.PLANNED, promise.PLANNED + 1)
    before = world.population.birth < promise.PLANNED * promise.EVERY
    usual = promise.money_by_customer(orders_given_decisions(world, world.no_contacts, month), world)[before].sum()
    assert effects[:, 1].sum() == pytest.approx(usual, rel=0.1)


def test_a_plan_is_made_carried_out_and_measured(tmp_path: Path) -> None:
    row = promise.run_plan(KIND, 0, 5, tmp_path, promise.HIERARCHICAL)
    assert row["customers"] > 50 and row["low"] < row["promised"] < row["high"]
    assert row["true"] > 0 and row["chance"] < 0.1
    assert len(list(tmp_path.glob("output/plans/*/*/measured.json"))) == 1
    table = promise.summary(pd.DataFrame([row, row]).assign(world=[0, 1]))
    assert "2 plans in 2 worlds; 2 of them contact somebody" in table and "true gain over promised gain" in table
