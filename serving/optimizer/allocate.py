"""Who gets which action: most gain within budget, capacities and minimums, with a bound that no plan can pass.

Small problems are solved exactly. Large ones are solved at the prices of their Lagrangian dual
(`serving.optimizer.dual_prices`),
filled up with whole customers (`serving.optimizer.greedy`), and those at the margin are chosen exactly
(`serving.optimizer.exact`).
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

CLOSE_GAP = 1e-5  # a gap that is not worth another search
SECOND_EXACT_SIZE, WIDE_GAP = 10_000, 1e-4  # options that are still solved whole where the gap stays wider than this
CORE_SIZE = 150  # customers at the margin who are chosen exactly


@dataclass(frozen=True)
class Allocation:
    """A choice for everyone, and what it is worth beside the best that there could be.

    Attributes:
        choice: (n,) the action's place, or the number of actions for none; of shadows what they would have.
        gain: Of those who take.
        spent: By those who take.
        bound: No choice within the limits gains more.
        prices: (1 + a + g,) what one more unit of budget, of each capacity, and one customer less in each minimum
            would add to the gain.
        resource_use: (1 + a + g,) cost, customers by action, and minus the customers by group.
    """

    choice: np.ndarray
    gain: float
    spent: float
    bound: float
    prices: np.ndarray
    resource_use: np.ndarray

    @property
    def gap(self) -> float:
        """How much of the bound the gain may miss at most, as a share of it."""
        return (self.bound - self.gain) / abs(self.bound) if self.bound else 0.0


@dataclass(frozen=True)
class BudgetPoint:
    """A budget, what is spent of it and gained with it, the bound, and what one more unit of money would add."""

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
    """The problem from plain arrays, in the form that the solver reads fastest.

    Args:
        gains: (n, a); -inf where an action may not be done.
        costs: (n, a), or (a,) where they are the same for all; 0 or more.
        budget: Most cost of all together.
        capacities: (a,) most customers with each action.
        groups: (n,) from 0.
        minimums: (g,) fewest customers of each group with any action.
        holdout: (n,) who is held out.

    Raises:
        UsageError: A cost or a limit is negative or not a number, or a gain is not.
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
        raise UsageError("a gain must be a number, or minus infinity where an action may not be done")
    none = np.zeros(n, int)
    return AllocationProblem(
        gains, costs, float(budget), slots, none if groups is None else groups, least,
        none.astype(bool) if holdout is None else holdout,
    )  # fmt: skip


def allocate_actions(options: AllocationProblem, groups: Sequence[str] = (), actions: Sequence[str] = ()) -> Allocation:
    """The choice for everyone, with its certificate.

    Args:
        options: Of the customers, in the order that settles ties.
        groups: Names of the groups, and of the actions, for messages.

    Raises:
        RefusedError: The limits cannot hold together; which, is told.
    """
    takers = options.without_holdout()
    names = groups or [str(i) for i in range(len(options.minimums))]
    found = solve_dual(takers)
    choice = assign_greedily(options, found.prices)
    if not _keeps_minimums(options, choice):  # which is rare, or there is no plan
        if problem := explain_infeasibility(takers, names, actions or [str(j) for j in range(options.no_action)]):
            raise RefusedError(problem)
    return _allocate(options, takers, found, choice, names)


def budget_curve(options: AllocationProblem, budgets: Sequence[float], groups: Sequence[str] = ()) -> list[BudgetPoint]:
    """Gain against budget: one point for each budget at which the limits hold together, in ascending order."""
    takers, found, points = options.without_holdout(), None, []
    least = -solve_dual(cost_minimising(takers)).bound if options.minimums.any() else 0.0
    for budget in sorted({float(b) for b in budgets if b >= least}):
        some = replace(takers, budget=budget)
        found = solve_dual(some, found)
        choice = assign_greedily(some, found.prices)
        used = some.resource_use(choice)
        if (used[1 + some.no_action :] > -some.minimums).any():
            continue
        bound = max(found.bound, some.total_gain(choice))
        chosen = int((choice < some.no_action).sum())
        points.append(
            BudgetPoint(budget, float(used[0]), some.total_gain(choice), bound, float(found.prices[0]), chosen)
        )
    return points


def _allocate(
    options: AllocationProblem,
    takers: AllocationProblem,
    found: DualSolution,
    choice: np.ndarray,
    groups: Sequence[str],
) -> Allocation:
    bound = found.bound
    if takers.gains.size <= EXACT_SIZE:
        choice, bound = _exactly(options, takers, choice, bound)
    elif not _keeps_minimums(options, choice):
        choice = _from_cheapest(options, found.prices)
    if not _keeps_minimums(options, choice):
        asked = ", ".join(repr(groups[i]) for i in np.flatnonzero(options.minimums).tolist())
        raise RefusedError(
            f"the minimum shares of {asked} hold with the budget and the capacities only if customers could be divided"
        )
    if takers.gains.size > EXACT_SIZE and bound - options.total_gain(choice) > CLOSE_GAP * abs(bound):
        choice = reassign_margin(options, choice, options.priced_gains(found.prices), CORE_SIZE)
        if takers.gains.size <= SECOND_EXACT_SIZE and bound - options.total_gain(choice) > WIDE_GAP * abs(bound):
            choice, bound = _exactly(options, takers, choice, bound)
    gain, used = options.total_gain(choice), options.resource_use(choice)
    return Allocation(choice, gain, float(used[0]), max(bound, gain), found.prices, used)


def _exactly(
    options: AllocationProblem, takers: AllocationProblem, choice: np.ndarray, bound: float
) -> tuple[np.ndarray, float]:
    """The exact choice of those who take, and the lower of the two bounds; the given one where none is better."""
    found = solve_exactly(takers)
    if found is None or (_keeps_minimums(options, choice) and takers.total_gain(found[0]) < options.total_gain(choice)):
        return choice, bound
    better = choice.copy()
    better[~options.holdout] = found[0]
    return better, min(bound, found[1])


def _from_cheapest(options: AllocationProblem, prices: np.ndarray) -> np.ndarray:
    """A choice that keeps the minimums as cheaply as it can be done, and then spends what is left at given prices."""
    least = cost_minimising(options)
    choice = assign_greedily(least, solve_dual(least.without_holdout()).prices)
    a, used, free = options.no_action, options.resource_use(choice), choice == options.no_action
    others = replace(
        options,
        gains=np.asfortranarray(np.where(free[:, None], options.gains, -np.inf)),
        budget=max(options.budget - used[0], 0.0),
        capacities=options.capacities - used[1 : 1 + a],
        minimums=np.zeros_like(options.minimums),
    )
    paid = np.concatenate([prices[: 1 + a], np.zeros(len(options.minimums))])
    return np.where(free, assign_greedily(others, paid), choice)


def _keeps_minimums(options: AllocationProblem, choice: np.ndarray) -> bool:
    return bool((options.resource_use(choice)[1 + options.no_action :] <= -options.minimums).all())
