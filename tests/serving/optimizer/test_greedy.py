"""Customers are assigned actions by what they would lose without them, within budget and capacities."""

from __future__ import annotations

import numpy as np

from serving.optimizer.dual_prices import AllocationProblem
from serving.optimizer.greedy import assign_greedily


def problem(
    gains: list[list[float]], budget: float = np.inf, capacities: tuple[float, ...] = (np.inf,), minimum: int = 0,
    holdout: tuple[int, ...] = (),
) -> AllocationProblem:  # fmt: skip
    """Actions of cost 1 and one group."""
    table = np.array(gains)
    held_out = np.isin(np.arange(len(table)), holdout)
    return AllocationProblem(
        table,
        np.ones(table.shape),
        budget,
        np.array(capacities),
        np.zeros(len(table), int),
        np.array([minimum]),
        held_out,
    )


def free(one: AllocationProblem) -> np.ndarray:
    """Prices of 0."""
    return np.zeros(len(one.limits))


def test_the_budget_goes_to_the_largest_gains() -> None:
    one = problem([[1.0], [5.0], [4.0]], budget=2.0)
    assert assign_greedily(one, free(one)).tolist() == [1, 0, 0]


def test_a_held_out_customer_is_assigned_like_the_next_and_uses_nothing() -> None:
    one = problem([[5.0], [4.0], [1.0], [4.5]], budget=2.0, holdout=(3,))
    assert assign_greedily(one, np.array([2.0, 0.0, 0.0])).tolist() == [0, 0, 1, 0]


def test_a_full_action_gives_way_to_the_second_best() -> None:
    one = problem([[5.0, 1.0], [4.0, 3.0]], capacities=(1.0, np.inf))
    assert assign_greedily(one, free(one)).tolist() == [0, 1]


def test_no_gain_no_action_unless_a_minimum_needs_it() -> None:
    gains = [[-1.0], [-2.0], [-np.inf]]
    without, needed = problem(gains), problem(gains, minimum=1)
    assert assign_greedily(without, free(without)).tolist() == [1, 1, 1]
    assert assign_greedily(needed, free(needed)).tolist() == [0, 1, 1]


def test_ties_go_to_the_first_rows() -> None:
    one = problem([[2.0]] * 4, budget=2.0)
    assert assign_greedily(one, free(one)).tolist() == [0, 0, 1, 1]
