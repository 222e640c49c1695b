"""Chooses the actions with the most gain within budget, capacities and minimums, with a proven upper bound.

Small problems are solved exactly. Large ones are solved in three steps: prices from the Lagrangian dual
(`serving.optimizer.dual_prices`), a greedy assignment of customers at these prices (`serving.optimizer.greedy`), and an
exact choice for the customers at the margin (`serving.optimizer.exact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.errors import RefusedError, UsageError
from serving.optimizer.dual_prices import AllocationProblem, DualSolution, solve_dual
from serving.optimizer.exact import EXACT_SIZE, reassign_margin, solve_exactly
from serving.optimizer.feasibility import cost_minimising, explain_infeasibility
from serving.optimizer.greedy import assign_greedily

CLOSE_GAP = 1e-5  # a relative gap that is not worth another search
SECOND_EXACT_SIZE, WIDE_GAP = 10_000, 1e-4  # options up to which a problem is solved exactly if the gap stays wider
CORE_SIZE = 150  # customers at the margin who are chosen exactly


@dataclass(frozen=True)
class Allocation:
    """A choice for every customer, its gain, and how much the best possible choice could gain.

    Attributes:
        choice: (n,) the index of the action, or the number of actions for none; for the holdout what they would get.
        gain: Total gain, without the holdout.
        spent: Total cost, without the holdout.
        bound: No choice within the limits gains more.
        prices: (1 + a + g,) what one more unit of budget, one more of each capacity, and one customer less in each
            minimum would add to the gain.
        used: (1 + a + g,) cost, customers by action, and minus the customers by group.
    """

    choice: np.ndarray
    gain: float
    spent: float
    bound: float
    prices: np.ndarray
    used: np.ndarray

    @property
    def gap(self) -> float:
        """By how much the gain may fall short of the best possible one at most, as a share of the bound."""
        return (self.bound - self.gain) / abs(self.bound) if self.bound else 0.0


@dataclass(frozen=True)
class BudgetPoint:
    """A point of the budget curve: spending, gain, bound, and the gain from one more unit of money."""

    budget: float
    spent: float
    gain: float
    bound: float
    price: float
    customers: int


def allocation_problem(
    gains: np.ndarray,
    costs: np.ndarray,
    budget: float = np.inf,
    capacities: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    minimums: np.ndarray | None = None,
    holdout: np.ndarray | None = None,
) -> AllocationProblem:
    """Builds the problem from plain arrays, in the memory layout that the solver reads fastest.

    Args:
        gains: (n, a); -inf where an action is not allowed.
        costs: (n, a), or (a,) where they are the same for all; 0 or more.
        budget: Upper limit of the total cost.
        capacities: (a,) upper limit of the customers with each action.
        groups: (n,) from 0.
        minimums: (g,) lower limit of the customers of each group with any action.
        holdout: (n,) whether a customer is held out.

    Returns:
        The problem; limits that are not given do not limit.

    Raises:
        UsageError: A cost or a limit is negative or not a number, or a gain is not a number.
    """
    gains, costs = np.asfortranarray(gains, dtype=float), np.asarray(costs, float)
    n, a = gains.shape
    costs = np.broadcast_to(costs, (n, a)) if costs.ndim == 1 else np.asfortranarray(costs)
    slots = np.full(a, np.inf) if capacities is None else np.asarray(capacities, float)
    least = np.zeros(1, int) if minimums is None else np.asarray(minimums)
    for name, values in (("cost", costs), ("capacity", slots), ("minimum", least), ("budget", np.array([budget]))):
        if np.isnan(values).any() or (values < 0).any():
            raise UsageError(f"a {name} must be 0 or more, found {float(values.min())}")
    if np.isnan(gains).any() or (gains == np.inf).any():
        raise UsageError("a gain must be a number, or minus infinity where an action is not allowed")
    zeros = np.zeros(n, int)
    return AllocationProblem(
        gains, costs, float(budget), slots, zeros if groups is None else groups, least,
        zeros.astype(bool) if holdout is None else holdout,
    )  # fmt: skip


def allocate_actions(problem: AllocationProblem, groups: Sequence[str] = (), actions: Sequence[str] = ()) -> Allocation:
    """Chooses an action or none for every customer, and proves how good the choice is.

    Args:
        problem: The customers, in the order that breaks ties, and the limits.
        groups: Names of the groups, for messages.
        actions: Names of the actions, for messages.

    Returns:
        The choice with its gain and bound.

    Raises:
        RefusedError: The limits contradict each other; the message says which.
    """
    takers = problem.without_holdout()
    names = groups or [str(i) for i in range(len(problem.minimums))]
    dual = solve_dual(takers)
    choice = assign_greedily(problem, dual.prices)
    if not _keeps_minimums(problem, choice):  # rare, unless there is no plan at all
        conflict = explain_infeasibility(takers, names, actions or [str(j) for j in range(problem.no_action)])
        if conflict:
            raise RefusedError(conflict)
    return _refine(problem, takers, dual, choice, names)


def budget_curve(problem: AllocationProblem, budgets: Sequence[float]) -> list[BudgetPoint]:
    """Gain against budget.

    Args:
        problem: The customers and the limits; its own budget is ignored.
        budgets: Budgets to evaluate.

    Returns:
        One point for each budget at which all limits can be kept, in ascending order.
    """
    takers, dual, points = problem.without_holdout(), None, []
    least = -solve_dual(cost_minimising(takers)).bound if problem.minimums.any() else 0.0
    for budget in sorted({float(b) for b in budgets if b >= least}):
        limited = replace(takers, budget=budget)
        dual = solve_dual(limited, dual)
        choice = assign_greedily(limited, dual.prices)
        used = limited.resource_use(choice)
        if (used[1 + limited.no_action :] > -limited.minimums).any():
            continue
        gain = limited.total_gain(choice)
        chosen = int((choice < limited.no_action).sum())
        points.append(BudgetPoint(budget, float(used[0]), gain, max(dual.bound, gain), float(dual.prices[0]), chosen))
    return points


def _refine(
    problem: AllocationProblem, takers: AllocationProblem, dual: DualSolution, choice: np.ndarray, groups: Sequence[str]
) -> Allocation:
    """Improves a greedy choice: exactly where the problem is small, else at the margin."""
    bound = dual.bound
    if takers.gains.size <= EXACT_SIZE:
        choice, bound = _exact_choice(problem, takers, choice, bound)
    elif not _keeps_minimums(problem, choice):
        choice = _minimums_first(problem, dual.prices)
    if not _keeps_minimums(problem, choice):
        names = ", ".join(repr(groups[i]) for i in np.flatnonzero(problem.minimums).tolist())
        raise RefusedError(
            f"the minimum shares of {names} fit the budget and the capacities only if customers could be divided"
        )
    if takers.gains.size > EXACT_SIZE and bound - problem.total_gain(choice) > CLOSE_GAP * abs(bound):
        choice = reassign_margin(problem, choice, problem.priced_gains(dual.prices), CORE_SIZE)
        wide = bound - problem.total_gain(choice) > WIDE_GAP * abs(bound)
        if takers.gains.size <= SECOND_EXACT_SIZE and wide:
            choice, bound = _exact_choice(problem, takers, choice, bound)
    gain, used = problem.total_gain(choice), problem.resource_use(choice)
    return Allocation(choice, gain, float(used[0]), max(bound, gain), dual.prices, used)


def _exact_choice(
    problem: AllocationProblem, takers: AllocationProblem, choice: np.ndarray, bound: float
) -> tuple[np.ndarray, float]:
    """The exact choice for those outside the holdout and the lower of both bounds; the given ones if none is better."""
    solution = solve_exactly(takers)
    if solution is None:
        return choice, bound
    bound = min(bound, solution[1])
    if _keeps_minimums(problem, choice) and takers.total_gain(solution[0]) < problem.total_gain(choice):
        return choice, bound
    better = choice.copy()
    better[~problem.holdout] = solution[0]
    return better, bound


def _minimums_first(problem: AllocationProblem, prices: np.ndarray) -> np.ndarray:
    """A choice that keeps the minimums at the least cost, and then spends the rest at the given prices."""
    cheapest = cost_minimising(problem)
    choice = assign_greedily(cheapest, solve_dual(cheapest.without_holdout()).prices)
    a, used, free = problem.no_action, problem.resource_use(choice), choice == problem.no_action
    rest = replace(
        problem,
        gains=np.asfortranarray(np.where(free[:, None], problem.gains, -np.inf)),
        budget=max(problem.budget - used[0], 0.0),
        capacities=problem.capacities - used[1 : 1 + a],
        minimums=np.zeros_like(problem.minimums),
    )
    rest_prices = np.concatenate([prices[: 1 + a], np.zeros(len(problem.minimums))])
    return np.where(free, assign_greedily(rest, rest_prices), choice)


def _keeps_minimums(problem: AllocationProblem, choice: np.ndarray) -> bool:
    return bool((problem.resource_use(choice)[1 + problem.no_action :] <= -problem.minimums).all())
