"""What a customer spends after the horizon of value: over years, and to the end of the customer's life.

A fitted model of buying and leaving says how the expected spend grows beyond the horizon, as a multiple of the spend
within it. It travels as a table by the customer's purchases and age, so that any such model can be read without its
code. Growth is never below 0, so value never falls with the horizon, and the parts add up to the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .spread import Spread, read_spread

YEAR = 365.0
FARTHEST = 10.0  # the prior's expected spend counts as at most so many times the value, and at least as its inverse
NEVER = 1e-12


@dataclass(frozen=True)
class LifetimeHorizon:
    """A reported horizon of lifetime value.

    Attributes:
        column: Its column, such as 'value_24m', or 'lifetime_value'.
        days: Its length; a whole life ends with the last period.
        spread: Distribution behind the intervals.
    """

    column: str
    days: int
    spread: Spread


@dataclass(frozen=True)
class Lifetime:
    """The expected spend beyond the horizon of value.

    Attributes:
        horizon: Days of the value.
        window: Days of history that count.
        days: Ends of the periods after the horizon (d,), ascending.
        purchases: Repeat purchases (p,) of the table, ascending.
        ages: Days since the first purchase (a,) of the table, ascending, above 0.
        growth: Spend from the horizon to the end of each period (p, a, d), as a multiple of the spend within it.
        anchor: Weight of the value against the prior's expected spend, in the geometric mean that growth multiplies.
        horizons: The reported ones, ascending.
        discount: Discount rate a year, for what comes after the horizon.
        reach: Days after a cutoff that labels reach; beyond, it rests on the assumption that customers leave as before.
        margin: Profit as a share of spend; None: profit is not reported.
    """

    horizon: int
    window: int
    days: tuple[int, ...]
    purchases: tuple[float, ...]
    ages: tuple[float, ...]
    growth: tuple[tuple[tuple[float, ...], ...], ...]
    anchor: float
    horizons: tuple[LifetimeHorizon, ...]
    discount: float
    reach: int
    margin: float | None = None

    def predict(self, X: pa.Table, values: Mapping[int, np.ndarray]) -> dict[str, np.ndarray]:
        """Lifetime value with its intervals by column, and profit where the margin is known.

        Args:
            X: The model's inputs (n rows).
            values: Expected value (n,) over the horizon and over each labelled longer one, by days.

        Returns:
            Columns (n,) by name, such as value_24m, value_24m_low and value_24m_high.
        """
        columns: dict[str, np.ndarray] = {}
        worth = self.values_by_day(X, values)
        low = high = np.zeros(X.num_rows)
        for horizon in self.horizons:
            value = worth[horizon.days]
            below, above = horizon.spread.interval(np.ones_like(value), value)
            low, high = np.maximum(low, np.minimum(below, value)), np.maximum(high, above)
            columns |= {horizon.column: value, f"{horizon.column}_low": low, f"{horizon.column}_high": high}
        if self.margin is not None:
            columns |= {profit_column(name): self.margin * column for name, column in columns.items()}
        return columns

    def values_by_day(self, X: pa.Table, values: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Discounted value (n,) over the horizon and up to the end of each period, by days."""
        worth = {self.horizon: values[self.horizon]}
        total = values[self.horizon]
        middles = (np.array((self.horizon, *self.days[:-1])) + np.array(self.days)) / 2
        for day, gain, middle in zip(self.days, self.gains(X, values).T, middles, strict=True):
            total = total + gain / (1 + self.discount) ** (middle / YEAR)
            worth[day] = total
        return worth

    def gains(self, X: pa.Table, values: Mapping[int, np.ndarray]) -> np.ndarray:
        """Expected spend (n, d) in each period, 0 or more; where labels reach, it adds up to the labelled values."""
        base = anchored(values[self.horizon], np.nan_to_num(_column(X, "amount_expected")), self.anchor)
        growth = growth_at(np.array(self.growth), self.purchases, self.ages, *history(X, self.window))
        gains = np.diff(growth, axis=1, prepend=0.0) * base[:, None]
        before = self.horizon
        for day in sorted(day for day in values if day > self.horizon):
            inside = np.array([before < end <= day for end in self.days])
            part = gains[:, inside]
            total, periods = part.sum(axis=1, keepdims=True), max(int(inside.sum()), 1)
            share = np.where(total > NEVER, part / np.maximum(total, NEVER), 1 / periods)
            gains[:, inside] = share * (values[day] - values[before])[:, None]
            before = day
        return gains


def anchored(value: np.ndarray, prior: np.ndarray, anchor: float) -> np.ndarray:
    """The spend that growth multiplies: the geometric mean of the value and of what the prior expects.

    Args:
        value: Expected value (n,).
        prior: What the prior expects (n,); within FARTHEST times the value.
        anchor: Weight of the value, in [0, 1].

    Returns:
        The spend (n,).

    >>> anchored(np.array([4.0, 1.0]), np.array([9.0, 0.0]), 0.5).round(3).tolist()
    [6.0, 0.316]
    """
    return np.asarray(value * np.clip(prior / np.maximum(value, NEVER), 1 / FARTHEST, FARTHEST) ** (1 - anchor))


def profit_column(column: str) -> str:
    """The column of profit that belongs to a column of lifetime value.

    >>> profit_column("value_12m_low"), profit_column("lifetime_value")
    ('profit_12m_low', 'lifetime_profit')
    """
    return column.replace("value", "profit")


def history(X: pa.Table, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat purchases (n,) and days since the first purchase (n,), of the history within a window.

    A purchase is a day with an order. For customers who are older than the window, the first purchase within it is
    taken to lie where it is expected, if purchases are spread evenly. Without one, the last purchase counts alone.

    >>> columns = {"recency_days": [10.0, 100.0, 500.0], "tenure_days": [90.0, 800.0, 900.0]}
    >>> columns |= {"gap_mean_days": [40.0, 70.0, None], "active_days_365d": [3.0, 2.0, 0.0]}
    >>> [x.tolist() for x in history(pa.table(columns), 365)]
    [[2.0, 1.0, 0.0], [90.0, 232.5, 500.0]]
    """
    recency, tenure = (np.nan_to_num(_column(X, name)) for name in ("recency_days", "tenure_days"))
    gap = _column(X, "gap_mean_days")
    whole = np.where(gap > 0, np.rint((tenure - recency) / np.where(gap > 0, gap, 1.0)), 0.0)
    inside = np.maximum(np.nan_to_num(_column(X, f"active_days_{window}d")), 1.0)
    first = np.where(recency > window, recency, recency + (window - recency) * (inside - 1) / inside)
    young = tenure <= window
    return np.where(young, whole, inside - 1), np.where(young, tenure, first)


def read_lifetime(index: dict[str, Any] | None) -> Lifetime | None:
    """A lifetime model from its JSON object; None from None."""
    if index is None:
        return None
    growth = tuple(tuple(tuple(row) for row in block) for block in index["growth"])
    horizons = tuple(_read_horizon(horizon) for horizon in index["horizons"])
    listed = {name: tuple(index[name]) for name in ("days", "purchases", "ages")}
    return Lifetime(**{**index, **listed, "growth": growth, "horizons": horizons})


def growth_at(
    table: np.ndarray, purchases: Sequence[float], ages: Sequence[float], bought: np.ndarray, age: np.ndarray
) -> np.ndarray:
    """A table of growth at customers' histories, interpolated; beyond its ends it counts as at the ends.

    Args:
        table: Growth (p, a, d).
        purchases: Repeat purchases (p,) of the table.
        ages: Days since the first purchase (a,) of the table.
        bought: Repeat purchases of customers (n,).
        age: Days since their first purchase (n,).

    Returns:
        Growth (n, d).

    >>> table = np.array([[[1.0], [3.0]], [[2.0], [4.0]]])
    >>> growth_at(table, (0.0, 3.0), (10.0, 1000.0), np.array([1.0, 9.0]), np.array([100.0, 5.0])).tolist()
    [[2.5], [2.0]]
    """
    left, share = _place(np.log1p(bought), np.log1p(np.array(purchases)))
    below, part = _place(np.log(np.maximum(age, 1.0)), np.log(np.array(ages)))
    right, above = np.minimum(left + 1, len(purchases) - 1), np.minimum(below + 1, len(ages) - 1)
    share, part = share[:, None], part[:, None]
    first = (1 - part) * table[left, below] + part * table[left, above]
    second = (1 - part) * table[right, below] + part * table[right, above]
    return np.asarray((1 - share) * first + share * second)


def _read_horizon(index: dict[str, Any]) -> LifetimeHorizon:
    spread = read_spread(index["spread"])
    if spread is None:
        raise ValueError(f"{index['column']} has no spread")
    return LifetimeHorizon(index["column"], index["days"], spread)


def _column(X: pa.Table, name: str) -> np.ndarray:
    """A column as floats, NaN where null or missing."""
    if name not in X.column_names:
        return np.full(X.num_rows, np.nan)
    return X[name].to_numpy().astype(np.float64)


def _place(values: np.ndarray, knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knot at or below each value (n,), and how far it lies towards the next one, from 0 to 1."""
    place = np.interp(values, knots, np.arange(len(knots)))
    left = np.minimum(place.astype(int), max(len(knots) - 2, 0))
    return left, place - left
