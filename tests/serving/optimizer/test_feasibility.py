"""Which limits contradict each other, in words."""

from __future__ import annotations

import numpy as np
import pytest

from serving.optimizer.dual_prices import AllocationProblem
from serving.optimizer.feasibility import cost_minimising, explain_infeasibility


def problem(budget: float = np.inf, capacity: float = np.inf, minimum: int = 2, eligible: int = 3) -> AllocationProblem:
    """Three customers in one group, one action of cost 3."""
    gains = np.where(np.arange(3) < eligible, 5.0, -np.inf)[:, None]
    return AllocationProblem(
        gains,
        np.full((3, 1), 3.0),
        budget,
        np.array([capacity]),
        np.zeros(3, int),
        np.array([minimum]),
        np.zeros(3, bool),
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"eligible": 1}, "the minimum share of 'keep' needs 2 customers, but only 1 of that segment may be contacted"),
        ({"capacity": 1.0}, "cannot be reached within the capacities (mail 1): 1 customers are left without an action"),
        ({"budget": 5.0}, "the minimum share of 'keep' (2 customers) costs at least 6, but the budget is 5"),
        ({"budget": 6.0}, ""),
        ({"minimum": 0, "budget": 0.0}, ""),
    ],
)
def test_the_contradiction_is_named(limits: dict[str, float], words: str) -> None:
    message = explain_infeasibility(problem(**limits), ["keep"], ["mail"])
    assert words in message and bool(message) == bool(words)


def test_the_cheapest_plan_has_no_budget() -> None:
    cheapest = cost_minimising(problem(budget=5.0, eligible=2))
    assert cheapest.gains.tolist() == [[-3.0], [-3.0], [-np.inf]] and cheapest.budget == np.inf
