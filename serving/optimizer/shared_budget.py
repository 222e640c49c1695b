"""One price of money for several campaigns: each gets money as long as its next unit brings more than that price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]  # a budget and the gain at it


@dataclass(frozen=True)
class SharedBudget:
    """How money is shared by several campaigns.

    Attributes:
        budgets: The money of each campaign.
        gains: Its gain, by its curve.
        price: What the next unit of money brings, the same for all; 0 if there is money left.
    """

    budgets: Mapping[str, float]
    gains: Mapping[str, float]
    price: float

    @property
    def gain(self) -> float:
        """The gain of all campaigns together."""
        return sum(self.gains.values())


def share_budget(curves: Mapping[str, Sequence[Point]], money: float) -> SharedBudget:
    """Share money by several campaigns so that their total gain is highest.

    Args:
        curves: Points of each campaign's gain against budget; (0, 0) is added, and between points gain is a line.
        money: The money in all.

    Returns:
        The money of each campaign.

    >>> shared = share_budget({"a": [(10, 30), (20, 40)], "b": [(10, 20), (20, 38)]}, 30)
    >>> dict(shared.budgets), shared.gain, shared.price
    ({'a': 10.0, 'b': 20.0}, 68.0, 1.0)
    """
    budgets, gains = (dict.fromkeys(curves, 0.0) for _ in range(2))
    pieces = [(slope, name, width) for name, points in curves.items() for slope, width in _pieces(points)]
    price, left = 0.0, money
    for slope, name, width in sorted(pieces, key=lambda piece: (-piece[0], piece[1])):
        if left <= 0 or slope <= 0:
            price = max(slope, 0.0)
            break
        taken = min(width, left)
        budgets[name] += taken
        gains[name] += slope * taken
        left -= taken
        if taken < width:
            price = slope
            break
    return SharedBudget(budgets, gains, price)


def gain_at(points: Sequence[Point], budget: float) -> float:
    """The gain of a campaign at a budget, by the concave hull of its curve."""
    gain, left = 0.0, budget
    for slope, width in _pieces(points):
        gain += slope * min(width, left)
        left -= min(width, left)
    return gain


def _pieces(points: Sequence[Point]) -> list[tuple[float, float]]:
    """The pieces (slope, width) of the upper concave hull of a curve through (0, 0), steepest first."""
    hull: list[Point] = [(0, 0)]
    for budget, gain in sorted(points):
        if budget <= hull[-1][0]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], (budget, gain)):
            hull.pop()
        hull.append((budget, gain))
    return [(_slope(low, high), high[0] - low[0]) for low, high in zip(hull[:-1], hull[1:], strict=True)]


def _slope(low: Point, high: Point) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])
