"""The plan at other budgets: against the solver that plans are made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.config.load import Config
from serving.measurement import effect_estimates
from serving.planning import inputs, plan
from serving.web.parts.output_reader import open_site
from serving.web.views import experiments
from serving.web.views import plan as planning
from tests.scored import CUTOFF, make_scored

ONE = {"margin": 0.5, "holdout": 0.2, "actions": {"mail": {"cost": 0.5, "save_rate": 0.1}}, "curve": 6}
TWO = {**ONE, "actions": {**ONE["actions"], "call": {"cost": 2.0, "save_rate": 0.6, "capacity": 20}}}


def planned(folder: Path, rules: dict, budget: float) -> tuple[Config, planning.Made]:
    config = make_scored(folder, {"plan": rules})
    plan.make_plan(config, CUTOFF, budget=budget)
    return config, planning.made(open_site(config))


def test_with_one_action_a_smaller_budget_is_planned_exactly(tmp_path: Path) -> None:
    config, made = planned(tmp_path, ONE, 40.0)
    for budget in (0.0, 0.4, 7.3, 20.0, 29.9):
        found = planning.at_budget(made, budget)
        assert found.sort == "best"
        if budget >= 0.5:
            best = plan.make_plan(config, CUTOFF, budget=budget)
            assert found.gain == pytest.approx(best.gain, abs=1e-9)
            assert found.customers == best.manifest["customers"]["with_action"]
        assert found.spent <= budget and found.bound is not None and found.bound >= found.gain - 1e-9


def test_with_several_it_is_a_part_of_the_plan_under_a_bound_that_holds(tmp_path: Path) -> None:
    config, made = planned(tmp_path, TWO, 60.0)
    for budget in (3.0, 11.0, 42.0):
        found = planning.at_budget(made, budget)
        best = plan.make_plan(config, CUTOFF, budget=budget)
        assert found.sort == "part" and found.spent <= budget
        assert found.bound is not None and found.gain <= best.gain + 1e-9 <= found.bound + 2e-9
        assert found.bound <= made.facts["bound"] + 1e-9


def test_the_plan_itself_and_what_lies_beyond(tmp_path: Path) -> None:
    config, made = planned(tmp_path, ONE, 20.0)
    own = planning.at_budget(made, made.budget)
    assert (own.sort, own.customers) == ("own", made.facts["customers"]["with_action"])
    assert own.gain == pytest.approx(made.facts["gain"]) and own.spent == pytest.approx(made.facts["spent"])
    beyond = planning.at_budget(made, 30.0)
    best = plan.make_plan(config, CUTOFF, budget=30.0)
    assert beyond.sort == "beyond" and beyond.customers == own.customers
    assert beyond.about == pytest.approx(best.gain, rel=0.05) and beyond.bound >= best.gain - 1e-9
    assert planning.at_budget(made, made.last * 2).about is None


def test_the_list_is_those_who_are_in_most_gain_for_the_money_first(tmp_path: Path) -> None:
    config, made = planned(tmp_path, TWO, 60.0)
    site, found = open_site(config), planning.at_budget(made, 20.0)
    rows = [row for page in (1, 2, 3) for row in planning.listed(site, made, found, page)]
    assert len(rows) == found.customers
    assert sum(row["cost"] for row in rows) == pytest.approx(found.spent)
    assert sum(row["expected_gain"] for row in rows) == pytest.approx(found.gain)
    ratio = np.array([row["expected_gain"] / row["cost"] for row in rows])
    assert (np.diff(ratio) <= 1e-12).all()


def test_names_that_are_repeated_here_are_those_of_the_room() -> None:
    assert (planning.CURVE_JSON, planning.MONEY) == (plan.CURVE_JSON, inputs.MONEY)
    for mature in (True, False):
        assert experiments.ENDS[mature] == effect_estimates.interval_columns(mature)
    names = ("ALL", "ADJUSTED", "EACH_ACTION", "EACH_SEGMENT")
    assert [getattr(experiments, name) for name in names] == [getattr(effect_estimates, name) for name in names]
