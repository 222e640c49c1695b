"""What a feature is, and the small expressions that features are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis

from features.money import TICKS
from features.phrases import Row, format_reading
from features.task import Window

Compute = Callable[[ibis.Table], ibis.Value]


@dataclass(frozen=True)
class Feature:
    """One column of a snapshot.

    Attributes:
        name: The column, such as 'orders_count_90d'.
        compute: From the table of merged measures to the feature's value.
        family: Features of one family say nearly the same; a customer is given one reason of each.
        phrase: What it is, for a marketer: 'orders in the last 90 days'.
        reading: The customer's own value in words; `{value:…}` is this feature, other names are other features.
        unread: When the value is null, in words that are said of a customer then; empty: it never is.
        at_zero: What is said of 0, where that reads better than the number.
        unit: 'orders', 'days', 'money', 'share', 'ratio', 'count', or 'level' (text: the only unit that is no number).
        window: The window, or None for the whole past.
        actionable: Whether the business can move it.
    """

    name: str
    compute: Compute
    family: str
    phrase: str
    reading: str
    unit: str
    window: Window | None = None
    unread: str = ""
    at_zero: str = ""
    actionable: bool = False

    @property
    def dtype(self) -> str:
        """The type of its column."""
        return "string" if self.unit == "level" else "float64"

    @property
    def null_rule(self) -> str:
        """When its value is null, in words."""
        return f"null: {self.unread}" if self.unread else "never null"

    def format_reading(self, row: Row) -> str:
        """The customer's own reading, such as 'last order 74 days ago, usually every 12 days'."""
        return format_reading(row[self.name], row, self.reading, self.unread, self.at_zero)


def measure_value(name: str) -> Compute:
    """A measure as it is."""
    return lambda m: m[name]


def measure_ratio(above: str, below: str) -> Compute:
    """One measure over another; null where that is 0."""
    return lambda m: m[above] / m[below].nullif(0)


def count_or_zero(name: str) -> Compute:
    """A count that is 0 for customers of whom no kind is known at all."""
    return lambda m: m[name].fill_null(0)


def money(ticks: ibis.Value) -> ibis.Value:
    """Ticks as money."""
    return ticks / TICKS


def spread(n: ibis.Value, total: ibis.Value, squares: ibis.Value) -> ibis.Value:
    """Standard deviation over mean from a count, a sum and a sum of squares; null below two."""
    mean = total / n
    variance = (squares.cast("float64") - total * mean) / (n - 1).nullif(0)
    return clipped_sqrt(variance) / mean


def clipped_sqrt(variance: ibis.Value) -> ibis.Value:
    """The square root of a variance that rounding may have left a hair below 0; null stays null."""
    return (variance < 0).ifelse(0.0, variance).sqrt()


def daily_rate(m: ibis.Table, column: str, w: Window) -> ibis.Value:
    """A windowed sum a day, over the part of the window in which the customer was one."""
    return m[f"{column}_{w}"] / ibis.least(m.tenure, w.days)
