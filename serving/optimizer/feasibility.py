"""Why limits contradict each other, in figures: minimums against eligible customers, capacities and budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linprog

from serving.optimizer.dual_prices import AllocationProblem, solve_dual


def explain_infeasibility(problem: AllocationProblem, groups: Sequence[str], actions: Sequence[str]) -> str:
    """Explains in words why no plan can keep all limits.

    Args:
        problem: The customers, none of them in the holdout, and the limits.
        groups: Names of the groups, for the message.
        actions: Names of the actions.

    Returns:
        The message; '' where no contradiction is found.

    >>> gains, costs = np.array([[5.0], [4.0]]), np.full((2, 1), 3.0)
    >>> groups, holdout = np.zeros(2, int), np.zeros(2, bool)
    >>> problem = AllocationProblem(gains, costs, 5.0, np.array([9.0]), groups, np.array([2]), holdout)
    >>> explain_infeasibility(problem, ["keep"], ["mail"])
    "the minimum share of 'keep' (2 customers) costs at least 6, but the budget is 5"
    """
    if not problem.minimums.any():
        return ""
    return (
        _too_few_customers(problem, groups)
        or _too_little_capacity(problem, groups, actions)
        or _too_little_budget(problem, groups)
    )


def _too_few_customers(problem: AllocationProblem, groups: Sequence[str]) -> str:
    """Names a group with fewer customers who may be contacted than its minimum."""
    eligible = np.isfinite(problem.gains).any(axis=1)
    available = np.bincount(problem.groups[eligible], minlength=len(groups))
    for group in np.flatnonzero(problem.minimums > available).tolist():
        return (
            f"the minimum share of {groups[group]!r} needs {problem.minimums[group]:,} customers, but only "
            f"{available[group]:,} of that segment may be contacted"
        )
    return ""


def _too_little_capacity(problem: AllocationProblem, groups: Sequence[str], actions: Sequence[str]) -> str:
    """Names minimums that the capacities do not allow: the largest flow from groups through actions falls short."""
    kinds, kind_of = np.unique(
        np.column_stack([problem.groups, np.isfinite(problem.gains)]), axis=0, return_inverse=True
    )
    size, a = np.bincount(kind_of.ravel(), minlength=len(kinds)), problem.no_action
    kind, action = np.nonzero(kinds[:, 1:])
    m, g = len(kind), len(problem.minimums)
    of_kind, of_action, of_group = np.zeros((len(kinds), m)), np.zeros((a, m)), np.zeros((g, m))
    of_kind[kind, np.arange(m)] = of_action[action, np.arange(m)] = of_group[kinds[kind, 0], np.arange(m)] = 1
    slots = np.minimum(problem.capacities, len(problem.gains))
    solution = linprog(  # the last variables are the groups' shortfalls
        np.concatenate([np.zeros(m), np.ones(g)]),
        A_ub=np.block([[of_kind, np.zeros((len(kinds), g))], [of_action, np.zeros((a, g))], [-of_group, -np.eye(g)]]),
        b_ub=np.concatenate([size, slots, -problem.minimums]),
        method="highs",
    )
    if solution.x is None or solution.fun < 0.5:
        return ""
    limited = [j for j in range(a) if problem.capacities[j] < len(problem.gains)]
    room = " and ".join(f"{actions[j]} {int(problem.capacities[j]):,}" for j in limited)
    return (
        f"{_minimums_in_words(problem, groups)} cannot be reached within the capacities ({room}): "
        f"{round(solution.fun):,} customers are left without an action"
    )


def _too_little_budget(problem: AllocationProblem, groups: Sequence[str]) -> str:
    """Names minimums that cost more than the budget, by their proven least cost."""
    if not np.isfinite(problem.budget):
        return ""
    for unlimited in (True, False):
        capacities = np.full(problem.no_action, np.inf) if unlimited else problem.capacities
        least = -solve_dual(_cost_minimising(problem, capacities)).bound
        if least > problem.budget * (1 + 1e-9):
            within = "" if unlimited else " within the capacities"
            verb = "cost" if (problem.minimums > 0).sum() > 1 else "costs"
            return (
                f"{_minimums_in_words(problem, groups)} {verb} at least {least:,.10g}{within}, but the budget is "
                + (f"{problem.budget:,.10g}")
            )
    return ""


def _cost_minimising(problem: AllocationProblem, capacities: np.ndarray) -> AllocationProblem:
    gains = np.where(np.isfinite(problem.gains), -problem.costs, -np.inf)
    return replace(problem, gains=gains, budget=np.inf, capacities=capacities)


def cost_minimising(problem: AllocationProblem) -> AllocationProblem:
    """The same problem with the objective to spend as little as possible, and without the budget."""
    return _cost_minimising(problem, problem.capacities)


def _minimums_in_words(problem: AllocationProblem, groups: Sequence[str]) -> str:
    minimums = [(groups[i], int(problem.minimums[i])) for i in np.flatnonzero(problem.minimums).tolist()]
    names = " and ".join(f"{name!r} ({number:,} customers)" for name, number in minimums)
    return f"the minimum share of {names}" if len(minimums) == 1 else f"the minimum shares of {names} together"
