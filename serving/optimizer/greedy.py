"""Whole customers within the limits, at given prices: who gains most for sure comes first, ties in the order of rows.

A shadow (a customer held out) is given what the next customer in its place would be given, and takes nothing. So what
a customer is meant to have does not depend on whether they are held out, but for the last few that fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.optimizer.dual_prices import BUDGET_SLACK, AllocationProblem

MAX_ROUNDS = 40  # each ends where a limit is met; where costs are the same for all, a handful is enough


@dataclass
class _Left:
    """What is left of the budget and of each capacity; changes as customers are served."""

    budget: float
    slots: np.ndarray


def assign_greedily(options: AllocationProblem, prices: np.ndarray) -> np.ndarray:
    """Choice (n,) of an action or `options.nothing` for everyone, shadows too, within budget and capacities.

    Minimums are served first, by who is worth most at the prices; they may still fall short where costs differ much.

    >>> gains, costs = np.array([[5.0], [4.0], [1.0], [4.5]]), np.ones((4, 1))
    >>> held = np.array([False, False, False, True])
    >>> options = Options(gains, costs, 2.0, np.array([np.inf]), np.zeros(4, int), np.zeros(1, int), held)
    >>> assign(options, np.array([2.0, 0.0, 0.0])).tolist()
    [0, 0, 1, 0]
    """
    worth = options.priced_gains(prices)
    due = _due(options, worth)
    # What gains nothing is for those only who are due.
    worth[~((options.gains > 0) | (due[:, None] & np.isfinite(options.gains)))] = -np.inf
    left = _Left(options.budget * (1 + BUDGET_SLACK), options.capacities.astype(float).copy())
    choice = np.full(len(worth), options.no_action, np.intp)
    rows = np.flatnonzero(worth.max(axis=1, initial=-np.inf) > -np.inf)
    for _ in range(MAX_ROUNDS):
        rows = _within_reach(rows, options, worth, left)
        if not len(rows):
            break
        rows = _serve(rows, options, worth, due, left, choice)
    return choice


def _due(options: AllocationProblem, worth: np.ndarray) -> np.ndarray:
    """(n,) the customers of each group with a minimum who are worth most, as many as it asks for."""
    due = np.zeros(len(worth), bool)
    best = worth.max(axis=1, initial=-np.inf)
    for group in np.flatnonzero(options.minimums):
        members = np.flatnonzero((options.groups == group) & (best > -np.inf))
        members = members[np.argsort(-best[members], kind="stable")]
        takes = ~options.holdout[members]
        due[members[np.cumsum(takes) - takes < options.minimums[group]]] = True
    return due


def _within_reach(rows: np.ndarray, options: AllocationProblem, worth: np.ndarray, left: _Left) -> np.ndarray:
    """Takes away the options that no longer fit; returns the rows that have any left."""
    any_left = np.zeros(len(rows), bool)
    for j in range(options.no_action):
        column = worth[rows, j]
        column[(options.costs[rows, j] > left.budget) | (left.slots[j] < 1)] = -np.inf
        worth[rows, j] = column
        any_left |= column > -np.inf
    return rows[any_left]


def _serve(
    rows: np.ndarray, options: AllocationProblem, worth: np.ndarray, due: np.ndarray, left: _Left, choice: np.ndarray
) -> np.ndarray:
    """Serves rows in turn up to the first that does not fit; returns those that remain."""
    sure, best = _sureness(worth[rows])
    turn = np.lexsort((-sure, ~due[rows]))
    served, best = rows[turn], best[turn]
    takes, cost = ~options.holdout[served], options.costs[served, best]
    spent = np.cumsum(np.where(takes, cost, 0.0))
    fits = np.where(takes, spent, spent + cost) <= left.budget
    for j in range(options.no_action):
        if np.isfinite(left.slots[j]):
            mine = best == j
            fits &= ~mine | (np.cumsum(takes & mine) + ~takes <= left.slots[j])
    last = len(served) if fits.all() else int(np.argmin(fits))
    choice[served[:last]] = best[:last]
    left.budget -= float(spent[last - 1]) if last else 0.0
    left.slots -= np.bincount(best[:last][takes[:last]], minlength=options.no_action)
    return np.sort(served[last:])


def _sureness(worth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much a row (n,) loses without its best option, where that is worth anything; else its worth; and the option.

    >>> _sureness(np.array([[3.0, 2.5], [1.0, -9.0], [-0.5, -2.0]]))
    (array([ 0.5,  1. , -0.5]), array([0, 0, 0]))
    """
    best = worth.argmax(axis=1)
    top = worth[np.arange(len(worth)), best]
    others = worth.copy()
    others[np.arange(len(worth)), best] = -np.inf
    second = np.maximum(others.max(axis=1, initial=-np.inf), 0)
    return np.where(top > 0, top - second, top), best
