"""The definition of a feature, and small expressions to build features from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis

from features.money import TICKS
from features.phrases import Row, format_reading
from features.task import Window

MONTH = 30  # days

Compute = Callable[[ibis.Table], ibis.Value]


@dataclass(frozen=True)
class Feature:
    """One column of a snapshot.

    Attributes:
        name: The column, such as 'orders_count_90d'.
        compute: From the table of merged measures to the feature's value.
        family: Features of one family say nearly the same; a reason is the net contribution of a family.
        phrase: What the feature is, for a marketer: 'orders in the last 90 days'.
        reading: Template for a customer's value as text; `{value:…}` is this feature, other names are other features.
        unread: The text for a customer whose value is null; empty: the value is never null.
        at_zero: The template for the value 0, if it reads better than the number.
        unit: 'orders', 'days', 'money', 'share', 'ratio', 'count', or 'level' (a category as text; all others are
            numbers).
        window: The window, or None for the whole past.
        actionable: Whether the business can influence it.
        formula: How it is computed, for the docs, if the phrase does not say it exactly.
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
    formula: str = ""

    @property
    def dtype(self) -> str:
        """The data type of its column."""
        return "string" if self.unit == "level" else "float64"

    def format_reading(self, row: Row) -> str:
        """Format a customer's value, such as 'last order 74 days ago, usually every 12 days'."""
        return format_reading(row[self.name], row, self.reading, self.unread, self.at_zero)


def measure_value(name: str) -> Compute:
    """Return the value of a measure."""
    return lambda m: m[name]


def measure_ratio(above: str, below: str) -> Compute:
    """Divide one measure by another; null if the divisor is 0."""
    return lambda m: m[above] / m[below].nullif(0)


def count_or_zero(name: str) -> Compute:
    """Return a count, with 0 if it is null."""
    return lambda m: m[name].fill_null(0)


def monthly_rate(count: str, since: str) -> Compute:
    """Divide a count by the months since its first day, at least one month; null if there is no first day.

    Args:
        count: The measure of the count.
        since: The measure of the days since the first one.
    """
    return lambda m: m[count] * MONTH / (m[since] < MONTH).ifelse(MONTH, m[since])


def money(ticks: ibis.Value) -> ibis.Value:
    """Convert ticks to money."""
    return ticks / TICKS


def spread(n: ibis.Value, total: ibis.Value, squares: ibis.Value) -> ibis.Value:
    """Compute the coefficient of variation: the sample standard deviation divided by the mean.

    Args:
        n: The number of values.
        total: Their sum.
        squares: The sum of their squares.

    Returns:
        The coefficient; null for fewer than two values.
    """
    mean = total / n
    variance = (squares.cast("float64") - total * mean) / (n - 1).nullif(0)
    return clipped_sqrt(variance) / mean


def clipped_sqrt(variance: ibis.Value) -> ibis.Value:
    """Return the square root of a variance; values slightly below 0 from rounding count as 0; null stays null."""
    return (variance < 0).ifelse(0.0, variance).sqrt()


def daily_rate(m: ibis.Table, column: str, w: Window) -> ibis.Value:
    """Divide a sum over a window by days: those of the window, or fewer if the customer is newer.

    Args:
        m: The table of merged measures, with the customer's tenure in days.
        column: The prefix of the sum's column.
        w: The window.

    Returns:
        The sum per day.
    """
    return m[f"{column}_{w}"] / ibis.least(m.tenure, w.days)
