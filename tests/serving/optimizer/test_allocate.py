"""The solver against every possible choice and against HiGHS: gains never exceed the bound, plans keep all limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from features.errors import RefusedError, UsageError
from serving.optimizer import allocate as room
from serving.optimizer.allocate import Allocation, allocate_actions, allocation_problem, budget_curve
from serving.optimizer.dual_prices import AllocationProblem


def _random_problem(seed: int, n: int, a: int, g: int = 2, held_out: float = 0.0) -> AllocationProblem:
    """A problem with limits that often bind: ties, forbidden actions, negative gains, free actions."""
    rng = np.random.default_rng(seed)
    integers = seed % 2 == 0
    gains = rng.integers(-1, 4, (n, a)).astype(float) if integers else rng.normal(1, 2, (n, a))
    gains[rng.random((n, a)) < 0.15] = -np.inf
    costs = rng.integers(0, 4, a).astype(float) if integers else rng.uniform(0, 3, (n, a))
    capacities = np.where(rng.random(a) < 0.5, np.inf, rng.integers(0, n // 2 + 2, a))
    groups = rng.integers(0, g, n)
    minimums = (np.bincount(groups, minlength=g) * rng.choice([0, 0, 0.3], g)).astype(int)
    return allocation_problem(gains, costs, rng.uniform(0, n), capacities, groups, minimums, rng.random(n) < held_out)


def _keeps_limits(problem: AllocationProblem, choice: np.ndarray) -> bool:
    used = problem.resource_use(choice)
    allowed = all(np.isfinite(problem.gains[i, j]) for i, j in enumerate(choice) if j < problem.no_action)
    return allowed and bool((used <= problem.limits + 1e-9 * (1 + np.abs(problem.limits))).all())


def _best_gain(problem: AllocationProblem) -> float | None:
    """The largest gain of all possible choices, by trying each of them."""
    n, a = problem.gains.shape
    gains = [
        problem.total_gain(np.array(c)) for c in product(range(a + 1), repeat=n) if _keeps_limits(problem, np.array(c))
    ]
    return max(gains, default=None)


def _lp_optimum(problem: AllocationProblem) -> float:
    """The optimum of the LP relaxation, written out in full for HiGHS."""
    rows, actions = np.nonzero(np.isfinite(problem.gains))
    n, a, m = *problem.gains.shape, len(rows)
    lines = np.zeros((n + 1 + a + len(problem.minimums), m))
    lines[rows, np.arange(m)] = 1
    lines[n] = problem.costs[rows, actions]
    lines[n + 1 + actions, np.arange(m)] = 1
    lines[n + 1 + a + problem.groups[rows], np.arange(m)] = -1
    right = np.concatenate([np.ones(n), np.minimum(problem.limits, 1e9)])
    return float(-linprog(-problem.gains[rows, actions], A_ub=lines, b_ub=right, bounds=(0, 1)).fun)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 2))
def test_small_plans_are_the_best_of_all_choices(seed: int, n: int, a: int) -> None:
    problem = _random_problem(seed, n, a)
    best = _best_gain(problem)
    if best is None:
        with pytest.raises(RefusedError, match="minimum share"):
            allocate_actions(problem)
        return
    allocation = allocate_actions(problem)
    assert _keeps_limits(problem, allocation.choice)
    assert allocation.gain == pytest.approx(best, abs=1e-9)
    assert allocation.gain <= allocation.bound <= best + 1e-6 * (1 + abs(best))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 70))
def test_large_plans_keep_the_limits_and_their_certificate(seed: int, n: int) -> None:
    problem = _random_problem(seed, n, 3)
    try:
        exact = allocate_actions(problem)
    except RefusedError:
        return
    allocation = _as_if_large(problem)
    assert _keeps_limits(problem, allocation.choice)
    assert allocation.gain <= exact.gain + 1e-9 * (1 + abs(exact.gain))
    assert exact.gain <= allocation.bound * (1 + 1e-12) + 1e-9
    assert allocation.bound <= _lp_optimum(problem) + 1e-5 * (1 + abs(allocation.bound))


def _as_if_large(problem: AllocationProblem) -> Allocation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "EXACT_SIZE", 0)
        return allocate_actions(problem)


def _campaign(n: int, seed: int = 1, held_out: float = 0.1, budget: float = 0.2) -> AllocationProblem:
    """A realistic campaign: value times effect less cost, two scarce actions, a minimum."""
    rng = np.random.default_rng(seed)
    costs = np.array([0.5, 1.0, 4.0, 8.0])
    gains = rng.lognormal(3, 1, (n, 1)) * rng.normal(0.05, 0.05, (n, 4)) * np.array([1, 1.3, 2, 2.5]) - costs
    capacities = np.array([np.inf, n // 20, np.inf, n // 50])
    minimums = np.array([0, n // 6])
    return allocation_problem(
        gains, costs, budget * n, capacities, rng.integers(0, 2, n), minimums, rng.random(n) < held_out
    )


def test_the_gap_of_a_large_plan_is_small_and_its_prices_are_real() -> None:
    problem = _campaign(30_000)
    allocation = allocate_actions(problem)
    assert _keeps_limits(problem, allocation.choice)
    assert 0 <= allocation.gap < 1e-4
    more = budget_curve(problem, [problem.budget * 1.01])[0]
    assert (more.gain - allocation.gain) / (0.01 * problem.budget) == pytest.approx(allocation.prices[0], rel=0.02)
    binding = allocation.prices > 1e-6
    assert binding.sum() >= 3
    np.testing.assert_allclose(allocation.used[binding], problem.limits[binding], rtol=2e-3)


def test_the_holdout_uses_no_limit_and_is_assigned_like_the_others() -> None:
    """Where customers differ only by noise, the held out are assigned each action as often as the others."""
    problem = _campaign(30_000, held_out=0.3)
    holdout, choice = problem.holdout, allocate_actions(problem).choice
    for action in range(5):
        share, other = (choice[holdout] == action).mean(), (choice[~holdout] == action).mean()
        assert abs(share - other) < 4 * np.sqrt(other * (1 - other) / holdout.sum()) + 1e-4
    without = allocation_problem(
        problem.gains[~holdout], np.asarray(problem.costs[0]), problem.budget, problem.capacities,
        problem.groups[~holdout], problem.minimums,
    )  # fmt: skip
    np.testing.assert_array_equal(allocate_actions(without).choice, choice[~holdout])


@pytest.mark.parametrize("limits", [{"budget": 700.0}, {"capacities": np.array([700])}])
def test_the_holdout_among_equals_is_assigned_like_the_others(limits: dict[str, Any]) -> None:
    n = 4_000
    holdout = np.random.default_rng(0).random(n) < 0.3
    groups, minimums = np.arange(n) % 2, np.array([100, 0])
    problem = allocation_problem(
        np.ones((n, 1)), np.ones(1), groups=groups, minimums=minimums, holdout=holdout, **limits
    )
    choice = allocate_actions(problem).choice
    assert (choice[~holdout] == 0).sum() == 700
    assert (choice[holdout] == 0).mean() == pytest.approx(0.25, abs=0.05)
    last = np.flatnonzero((choice == 0) & ~holdout).max()
    assert (choice[holdout & (np.arange(n) < last)] == 0).all()
    late = replace(problem, holdout=holdout | (np.arange(n) > last))  # customers after the last one who fits
    assert (allocate_actions(late).choice[last + 1 :] == 1).all()


def test_ties_go_to_the_first_rows() -> None:
    for n in (50, 5_000):
        allocation = allocate_actions(allocation_problem(np.ones((n, 2)), np.ones(2), 20.0))
        assert np.flatnonzero(allocation.choice < 2).tolist() == list(range(20))


def test_the_same_problem_gives_the_same_choice() -> None:
    first, second = (allocate_actions(_campaign(3_000)) for _ in range(2))
    np.testing.assert_array_equal(first.choice, second.choice)
    assert first.bound == second.bound


def test_gain_against_budget_is_concave_and_its_price_falls() -> None:
    problem = _campaign(5_000)
    points = budget_curve(problem, np.linspace(500, 8_000, 8).tolist())
    assert len(points) == 8
    assert np.diff([p.bound for p in points]).min() >= -1e-6
    assert np.diff([p.price for p in points]).max() <= 1e-3
    for p in points:
        assert p.spent <= p.budget * (1 + 1e-9) and p.gain <= p.bound


def test_nothing_pays_nothing_is_done() -> None:
    allocation = allocate_actions(allocation_problem(np.full((3, 2), -1.0), np.ones(2), 10.0))
    assert (allocation.choice.tolist(), allocation.gain, allocation.spent, allocation.gap) == ([2, 2, 2], 0.0, 0.0, 0.0)


def _refusal(**limits: Any) -> str:
    n = 10
    given = {"gains": np.ones((n, 2)), "costs": np.array([1.0, 3.0]), "budget": 100.0, "groups": np.repeat([0, 1], 5)}
    with pytest.raises(RefusedError) as problem:
        allocate_actions(allocation_problem(**{**given, **limits}), ["keep", "grow"], ["mail", "call"])
    return str(problem.value)


def test_limits_that_cannot_hold_together_are_named() -> None:
    closed = np.ones((10, 2))
    closed[:3] = -np.inf
    message = _refusal(gains=closed, minimums=np.array([3, 0]))
    assert message == ("the minimum share of 'keep' needs 3 customers, but only 2 of that segment may be contacted")
    message = _refusal(capacities=np.array([2, 1]), minimums=np.array([2, 3]))
    assert "'keep' (2 customers) and 'grow' (3 customers) together cannot be reached within the capacities" in message
    assert "(mail 2 and call 1): 2 customers are left without an action" in message
    message = _refusal(budget=3.0, minimums=np.array([4, 0]))
    assert message == "the minimum share of 'keep' (4 customers) costs at least 4, but the budget is 3"
    message = _refusal(budget=5.0, capacities=np.array([3, 9]), minimums=np.array([4, 0]))
    assert "costs at least 6 within the capacities, but the budget is 5" in message


@pytest.mark.parametrize(
    "wrong",
    [{"costs": np.array([-1.0])}, {"capacities": np.array([-1])}, {"gains": np.array([[np.nan]])}, {"budget": -1}],
)
def test_invalid_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        allocation_problem(**{"gains": np.ones((1, 1)), "costs": np.ones(1), **wrong})
