"""Exact solutions by HiGHS through SciPy: for small plans, and for the customers at the margin of large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_array, csc_array, vstack

from features.money import TICKS
from serving.optimizer.dual_prices import BUDGET_SLACK, AllocationProblem

EXACT_SIZE = 2_000  # options (customers x actions) up to which a problem is solved exactly at once
NODE_LIMIT = 500  # of the search tree: unlike a time limit, it is the same on every machine; more nodes closed no gap
TIME_LIMIT = 60.0  # seconds, for machines too slow to finish the nodes: the bound stays proven
OPTIMAL, LIMIT_REACHED = 0, 1


def solve_exactly(problem: AllocationProblem, gap: float = 0.0) -> tuple[np.ndarray, float] | None:
    """The best choice (n,) and the proven bound; None where no choice keeps the limits, or the solver found none.

    Args:
        problem: The customers, none of them in the holdout, and the limits.
        gap: The relative gap between gain and bound at which the search may stop.

    >>> gains, costs = np.array([[5.0, 7.0], [4.0, 5.0]]), np.array([[1.0, 2.0], [1.0, 2.0]])
    >>> groups, holdout = np.zeros(2, int), np.zeros(2, bool)
    >>> problem = AllocationProblem(gains, costs, 3.0, np.full(2, np.inf), groups, np.zeros(1, int), holdout)
    >>> choice, bound = solve_exactly(problem)
    >>> choice.tolist(), bound
    ([1, 0], 11.0)
    """
    rows, actions = np.nonzero(np.isfinite(problem.gains))
    if not len(rows):
        return None if problem.minimums.any() else (np.full(len(problem.gains), problem.no_action), 0.0)
    gains = problem.gains[rows, actions]
    unit = float(np.abs(gains).max()) or 1.0
    solution = milp(
        -gains / unit,
        constraints=_constraints(problem, rows, actions),
        integrality=np.ones(len(rows)),
        bounds=(0, 1),
        options={"mip_rel_gap": gap, "node_limit": NODE_LIMIT, "time_limit": TIME_LIMIT, "presolve": False},
    )
    if solution.x is None or solution.status not in (OPTIMAL, LIMIT_REACHED):
        return None
    choice = np.full(len(problem.gains), problem.no_action)
    selected = solution.x > 0.5
    choice[rows[selected]] = actions[selected]
    choice = _in_row_order(problem, choice)
    if problem.resource_use(choice)[0] > problem.budget * (1 + BUDGET_SLACK):
        return None  # the solver's own tolerance is wider than ours for money
    bound = -float(solution.mip_dual_bound) * unit if solution.mip_dual_bound is not None else np.inf
    return choice, max(bound, problem.total_gain(choice))


def reassign_margin(problem: AllocationProblem, choice: np.ndarray, worth: np.ndarray, size: int) -> np.ndarray:
    """Improves a choice: the customers closest to another option are chosen again exactly, the others keep theirs.

    Args:
        problem: All customers; the holdout keeps its choice.
        choice: (n,) within the limits.
        worth: (n, a) of the options at the dual's prices.
        size: How many customers are chosen again.

    Returns:
        (n,) a choice that gains as much or more.
    """
    takers = np.flatnonzero(~problem.holdout & np.isfinite(problem.gains).any(axis=1))
    margin = np.abs(_margin(worth[takers], choice[takers]))
    core = np.sort(takers[np.argsort(margin, kind="stable")[:size]])
    fixed_use = problem.resource_use(np.where(_mask(core, len(choice)), problem.no_action, choice))
    a = problem.no_action
    core_problem = replace(
        problem.subset(core),
        budget=problem.budget - fixed_use[0],
        capacities=problem.capacities - fixed_use[1 : 1 + a],
        minimums=np.maximum(problem.minimums + fixed_use[1 + a :], 0).astype(int),
    )
    solution = solve_exactly(core_problem)
    if solution is None or core_problem.total_gain(solution[0]) <= core_problem.total_gain(choice[core]):
        return choice
    better = choice.copy()
    better[core] = solution[0]
    return better


def _constraints(problem: AllocationProblem, rows: np.ndarray, actions: np.ndarray) -> LinearConstraint:
    """At most one action for each customer, then budget, capacities and minimums; infinite limits are dropped."""
    n, m = len(problem.gains), len(rows)
    cost = problem.costs[rows, actions]
    unit = float(cost.max()) or 1.0
    lines: list[tuple[csc_array, Sequence[float]]] = [(_indicator(rows, n), [1.0] * n)]
    if np.isfinite(problem.budget):
        lines.append((csc_array(cost[None, :] / unit), [reachable_budget(cost, problem.budget) / unit]))
    lines.append((_indicator(actions, problem.no_action), list(np.floor(problem.capacities))))
    groups = _indicator(problem.groups[rows], len(problem.minimums))
    lines.append((-groups, list(-problem.minimums.astype(float))))
    matrix = vstack([part for part, _ in lines], format="csc")
    upper = np.concatenate([np.asarray(right, float) for _, right in lines])
    finite = np.isfinite(upper)
    return LinearConstraint(matrix.tocsr()[finite].reshape((-1, m)), ub=upper[finite])


def reachable_budget(costs: np.ndarray, budget: float) -> float:
    """The largest multiple of the costs' common unit within the budget; the budget itself if they have none.

    No choice can spend what is left. Without this, the relaxed problem would spend it on a fraction of a contact, and
    the search would try to prove the contrary for thousands of nodes.

    >>> reachable_budget(np.array([2.0, 3.5]), 100.3), reachable_budget(np.array([2.0, np.pi]), 100.3)
    (100.0, 100.3)
    """
    ticks = np.rint(costs * TICKS)
    is_exact = bool((np.abs(costs * TICKS - ticks) < 1e-6 * np.maximum(ticks, 1)).all()) and ticks.max() < 2**53
    common = int(np.gcd.reduce(ticks.astype(np.int64))) if is_exact else 0
    if common <= 1 or budget <= 0:
        return budget
    whole = math.floor(budget * TICKS / common * (1 + BUDGET_SLACK)) * common / TICKS
    return min(whole, budget)


def _indicator(place: np.ndarray, size: int) -> csc_array:
    """(size, m) matrix with a 1 where a column belongs to a row."""
    return coo_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(size, len(place))).tocsc()


def _margin(worth: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """(n,) worth of the chosen option minus that of the best other one, no action included."""
    options = np.column_stack([worth, np.zeros(len(worth))])
    chosen = options[np.arange(len(options)), choice]
    options[np.arange(len(options)), choice] = -np.inf
    return np.asarray(chosen - options.max(axis=1))


def _mask(rows: np.ndarray, n: int) -> np.ndarray:
    """(n,) whether a row is one of `rows`."""
    inside = np.zeros(n, bool)
    inside[rows] = True
    return inside


def _in_row_order(problem: AllocationProblem, choice: np.ndarray) -> np.ndarray:
    """An equivalent choice that does not depend on the solver: among identical customers, first actions go first."""
    alike = np.column_stack([problem.gains, problem.costs, problem.groups])
    _, kind = np.unique(alike, axis=0, return_inverse=True)
    before = np.argsort(kind.ravel(), kind="stable")
    after = np.lexsort((choice, kind.ravel()))
    settled = choice.copy()
    settled[before] = choice[after]
    return settled
