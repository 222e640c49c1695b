"""Sample ratio, exposure, contamination and cost of a plan, counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.measurement.exposure import (
    action_cost,
    contact_costs,
    exposure_by_action,
    holdout_contamination,
    sample_ratio_checks,
)


def executed(**fields: Any) -> Any:
    """Eight customers: four assigned to mail, two to call, two to nothing; one of each action is held out."""
    assigned = np.array([0, 0, 0, 0, 1, 1, -1, -1])
    held_out = np.array([False, False, False, True, False, True, False, False])
    contacts = np.zeros((8, 2), int)
    contacts[0, 0], contacts[1, 1], contacts[3, 0], contacts[6, 1] = 1, 1, 2, 1
    plain = {
        "plan": SimpleNamespace(manifest=SimpleNamespace(holdout={"share": 0.25}, spent=5.0, experiment=None)),
        "actions": ("mail", "call"),
        "eligible": np.ones(8, bool),
        "assigned": assigned,
        "held_out": held_out,
        "treated": (assigned >= 0) & ~held_out,
        "control": (assigned >= 0) & held_out,
        "contacts": contacts,
        "other_contacts": np.array([0, 0, 1, 0, 0, 0, 0, 0]),
        "cost": contacts @ np.array([1.0, 3.0]),
        "cost_source": "plan",
        "contacted_outside": 7,
        "other_actions": {"letter": 1},
    }
    return SimpleNamespace(**{**plain, **fields})


def test_contacts_of_those_who_were_assigned() -> None:
    exposure = exposure_by_action(executed())
    assert exposure["mail"] == {
        "meant": 3, "got": 1, "another": 1, "not_of_the_plan": 1, "nothing": 0, "share": pytest.approx(1 / 3),
    }  # fmt: skip
    assert (exposure["call"]["meant"], exposure["call"]["nothing"], exposure["call"]["share"]) == (1, 1, 0.0)
    nobody = exposure_by_action(executed(treated=np.zeros(8, bool)))
    assert nobody["mail"]["share"] is None


def test_contacts_that_were_not_planned() -> None:
    assert holdout_contamination(executed()) == {
        "held_out": 2,
        "contacted": 1,
        "by_action": {"mail": {"held_out": 1, "contacted": 1}, "call": {"held_out": 1, "contacted": 0}},
        "planned_nothing": 1,
        "outside_the_plan": 7,
        "other_actions": {"letter": 1},
    }


def test_costs_by_group() -> None:
    costs = contact_costs(executed())
    assert (costs["treated"], costs["held_out"], costs["planned_nothing"]) == (4.0, 2.0, 3.0)
    assert costs["by_action"] == {"mail": 4.0, "call": 0.0} and costs["expected"] == 5.0
    assert action_cost(executed(), 0) == 4.0


def test_a_holdout_of_another_size_raises_an_alarm() -> None:
    checks = sample_ratio_checks(executed())
    assert [(group["of"], group["treated"], group["held"]) for group in checks["groups"]] == [
        ("eligible", 6, 2), ("mail", 3, 1), ("call", 1, 1),
    ]  # fmt: skip
    assert not checks["alarm"] and checks["threshold"] == pytest.approx(0.01 / 3)
    n = 4_000
    fields = {"eligible": np.ones(n, bool), "assigned": np.zeros(n, int), "held_out": np.arange(n) < n // 2}
    assert sample_ratio_checks(executed(**fields))["alarm"]
