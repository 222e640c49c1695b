"""Prices and bounds of problems that are solved by hand."""

from __future__ import annotations

import numpy as np
import pytest

from serving.optimizer.dual_prices import MAX_PLANES, AllocationProblem, CuttingPlanes, solve_dual


def problem(gains: list[list[float]], budget: float = np.inf, minimum: int = 0, holdout: int = 0) -> AllocationProblem:
    """One action or more of cost 1, one group; the last `holdout` customers are held out."""
    table = np.array(gains)
    n, a = table.shape
    held_out = np.arange(n) >= n - holdout
    return AllocationProblem(
        table, np.ones((n, a)), budget, np.full(a, np.inf), np.zeros(n, int), np.array([minimum]), held_out
    )


def test_the_price_of_money_lies_between_the_last_who_gets_it_and_the_next() -> None:
    solution = solve_dual(problem([[5.0], [4.0], [1.0]], budget=2.0))
    assert solution.bound == pytest.approx(9.0, rel=1e-5) and 1 <= solution.prices[0] <= 4


def test_without_limits_money_has_no_price() -> None:
    solution = solve_dual(problem([[5.0], [4.0], [-1.0]]))
    assert solution.bound == pytest.approx(9.0) and not solution.prices.any()


def test_a_minimum_costs_what_its_customers_lose() -> None:
    solution = solve_dual(problem([[5.0], [-1.0], [-3.0]], minimum=2))
    assert solution.bound == pytest.approx(4.0, rel=1e-5) and 1 <= solution.prices[-1] <= 3


def test_the_holdout_uses_nothing_and_a_search_can_start_from_another() -> None:
    first = solve_dual(problem([[5.0], [4.0], [9.0]], budget=1.0, holdout=1))
    assert first.bound == pytest.approx(5.0, rel=1e-5)
    second = solve_dual(problem([[5.0], [4.0], [9.0]], budget=2.0, holdout=1), start=first)
    assert second.bound == pytest.approx(9.0, rel=1e-5)


def test_resources_of_a_choice() -> None:
    one = problem([[5.0, 6.0], [4.0, 1.0], [2.0, 2.0]], budget=2.0, minimum=1, holdout=1)
    choice = np.array([1, one.no_action, 0])
    assert one.resource_use(choice).tolist() == [1.0, 0.0, 1.0, -1.0] and one.total_gain(choice) == 6.0
    assert one.limits.tolist() == [2.0, np.inf, np.inf, -1.0]
    assert one.priced_gains(np.array([1.0, 0.0, 2.0, 0.5])).tolist() == [[4.5, 3.5], [3.5, -1.5], [1.5, -0.5]]


def test_the_oldest_planes_are_dropped() -> None:
    planes = CuttingPlanes(np.empty(0), np.empty((0, 1)))
    for height in range(MAX_PLANES + 2):
        planes = planes.with_plane(float(height), np.array([1.0]))
    assert planes.heights[0] == 2.0 and planes.slopes.shape == (MAX_PLANES, 1)
