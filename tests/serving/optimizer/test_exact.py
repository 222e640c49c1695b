"""Exact solutions of small problems."""

from __future__ import annotations

import numpy as np

from serving.optimizer.allocate import allocate_actions, allocation_problem
from serving.optimizer.dual_prices import AllocationProblem
from serving.optimizer.exact import reachable_budget, reassign_margin, solve_exactly


def problem(gains: list[list[float]], budget: float, minimum: int = 0) -> AllocationProblem:
    """Actions of cost 1, 2, ..., one group and nobody in the holdout."""
    table = np.array(gains)
    n, a = table.shape
    costs = np.broadcast_to(np.arange(1.0, a + 1), (n, a)).copy()
    return AllocationProblem(
        table, costs, budget, np.full(a, np.inf), np.zeros(n, int), np.array([minimum]), np.zeros(n, bool)
    )


def test_the_best_choice_and_its_bound() -> None:
    solution = solve_exactly(problem([[5.0, 7.0], [4.0, 5.0]], 3.0))
    assert solution is not None and (solution[0].tolist(), solution[1]) == ([1, 0], 11.0)


def test_equal_customers_are_served_in_their_order() -> None:
    solution = solve_exactly(problem([[5.0], [5.0], [5.0]], 2.0))
    assert solution is not None and solution[0].tolist() == [0, 0, 1]


def test_limits_that_contradict_each_other_have_no_solution() -> None:
    assert solve_exactly(problem([[5.0], [4.0]], 1.0, minimum=2)) is None
    assert solve_exactly(problem([[-np.inf]], 1.0, minimum=1)) is None
    nothing_allowed = solve_exactly(problem([[-np.inf]], 1.0))
    assert nothing_allowed is not None and (nothing_allowed[0].tolist(), nothing_allowed[1]) == ([1], 0.0)


def test_the_margin_is_only_ever_improved() -> None:
    one = problem([[5.0], [4.0], [3.0]], 2.0)
    poor = np.array([1, 0, 0])
    assert reassign_margin(one, poor, one.gains - 3.5, 3).tolist() == [0, 0, 1]
    best = np.array([0, 0, 1])
    assert reassign_margin(one, best, one.gains - 3.5, 3).tolist() == best.tolist()


def test_a_budget_is_what_whole_contacts_can_cost() -> None:
    costs = np.array([0.5, 6.0])
    assert [reachable_budget(costs, budget) for budget in (333.25, 0.5, 0.3)] == [333.0, 0.5, 0.0]
    assert reachable_budget(np.array([0.1, 0.3]), 0.3) == 0.3, "not less by a rounding error"


def test_what_no_contact_can_cost_is_not_searched_for() -> None:
    """Gains close to the costs make a hard knapsack, if a fraction of a contact fills it."""
    costs, gains = np.array([0.5, 6.0]), 1 + 0.02 * np.random.default_rng(1).random((900, 2))
    allocation = allocate_actions(allocation_problem(costs * gains, costs, 333.25))
    assert allocation.spent == 333.0 and allocation.gap < 1e-9


def test_the_bound_is_the_solver_s_where_its_choice_is_no_better() -> None:
    groups, least = np.random.default_rng(2).integers(0, 4, 600), np.array([50, 40, 30, 60])
    alike = np.tile([2.1, 3.2, 7.1], (600, 1))
    limits = {"capacities": np.array([150.5, 80.0, 60.0]), "groups": groups, "minimums": least}
    assert allocate_actions(allocation_problem(alike, np.array([2.0, 3.0, 7.0]), 1000.5, **limits)).gap < 1e-9
