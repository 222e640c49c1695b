"""Few customers solved exactly, by HiGHS through SciPy: small plans whole, and of large ones those at the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_array, csc_array, vstack

from serving.optimizer.dual_prices import BUDGET_SLACK, AllocationProblem

EXACT_SIZE = 2_000  # options (customers x actions) that are solved whole
NODE_LIMIT = 2_000  # of the search tree: a limit that, unlike one of time, is the same on every machine
TIME_LIMIT = 60.0  # where a machine is so slow that the nodes would not end: the bound stays proven
OPTIMAL, LIMIT_REACHED = 0, 1


def solve_exactly(options: AllocationProblem, gap: float = 0.0) -> tuple[np.ndarray, float] | None:
    """The best choice (n,) and the proven bound; None where there is none within the limits, or none was found.

    Args:
        options: The customers, none of them a shadow.
        gap: Of gain to bound at which the search may end.

    >>> gains, costs = np.array([[5.0, 7.0], [4.0, 5.0]]), np.array([[1.0, 2.0], [1.0, 2.0]])
    >>> options = Options(gains, costs, 3.0, np.full(2, np.inf), np.zeros(2, int), np.zeros(1, int), np.zeros(2, bool))
    >>> choice, bound = solve(options)
    >>> choice.tolist(), bound
    ([1, 0], 11.0)
    """
    rows, actions = np.nonzero(np.isfinite(options.gains))
    if not len(rows):
        return None if options.minimums.any() else (np.full(len(options.gains), options.no_action), 0.0)
    gains = options.gains[rows, actions]
    unit = float(np.abs(gains).max()) or 1.0
    found = milp(
        -gains / unit,
        constraints=_limits(options, rows, actions),
        integrality=np.ones(len(rows)),
        bounds=(0, 1),
        options={"mip_rel_gap": gap, "node_limit": NODE_LIMIT, "time_limit": TIME_LIMIT, "presolve": False},
    )
    if found.x is None or found.status not in (OPTIMAL, LIMIT_REACHED):
        return None
    choice = np.full(len(options.gains), options.no_action)
    taken = found.x > 0.5
    choice[rows[taken]] = actions[taken]
    choice = _by_row(options, choice)
    if options.resource_use(choice)[0] > options.budget * (1 + BUDGET_SLACK):
        return None  # the solver's own tolerance is wider than money's
    bound = -float(found.mip_dual_bound) * unit if found.mip_dual_bound is not None else np.inf
    return choice, max(bound, options.total_gain(choice))


def reassign_margin(options: AllocationProblem, choice: np.ndarray, worth: np.ndarray, size: int) -> np.ndarray:
    """A choice at least as good: the customers nearest to another option are chosen anew, all others keep theirs.

    Args:
        options: Everyone; shadows keep their choice.
        choice: (n,) within the limits.
        worth: (n, a) of the options at the dual's prices.
        size: How many customers are chosen anew.
    """
    takers = np.flatnonzero(~options.holdout & np.isfinite(options.gains).any(axis=1))
    margin = np.abs(_margin(worth[takers], choice[takers]))
    core = np.sort(takers[np.argsort(margin, kind="stable")[:size]])
    kept = options.resource_use(np.where(_among(core, len(choice)), options.no_action, choice))
    a = options.no_action
    inside = replace(
        options.subset(core),
        budget=options.budget - kept[0],
        capacities=options.capacities - kept[1 : 1 + a],
        minimums=np.maximum(options.minimums + kept[1 + a :], 0).astype(int),
    )
    found = solve_exactly(inside)
    if found is None or inside.total_gain(found[0]) <= inside.total_gain(choice[core]):
        return choice
    better = choice.copy()
    better[core] = found[0]
    return better


def _limits(options: AllocationProblem, rows: np.ndarray, actions: np.ndarray) -> LinearConstraint:
    """One action at most for each customer, then budget, capacities and minimums: those of them that limit."""
    n, m = len(options.gains), len(rows)
    cost = options.costs[rows, actions]
    unit = float(cost.max()) or 1.0
    lines: list[tuple[csc_array, Sequence[float]]] = [(_indicator(rows, n), [1.0] * n)]
    if np.isfinite(options.budget):
        lines.append((csc_array(cost[None, :] / unit), [options.budget / unit]))
    lines.append((_indicator(actions, options.no_action), list(options.capacities)))
    groups = _indicator(options.groups[rows], len(options.minimums))
    lines.append((-groups, list(-options.minimums.astype(float))))
    matrix = vstack([part for part, _ in lines], format="csc")
    most = np.concatenate([np.asarray(right, float) for _, right in lines])
    useful = np.isfinite(most)
    return LinearConstraint(matrix.tocsr()[useful].reshape((-1, m)), ub=most[useful])


def _indicator(place: np.ndarray, size: int) -> csc_array:
    """(size, m): 1 where a column belongs to a line."""
    return coo_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(size, len(place))).tocsc()


def _margin(worth: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """(n,) how far the option chosen is from the best of the others, nothing included."""
    every = np.column_stack([worth, np.zeros(len(worth))])
    chosen = every[np.arange(len(every)), choice]
    every[np.arange(len(every)), choice] = -np.inf
    return np.asarray(chosen - every.max(axis=1))


def _among(rows: np.ndarray, n: int) -> np.ndarray:
    inside = np.zeros(n, bool)
    inside[rows] = True
    return inside


def _by_row(options: AllocationProblem, choice: np.ndarray) -> np.ndarray:
    """The same choice up to customers who are alike in all respects: of these the first have the first actions."""
    alike = np.column_stack([options.gains, options.costs, options.groups])
    _, kind = np.unique(alike, axis=0, return_inverse=True)
    before = np.argsort(kind.ravel(), kind="stable")
    after = np.lexsort((choice, kind.ravel()))
    settled = choice.copy()
    settled[before] = choice[after]
    return settled
