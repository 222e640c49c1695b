"""Exact solutions of small problems."""

from __future__ import annotations

import numpy as np

from serving.optimizer.dual_prices import AllocationProblem
from serving.optimizer.exact import reassign_margin, solve_exactly


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
