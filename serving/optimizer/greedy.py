"""Assigns actions customer by customer at given prices: whoever would lose most without the best option comes first.

Ties are broken by the order of rows. A held-out customer is assigned what the next customer in their position would be
assigned, and uses none of the limits. So a customer's intended action does not depend on whether they are held out,
except for the last few who fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.optimizer.dual_prices import BUDGET_SLACK, AllocationProblem

MAX_ROUNDS = 40  # a round ends where a limit is reached; where all costs are equal, a handful is enough


@dataclass
class _Remaining:
    """What remains of the budget and of each capacity; changes as customers are assigned actions."""

    budget: float
    slots: np.ndarray


def assign_greedily(problem: AllocationProblem, prices: np.ndarray) -> np.ndarray:
    """Assigns an action or none to every customer within budget and capacities.

    Minimums are served first, by the customers who are worth most at the prices; they may still fall short where costs
    differ much.

    Args:
        problem: The customers and limits.
        prices: (1 + a + g,) of the dual.

    Returns:
        (n,) the index of the action, or `problem.no_action`; for the holdout what they would get.

    >>> gains, costs = np.array([[5.0], [4.0], [1.0], [4.5]]), np.ones((4, 1))
    >>> groups, holdout = np.zeros(4, int), np.array([False, False, False, True])
    >>> problem = AllocationProblem(gains, costs, 2.0, np.array([np.inf]), groups, np.zeros(1, int), holdout)
    >>> assign_greedily(problem, np.array([2.0, 0.0, 0.0])).tolist()
    [0, 0, 1, 0]
    """
    worth = problem.priced_gains(prices)
    due = _needed_for_minimums(problem, worth)
    # An option without gain is open only to customers whom a minimum needs.
    worth[~((problem.gains > 0) | (due[:, None] & np.isfinite(problem.gains)))] = -np.inf
    remaining = _Remaining(problem.budget * (1 + BUDGET_SLACK), problem.capacities.astype(float).copy())
    choice = np.full(len(worth), problem.no_action, np.intp)
    rows = np.flatnonzero(worth.max(axis=1, initial=-np.inf) > -np.inf)
    for _ in range(MAX_ROUNDS):
        rows = _drop_unaffordable(rows, problem, worth, remaining)
        if not len(rows):
            break
        rows = _serve(rows, problem, worth, due, remaining, choice)
    return choice


def _needed_for_minimums(problem: AllocationProblem, worth: np.ndarray) -> np.ndarray:
    """(n,) the customers of each group with a minimum who are worth most, as many as the minimum needs."""
    due = np.zeros(len(worth), bool)
    best = worth.max(axis=1, initial=-np.inf)
    for group in np.flatnonzero(problem.minimums):
        members = np.flatnonzero((problem.groups == group) & (best > -np.inf))
        members = members[np.argsort(-best[members], kind="stable")]
        takes = ~problem.holdout[members]
        due[members[np.cumsum(takes) - takes < problem.minimums[group]]] = True
    return due


def _drop_unaffordable(
    rows: np.ndarray, problem: AllocationProblem, worth: np.ndarray, remaining: _Remaining
) -> np.ndarray:
    """Removes the options that no longer fit from `worth`; returns the rows that still have an option."""
    has_option = np.zeros(len(rows), bool)
    for j in range(problem.no_action):
        column = worth[rows, j]
        column[(problem.costs[rows, j] > remaining.budget) | (remaining.slots[j] < 1)] = -np.inf
        worth[rows, j] = column
        has_option |= column > -np.inf
    return rows[has_option]


def _serve(
    rows: np.ndarray, problem: AllocationProblem, worth: np.ndarray, due: np.ndarray, remaining: _Remaining,
    choice: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Assigns the best options in order of urgency up to the first that does not fit; returns the rows that remain."""
    urgency, best = _urgency(worth[rows])
    order = np.lexsort((-urgency, ~due[rows]))
    served, best = rows[order], best[order]
    takes, cost = ~problem.holdout[served], problem.costs[served, best]
    spent = np.cumsum(np.where(takes, cost, 0.0))
    fits = np.where(takes, spent, spent + cost) <= remaining.budget
    for j in range(problem.no_action):
        if np.isfinite(remaining.slots[j]):
            mine = best == j
            fits &= ~mine | (np.cumsum(takes & mine) + ~takes <= remaining.slots[j])
    last = len(served) if fits.all() else int(np.argmin(fits))
    choice[served[:last]] = best[:last]
    remaining.budget -= float(spent[last - 1]) if last else 0.0
    remaining.slots -= np.bincount(best[:last][takes[:last]], minlength=problem.no_action)
    return np.sort(served[last:])


def _urgency(worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a row (n,) loses without its best option, or its worth where that is not positive; and that option.

    >>> _urgency(np.array([[3.0, 2.5], [1.0, -9.0], [-0.5, -2.0]]))
    (array([ 0.5,  1. , -0.5]), array([0, 0, 0]))
    """
    best = worth.argmax(axis=1)
    top = worth[np.arange(len(worth)), best]
    rest = worth.copy()
    rest[np.arange(len(worth)), best] = -np.inf
    second = np.maximum(rest.max(axis=1, initial=-np.inf), 0)
    return np.where(top > 0, top - second, top), best
