"""Axes: round ticks, grid lines with labels, and places of numbers and days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from serving.charts.svg import COLUMN, LINE, WIDTH, text
from serving.charts.text_layout import text_width

TICKS, TOP, RIGHT = 4, 12.0, 14.0
Format = Callable[[float], str]


@dataclass(frozen=True)
class Plot:
    """The inside of a chart.

    Attributes:
        left, right: Its ends across.
        top, base: Its ends from above; the base has the lowest tick.
        low, high: The numbers at base and top.
    """

    left: float
    right: float
    top: float
    base: float
    low: float
    high: float

    def down(self, value: float) -> float:
        """Place a number on the vertical axis."""
        return self.base - (self.base - self.top) * (value - self.low) / ((self.high - self.low) or 1.0)


def format_tick(number: float) -> str:
    """Format a round number of an axis.

    >>> format_tick(2500.0), format_tick(0.5), format_tick(-0.0)
    ('2,500', '0.5', '0')
    """
    return f"{number + 0.0:,.10g}".replace("-", "−")


def axis_ticks(low: float, high: float, wanted: int = TICKS) -> list[float]:
    """Choose round numbers for an axis.

    Args:
        low: The axis starts at or below it.
        high: The axis ends at or above it.
        wanted: About how many.

    Returns:
        The ticks, ascending and evenly spaced.

    >>> axis_ticks(0, 0.43), axis_ticks(0, 1234)
    ([0.0, 0.2, 0.4, 0.6], [0.0, 500.0, 1000.0, 1500.0])
    """
    span = (high - low) or abs(high) or 1.0
    rough = span / max(wanted - 1, 1)
    unit = 10.0 ** np.floor(np.log10(rough))
    step = float(next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [round(float(place * step), 10) + 0.0 for place in np.arange(first, last + 1)]


def vertical_axis(
    values: Sequence[float], format_value: Format, top: float, tall: float, wanted: int = TICKS
) -> tuple[Plot, list[str]]:  # fmt: skip
    """Lay out a plot with grid lines and their labels on the left; zero is always inside.

    Args:
        values: What the axis spans.
        format_value: Formats a tick.
        top: Upper end of the plot.
        tall: Its height.
        wanted: About how many ticks.

    Returns:
        The plot, and its SVG elements.
    """
    ticks = axis_ticks(min([*values, 0.0]), max([*values, 0.0]), wanted)
    labels = [format_value(tick) for tick in ticks]
    left = COLUMN * max(map(text_width, labels)) + 13
    high = ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1
    plot = Plot(left, WIDTH - RIGHT, top, top + tall, ticks[0], high)
    parts = []
    for tick, label in zip(ticks, labels, strict=True):
        parts.append(f'<path class="grid" d="M{left:.1f} {plot.down(tick):.1f}H{plot.right:.1f}"/>')
        parts.append(text(left - 8, plot.down(tick) + 5, label, "tick", "end"))
    return plot, parts


def labels_below(plot: Plot, places: Sequence[float], labels: Sequence[str]) -> list[str]:
    """Write labels below a plot, as many as fit: every label, or every second, and so on, the last one always.

    Args:
        plot: The plot.
        places: (n,) where each label belongs, evenly spaced.
        labels: (n,) the labels.

    Returns:
        SVG elements.
    """
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else WIDTH
    widest = COLUMN * max(map(text_width, labels)) + 8
    every = max(int(np.ceil(widest / max(step, 1e-9) - 1e-9)), 1)
    last = len(labels) - 1
    parts = []
    for number in range(last % every, last + 1, every):
        room = COLUMN * text_width(labels[number]) / 2
        x = min(max(places[number], room), WIDTH - 4 - room)
        parts.append(text(x, plot.base + LINE, labels[number], "tick", "middle"))
    return parts


def axis_title(plot: Plot, title: str) -> tuple[list[str], float]:
    """Write the title of the horizontal axis, if it has one.

    Args:
        plot: The plot.
        title: The title, or empty.

    Returns:
        SVG elements, and the height of the chart with it.
    """
    if not title:
        return [], plot.base + LINE + 8
    middle = (plot.left + plot.right) / 2
    room = COLUMN * text_width(title) / 2
    middle = min(max(middle, room), max(WIDTH - room, WIDTH / 2))
    return [text(middle, plot.base + 2 * LINE + 2, title, "", "middle")], plot.base + 2 * LINE + 10


def place_days(days: Sequence[date], plot: Plot) -> Callable[[date], float]:
    """Place days across a plot; a single day is in the middle."""
    first, span = days[0], (days[-1] - days[0]).days
    left, inner = plot.left + 10, plot.right - plot.left - 20
    return lambda day: left + (inner * (day - first).days / span if span else inner / 2)
