"""Which limits cannot hold together, in figures: minimums against those who may be contacted, capacities and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linprog

from serving.optimizer.dual_prices import AllocationProblem, solve_dual


def explain_infeasibility(options: AllocationProblem, groups: Sequence[str], actions: Sequence[str]) -> str:
    """Why no plan can keep all limits, in words; '' where nothing speaks against it.

    Args:
        options: The customers, none of them a shadow.
        groups: Names of the groups, for the message.
        actions: Names of the actions.

    >>> gains, costs = np.array([[5.0], [4.0]]), np.full((2, 1), 3.0)
    >>> options = Options(gains, costs, 5.0, np.array([9.0]), np.zeros(2, int), np.array([2]), np.zeros(2, bool))
    >>> conflict(options, ["keep"], ["mail"])
    "the minimum share of 'keep' (2 customers) costs 6 at least, and the budget is 5"
    """
    if not options.minimums.any():
        return ""
    return _too_few(options, groups) or _too_narrow(options, groups, actions) or _too_dear(options, groups)


def _too_few(options: AllocationProblem, groups: Sequence[str]) -> str:
    """Groups with fewer customers who may be contacted than their minimum."""
    open_to = np.isfinite(options.gains).any(axis=1)
    there = np.bincount(options.groups[open_to], minlength=len(groups))
    for group in np.flatnonzero(options.minimums > there).tolist():
        return (
            f"the minimum share of {groups[group]!r} asks for {options.minimums[group]:,} customers, and only "
            f"{there[group]:,} of that segment may be contacted"
        )
    return ""


def _too_narrow(options: AllocationProblem, groups: Sequence[str], actions: Sequence[str]) -> str:
    """Minimums for which the capacities do not suffice: the largest flow from groups through actions falls short."""
    kinds, first = np.unique(np.column_stack([options.groups, np.isfinite(options.gains)]), axis=0, return_inverse=True)
    size, a = np.bincount(first.ravel(), minlength=len(kinds)), options.no_action
    kind, action = np.nonzero(kinds[:, 1:])
    m, g = len(kind), len(options.minimums)
    of_kind, of_action, of_group = np.zeros((len(kinds), m)), np.zeros((a, m)), np.zeros((g, m))
    of_kind[kind, np.arange(m)] = of_action[action, np.arange(m)] = of_group[kinds[kind, 0], np.arange(m)] = 1
    slots = np.minimum(options.capacities, len(options.gains))
    found = linprog(  # shortfalls of the groups are the last variables
        np.concatenate([np.zeros(m), np.ones(g)]),
        A_ub=np.block([[of_kind, np.zeros((len(kinds), g))], [of_action, np.zeros((a, g))], [-of_group, -np.eye(g)]]),
        b_ub=np.concatenate([size, slots, -options.minimums]),
        method="highs",
    )
    if found.x is None or found.fun < 0.5:
        return ""
    limited = [j for j in range(a) if options.capacities[j] < len(options.gains)]
    room = " and ".join(f"{actions[j]} {int(options.capacities[j]):,}" for j in limited)
    return (
        f"{_asked(options, groups)} cannot be reached within the capacities ({room}): {round(found.fun):,} customers "
        "are left over"
    )


def _too_dear(options: AllocationProblem, groups: Sequence[str]) -> str:
    """Minimums that cost more than the budget, by the proven least cost of keeping them."""
    if not np.isfinite(options.budget):
        return ""
    for free in (True, False):
        capacities = np.full(options.no_action, np.inf) if free else options.capacities
        least = -solve_dual(_cheapest(options, capacities)).bound
        if least > options.budget * (1 + 1e-9):
            within = "" if free else " within the capacities"
            several = "cost" if (options.minimums > 0).sum() > 1 else "costs"
            return f"{_asked(options, groups)} {several} {least:,.10g} at least{within}, and the budget is " + (
                f"{options.budget:,.10g}"
            )
    return ""


def _cheapest(options: AllocationProblem, capacities: np.ndarray) -> AllocationProblem:
    """The same customers and minimums, where what counts is to spend little and no budget limits."""
    gains = np.where(np.isfinite(options.gains), -options.costs, -np.inf)
    return replace(options, gains=gains, budget=np.inf, capacities=capacities)


def cost_minimising(options: AllocationProblem) -> AllocationProblem:
    """The same limits but the budget's, where what counts is to spend little."""
    return _cheapest(options, options.capacities)


def _asked(options: AllocationProblem, groups: Sequence[str]) -> str:
    asked = [(groups[i], int(options.minimums[i])) for i in np.flatnonzero(options.minimums).tolist()]
    told = " and ".join(f"{name!r} ({number:,} customers)" for name, number in asked)
    return f"the minimum share of {told}" if len(asked) == 1 else f"the minimum shares of {told} together"
