"""Prices for scarce resources: the Lagrangian dual of the allocation problem, and the upper bound that it proves.

The limits are replaced by prices: each unit of cost is charged `money`, each contact of an action is charged its
`slots` price, and each contact of a group with a minimum is paid that group's `shares` price. Every customer then takes
the option that is worth most to them at these prices, or none. For any prices of 0 or more, the total worth of these
choices plus the value of the limits at these prices is an upper bound on the gain of every plan within the limits (weak
duality). The prices with the lowest bound are found by cutting planes within a trust region that grows and shrinks
(Linderoth and Wright 2003), first for a sample of the customers, then for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

BLOCK_SIZE = 16_384  # customers evaluated together, so that they stay in the processor's cache
FIRST_SAMPLE = 20_000  # customers in the first sample; each next sample is ten times as large
TOLERANCE, CURVE_TOLERANCE = 1e-7, 1e-6  # as a share of the bound: a search stops here; for one of many budgets, here
MAX_STEPS, MAX_PLANES = 150, 300  # evaluations for one set of limits; cutting planes that are kept
BUDGET_SLACK = 1e-9  # as a share of the budget: excess that rounding of sums may cause
FIRST_BOX, WARM_BOX, WIDEST_BOX = 1.0, 0.05, 1e6  # in units of the mean gain: without and with prices to start from


@dataclass(frozen=True)
class AllocationProblem:
    """The customers, the actions that each may get, and the limits.

    Attributes:
        gains: (n, a) gain of each action for each customer; -inf where it is not allowed.
        costs: (n, a) cost of each action, 0 or more.
        budget: Upper limit of the total cost; inf: no limit.
        capacities: (a,) upper limit of the customers with each action; inf: no limit.
        groups: (n,) the group of each customer, from 0.
        minimums: (g,) lower limit of the customers of each group with any action.
        holdout: (n,) customers who are assigned an action like the others, but use none of the limits.
    """

    gains: np.ndarray
    costs: np.ndarray
    budget: float
    capacities: np.ndarray
    groups: np.ndarray
    minimums: np.ndarray
    holdout: np.ndarray

    @property
    def no_action(self) -> int:
        """The choice that stands for no action."""
        return self.gains.shape[1]

    @property
    def limits(self) -> np.ndarray:
        """(1 + a + g,) budget, capacities and negated minimums, so that resource use <= limits."""
        return np.concatenate([[self.budget], self.capacities, -self.minimums.astype(float)])

    def without_holdout(self) -> AllocationProblem:
        """The problem of the customers who use the limits."""
        return self.subset(np.flatnonzero(~self.holdout)) if self.holdout.any() else self

    def subset(self, rows: np.ndarray) -> AllocationProblem:
        """The problem of some of the customers, with the same limits."""
        same = self.costs.strides[0] == 0  # one row of costs, repeated for all customers
        costs = self.costs[: len(rows)] if same else np.asfortranarray(self.costs[rows])
        parts = {"groups": self.groups[rows], "holdout": self.holdout[rows]}
        return replace(self, gains=np.asfortranarray(self.gains[rows]), costs=costs, **parts)

    def resource_use(self, choice: np.ndarray) -> np.ndarray:
        """(1 + a + g,) what a choice (n,) uses without the holdout: cost, customers by action, minus those by group."""
        rows = np.flatnonzero((choice < self.no_action) & ~self.holdout)
        cost = self.costs[rows, choice[rows]].sum()
        by_action = np.bincount(choice[rows], minlength=self.no_action)
        by_group = np.bincount(self.groups[rows], minlength=len(self.minimums))
        return np.concatenate([[cost], by_action, -by_group])

    def total_gain(self, choice: np.ndarray) -> float:
        """The total gain of a choice (n,), without the holdout."""
        rows = np.flatnonzero((choice < self.no_action) & ~self.holdout)
        return float(self.gains[rows, choice[rows]].sum())

    def priced_gains(self, prices: np.ndarray) -> np.ndarray:
        """(n, a) the gain of each option after the prices (1 + a + g,) of what it uses."""
        money, slots, shares = self.split_prices(prices)
        worth = np.empty(self.gains.shape, order="F")
        paid = shares[self.groups] if shares.any() else 0.0
        for j in range(self.no_action):
            worth[:, j] = self.gains[:, j] - money * self.costs[:, j] - slots[j] + paid
        return worth

    def split_prices(self, prices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Prices (1 + a + g,) as the price of money, of a contact by each action (a,), and of each minimum (g,)."""
        return float(prices[0]), prices[1 : 1 + self.no_action], prices[1 + self.no_action :]


@dataclass(frozen=True)
class CuttingPlanes:
    """Planes, given by heights (k,) and slopes (k, 1 + a + g), below the customers' total worth as prices change.

    They hold whatever the limits are.
    """

    heights: np.ndarray
    slopes: np.ndarray

    def with_plane(self, height: float, slope: np.ndarray) -> CuttingPlanes:
        """The planes with one more; the oldest is dropped above MAX_PLANES."""
        heights, slopes = np.append(self.heights, height), np.vstack([self.slopes, slope])
        return CuttingPlanes(heights[-MAX_PLANES:], slopes[-MAX_PLANES:])


@dataclass(frozen=True)
class DualSolution:
    """Prices, the bound that they prove, and the cutting planes, which the next search can reuse.

    Attributes:
        prices: (1 + a + g,) of money, of a contact by each action, and of one customer of each group's minimum.
        bound: No plan within the limits gains more.
        cuts: The planes found so far, for the same customers under any limits.
    """

    prices: np.ndarray
    bound: float
    cuts: CuttingPlanes


def solve_dual(problem: AllocationProblem, start: DualSolution | None = None) -> DualSolution:
    """Finds the lowest bound on the gain, and its prices.

    Args:
        problem: The customers and limits; the holdout is ignored.
        start: The solution for the same customers under other limits.

    >>> gains, costs = np.array([[5.0], [4.0], [1.0]]), np.ones((3, 1))
    >>> none = np.zeros(3, int)
    >>> problem = AllocationProblem(gains, costs, 2.0, np.array([np.inf]), none, np.zeros(1, int), none > 0)
    >>> solution = solve_dual(problem)
    >>> round(solution.bound, 5), bool(1 <= solution.prices[0] <= 4)
    (9.0, True)
    """
    takers = problem.without_holdout()
    if start is not None:
        return _descend(takers, takers.limits, start, WARM_BOX, CURVE_TOLERANCE)
    solution, n = _trivial_solution(takers), len(takers.gains)
    for size in _sample_sizes(n):
        rows = np.arange(size) * n // size
        sample = takers.subset(rows) if size < n else replace(takers, gains=np.asfortranarray(takers.gains))
        box = FIRST_BOX if not solution.prices.any() else WARM_BOX
        limits = takers.limits * (size / max(n, 1))
        solution = _descend(sample, limits, replace(solution, cuts=_no_planes(takers)), box)
    return solution


def _sample_sizes(n: int) -> Iterator[int]:
    """Growing sample sizes, with all customers as the last."""
    size = FIRST_SAMPLE
    while size < n / 2:
        yield size
        size *= 10
    yield n


def _no_planes(problem: AllocationProblem) -> CuttingPlanes:
    return CuttingPlanes(np.empty(0), np.empty((0, len(problem.limits))))


def _trivial_solution(problem: AllocationProblem) -> DualSolution:
    """Prices of 0, which prove no bound yet."""
    return DualSolution(np.zeros(len(problem.limits)), np.inf, _no_planes(problem))


def _descend(
    problem: AllocationProblem, limits: np.ndarray, start: DualSolution, box: float, tolerance: float = TOLERANCE
) -> DualSolution:
    """Lowers the bound from the prices of `start`; `box` is how far prices may move in one step."""
    unit, scarce = _price_units(problem), np.isfinite(limits)
    best, cuts = start.prices, start.cuts
    height, slope = _total_worth(problem, best)
    cuts = cuts.with_plane(height - slope @ best, slope)
    bound = height + limits[scarce] @ best[scarce]
    if not scarce.any():
        return DualSolution(best, bound, cuts)
    for _ in range(MAX_STEPS):
        prices, lowest = _lowest_point(cuts, limits, scarce, best, box * unit)
        expected = bound - lowest
        if expected <= tolerance * max(abs(bound), 1e-300):
            break
        height, slope = _total_worth(problem, prices)
        cuts = cuts.with_plane(height - slope @ prices, slope)
        value = height + limits[scarce] @ prices[scarce]
        at_edge = bool((np.abs(prices - best)[scarce] >= 0.999 * box * unit[scarce]).any())
        gain = (bound - value) / expected
        if gain > 0:
            best, bound = prices, value
        box = _next_box(box, gain, at_edge)
    return DualSolution(best, float(bound), cuts)


def _next_box(box: float, gain: float, at_edge: bool) -> float:
    """Enlarges the box where the planes predicted well and the box was in the way; shrinks it where they did not."""
    if gain >= 0.5:
        return min(box * 3, WIDEST_BOX) if at_edge else box
    return box if gain > -0.5 else box / min(max(-gain, 1.5), 4)


def _price_units(problem: AllocationProblem) -> np.ndarray:
    """(1 + a + g,) price steps that matter: the mean positive gain, per mean cost for money and per contact else."""
    best = problem.gains.max(axis=1, initial=0)
    gain = float(best[best > 0].mean()) if (best > 0).any() else 0.0
    cost = float(problem.costs.mean()) if problem.costs.size else 0.0
    gain = gain or cost or 1.0
    return np.concatenate([[gain / (cost or 1.0)], np.full(problem.no_action + len(problem.minimums), gain)])


def _lowest_point(
    cuts: CuttingPlanes, limits: np.ndarray, scarce: np.ndarray, centre: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, float]:
    """The prices in the box where planes plus the value of the limits are lowest, and that value.

    The linear program is scaled, which keeps the solver stable.
    """
    unit = reach[scarce]
    slopes, worth = cuts.slopes[:, scarce] * unit, limits[scarce] * unit
    scale = max(float(np.abs(part).max()) for part in (cuts.heights, slopes, worth)) or 1.0
    middle = centre[scarce] / unit
    solution = linprog(
        np.append(worth / scale, 1.0),
        A_ub=np.column_stack([slopes / scale, -np.ones(len(slopes))]),
        b_ub=-cuts.heights / scale,
        bounds=[*((max(m - 1, 0), m + 1) for m in middle), (None, None)],
        method="highs",
    )
    if solution.x is None:
        return centre, np.inf  # no lower point is known: the bound stays
    prices = centre.copy()
    prices[scarce] = np.maximum(solution.x[:-1], 0) * unit
    return prices, float(solution.fun) * scale


def _total_worth(problem: AllocationProblem, prices: np.ndarray) -> tuple[float, np.ndarray]:
    """The customers' total worth at given prices, and its slope in the prices: minus what they use."""
    money, slots, shares = problem.split_prices(prices)
    a, groups_paid = problem.no_action, bool(shares.any())
    total, choice = 0.0, np.empty(len(problem.gains), np.intp)
    for first in range(0, len(problem.gains), BLOCK_SIZE):
        rows = slice(first, first + BLOCK_SIZE)
        best, chosen = np.zeros(len(problem.groups[rows])), choice[rows]
        chosen[:] = a
        paid = shares[problem.groups[rows]] if groups_paid else 0.0
        for j in range(a):
            worth = problem.gains[rows, j] - (money * problem.costs[rows, j] + slots[j])
            worth += paid
            better = worth > best
            np.copyto(best, worth, where=better)
            chosen[better] = j
        total += float(best.sum())
    return total, -problem.resource_use(choice)
