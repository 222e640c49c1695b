"""Prices of what is scarce: the Lagrangian dual of handing out actions, and the bound that it proves.

Whoever pays `money` for each unit of cost and `slots` for each contact of an action, and is paid `shares` for each
contact of a group that must have some, needs no other rule: every customer takes what is left best for them, or
nothing. For any prices of 0 or more, what all of them then have together, plus what the resources are worth at these
prices, is at least what any plan within the limits gains (weak duality). The lowest such bound is found by cutting
planes within a box that grows and shrinks (Linderoth and Wright 2003), first for a sample of the customers, then for
all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

BLOCK_SIZE = 16_384  # customers looked at together, so that they stay in the processor's cache
FIRST_SAMPLE = 20_000  # customers of the first look; each next one has ten times as many
TOLERANCE, CURVE_TOLERANCE = 1e-7, 1e-6  # of the bound: where a search ends, and where one of many does
MAX_STEPS, MAX_PLANES = 150, 300  # evaluations for one set of limits; cutting planes kept
BUDGET_SLACK = 1e-9  # of the budget: what rounding of sums may exceed
FIRST_BOX, WARM_BOX, WIDEST_BOX = 1.0, 0.05, 1e6  # in units of the mean gain: without and with prices to start from


@dataclass(frozen=True)
class AllocationProblem:
    """What may be done to each customer, and the limits.

    Attributes:
        gains: (n, a) what each action gains; -inf where it may not be done.
        costs: (n, a) what each costs, 0 or more.
        budget: Most cost of all together; inf: no limit.
        capacities: (a,) most customers with each action; inf: no limit.
        groups: (n,) the group of each customer, from 0.
        minimums: (g,) fewest customers of each group with any action.
        holdout: (n,) customers who are treated like the others but take nothing from any limit: the holdout.
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
        """(1 + a + g,) budget, capacities and minimums, the last negative: used <= limits."""
        return np.concatenate([[self.budget], self.capacities, -self.minimums.astype(float)])

    def without_holdout(self) -> AllocationProblem:
        """Those who take from the limits, without the shadows."""
        return self.subset(np.flatnonzero(~self.holdout)) if self.holdout.any() else self

    def subset(self, rows: np.ndarray) -> AllocationProblem:
        """Some of the customers, under the same limits."""
        same = self.costs.strides[0] == 0  # one row of costs that stands for all
        costs = self.costs[: len(rows)] if same else np.asfortranarray(self.costs[rows])
        parts = {"groups": self.groups[rows], "holdout": self.holdout[rows]}
        return replace(self, gains=np.asfortranarray(self.gains[rows]), costs=costs, **parts)

    def resource_use(self, choice: np.ndarray) -> np.ndarray:
        """(1 + a + g,) what a choice (n,) of those who take uses: cost, customers by action, minus those by group."""
        rows = np.flatnonzero((choice < self.no_action) & ~self.holdout)
        cost = self.costs[rows, choice[rows]].sum()
        by_action = np.bincount(choice[rows], minlength=self.no_action)
        by_group = np.bincount(self.groups[rows], minlength=len(self.minimums))
        return np.concatenate([[cost], by_action, -by_group])

    def total_gain(self, choice: np.ndarray) -> float:
        """What a choice (n,) gains of those who take."""
        rows = np.flatnonzero((choice < self.no_action) & ~self.holdout)
        return float(self.gains[rows, choice[rows]].sum())

    def priced_gains(self, prices: np.ndarray) -> np.ndarray:
        """(n, a) what each option is worth at some prices (1 + a + g,)."""
        money, slots, shares = self.split_prices(prices)
        worth = np.empty(self.gains.shape, order="F")
        paid = shares[self.groups] if shares.any() else 0.0
        for j in range(self.no_action):
            worth[:, j] = self.gains[:, j] - money * self.costs[:, j] - slots[j] + paid
        return worth

    def split_prices(self, prices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Prices (1 + a + g,) as those of money, of a contact by each action (a,), and of each group's shares (g,)."""
        return float(prices[0]), prices[1 : 1 + self.no_action], prices[1 + self.no_action :]


@dataclass(frozen=True)
class CuttingPlanes:
    """Planes (k,) and (k, 1 + a + g) below what the customers have at given prices, whatever the limits are."""

    heights: np.ndarray
    slopes: np.ndarray

    def with_plane(self, height: float, slope: np.ndarray) -> CuttingPlanes:
        """One plane more; the oldest goes where there are too many."""
        heights, slopes = np.append(self.heights, height), np.vstack([self.slopes, slope])
        return CuttingPlanes(heights[-MAX_PLANES:], slopes[-MAX_PLANES:])


@dataclass(frozen=True)
class DualSolution:
    """Prices, the bound that they prove, and the cutting planes for a next search among the same customers.

    Attributes:
        prices: (1 + a + g,) of money, of a contact by each action, and of one customer of each group's minimum.
        bound: No plan within the limits gains more.
    """

    prices: np.ndarray
    bound: float
    cuts: CuttingPlanes


def solve_dual(options: AllocationProblem, start: DualSolution | None = None) -> DualSolution:
    """The lowest bound and its prices.

    Args:
        options: Those who take; shadows are not looked at.
        start: The result for the same customers under other limits.

    >>> gains, costs = np.array([[5.0], [4.0], [1.0]]), np.ones((3, 1))
    >>> none = np.zeros(3, int)
    >>> found = dual(Options(gains, costs, 2.0, np.array([np.inf]), none, np.zeros(1, int), none > 0))
    >>> round(found.bound, 5), bool(1 <= found.prices[0] <= 4)
    (9.0, True)
    """
    takers = options.without_holdout()
    if start is not None:
        return _descend(takers, takers.limits, start, WARM_BOX, CURVE_TOLERANCE)
    found, n = _nothing_known(takers), len(takers.gains)
    for size in _sizes(n):
        rows = np.arange(size) * n // size
        some = takers.subset(rows) if size < n else replace(takers, gains=np.asfortranarray(takers.gains))
        box = FIRST_BOX if not found.prices.any() else WARM_BOX
        found = _descend(some, takers.limits * (size / max(n, 1)), replace(found, cuts=_no_cuts(takers)), box)
    return found


def _sizes(n: int) -> Iterator[int]:
    size = FIRST_SAMPLE
    while size < n / 2:
        yield size
        size *= 10
    yield n


def _no_cuts(options: AllocationProblem) -> CuttingPlanes:
    return CuttingPlanes(np.empty(0), np.empty((0, len(options.limits))))


def _nothing_known(options: AllocationProblem) -> DualSolution:
    return DualSolution(np.zeros(len(options.limits)), np.inf, _no_cuts(options))


def _descend(
    options: AllocationProblem, limits: np.ndarray, start: DualSolution, box: float, tolerance: float = TOLERANCE
) -> DualSolution:
    """Lowers the bound from where `start` stands; `box` is how far prices may move at once."""
    unit, scarce = _units(options), np.isfinite(limits)
    best, cuts = start.prices, start.cuts
    height, slope = _at(options, best)
    cuts = cuts.with_plane(height - slope @ best, slope)
    bound = height + limits[scarce] @ best[scarce]
    if not scarce.any():
        return DualSolution(best, bound, cuts)
    for _ in range(MAX_STEPS):
        prices, below = _lowest(cuts, limits, scarce, best, box * unit)
        hoped = bound - below
        if hoped <= tolerance * max(abs(bound), 1e-300):
            break
        height, slope = _at(options, prices)
        cuts = cuts.with_plane(height - slope @ prices, slope)
        value = height + limits[scarce] @ prices[scarce]
        at_edge = bool((np.abs(prices - best)[scarce] >= 0.999 * box * unit[scarce]).any())
        gain = (bound - value) / hoped
        if gain > 0:
            best, bound = prices, value
        box = _next_box(box, gain, at_edge)
    return DualSolution(best, float(bound), cuts)


def _next_box(box: float, gain: float, at_edge: bool) -> float:
    """Larger where the planes foresaw well and the box stood in the way, smaller where they did not."""
    if gain >= 0.5:
        return min(box * 3, WIDEST_BOX) if at_edge else box
    return box if gain > -0.5 else box / min(max(-gain, 1.5), 4)


def _units(options: AllocationProblem) -> np.ndarray:
    """(1 + a + g,) steps of prices that matter: the mean gain of who gains, for a mean cost and for a contact."""
    best = options.gains.max(axis=1, initial=0)
    gain = float(best[best > 0].mean()) if (best > 0).any() else 0.0
    cost = float(options.costs.mean()) if options.costs.size else 0.0
    gain = gain or cost or 1.0
    return np.concatenate([[gain / (cost or 1.0)], np.full(options.no_action + len(options.minimums), gain)])


def _lowest(
    cuts: CuttingPlanes, limits: np.ndarray, scarce: np.ndarray, centre: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, float]:
    """The lowest point of the planes and the limits' worth within a box, in scaled numbers for the solver's sake."""
    unit = reach[scarce]
    slopes, worth = cuts.slopes[:, scarce] * unit, limits[scarce] * unit
    scale = max(float(np.abs(part).max()) for part in (cuts.heights, slopes, worth)) or 1.0
    at = centre[scarce] / unit
    planes = np.column_stack([slopes / scale, -np.ones(len(slopes))])
    sides = [(max(a - 1, 0), a + 1) for a in at]
    found = linprog(
        np.append(worth / scale, 1.0),
        A_ub=planes,
        b_ub=-cuts.heights / scale,
        bounds=[*sides, (None, None)],
        method="highs",
    )
    if found.x is None:
        return centre, np.inf  # nothing to hope for: the bound stays as it is
    prices = centre.copy()
    prices[scarce] = np.maximum(found.x[:-1], 0) * unit
    return prices, float(found.fun) * scale


def _at(options: AllocationProblem, prices: np.ndarray) -> tuple[float, np.ndarray]:
    """What the customers have at given prices, and how it changes with them: minus what they use."""
    money, slots, shares = options.split_prices(prices)
    a, paid_groups = options.no_action, bool(shares.any())
    total, choice = 0.0, np.empty(len(options.gains), np.intp)
    for first in range(0, len(options.gains), BLOCK_SIZE):
        rows = slice(first, first + BLOCK_SIZE)
        best, chosen = np.zeros(len(options.groups[rows])), choice[rows]
        chosen[:] = a
        paid = shares[options.groups[rows]] if paid_groups else 0.0
        for j in range(a):
            worth = options.gains[rows, j] - (money * options.costs[rows, j] + slots[j])
            worth += paid
            better = worth > best
            np.copyto(best, worth, where=better)
            chosen[better] = j
        total += float(best.sum())
    return total, -options.resource_use(choice)
