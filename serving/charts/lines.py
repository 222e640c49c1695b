"""Charts of lines: series over days, and curves of one number by another.

A curve may be anything with points: gains, calibration, the gain by budget, and later the response to an action or the
return of a customer over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from serving.charts.axes import TOP, Format, Plot, axis_ticks, axis_title, labels_below, place_days, vertical_axis
from serving.charts.svg import COLUMN, LINE, chart, line_legend, mark, path, point, text
from serving.charts.text_layout import text_width

TALL, PLOT = 150.0, 190.0


@dataclass(frozen=True)
class TimeSeries:
    """A series over days.

    Attributes:
        name: Its name, for legend and tooltips.
        values: (n,) None if not known.
        low, high: (n,) the ends of the values' intervals, or empty.
        hollow: Whether it is drawn dashed, with hollow squares.
        links: (n,) where each point leads to, or empty.
    """

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    hollow: bool = False
    links: Sequence[str] = ()


@dataclass(frozen=True)
class CurvePoint:
    """A point of a curve with its tooltip; `chosen` is drawn as a large square."""

    x: float
    y: float
    tip: str
    chosen: bool = False


@dataclass(frozen=True)
class Curve:
    """A curve with x ascending: 'solid' with dots, 'dashed' with hollow squares, or 'dotted' without points."""

    name: str
    points: Sequence[CurvePoint]
    style: str = "solid"


@dataclass(frozen=True)
class CurveAxis:
    """An axis of a curve: its title, the format of its ticks, and a number that it reaches at least."""

    title: str
    format_value: Format
    reach: float = 0.0


def line_chart(
    alt: str, days: Sequence[date], drawn: Sequence[TimeSeries], format_value: Format, top: float = 0.0
) -> Markup:  # fmt: skip
    """Draw series over days: lines with dots or hollow squares, and intervals where known.

    Args:
        alt: The text alternative.
        days: (n,) the days, ascending.
        drawn: The series, with n values each.
        format_value: Formats a number, on the axis and in tooltips.
        top: The axis reaches at least this value.

    Returns:
        An SVG element.
    """
    values = [v for line in drawn for part in (line.values, line.low, line.high) for v in part if v is not None]
    styles = ["dashed" if line.hollow else "solid" for line in drawn]
    legend, start = line_legend([line.name for line in drawn], styles) if len(drawn) > 1 else ([], TOP - 6)
    plot, parts = vertical_axis([*values, top], format_value, start + 6, TALL)
    across = place_days(days, plot)
    for line, style in zip(drawn, styles, strict=True):
        parts += _series(line, style, days, [across(day) for day in days], plot, format_value)
    shown = _spread_days(days)
    labels = [(across(day), str(day)) for day in shown]
    return chart(alt, plot.base + LINE + 8, [*legend, *parts, *_day_labels(plot, labels)])


def _spread_days(days: Sequence[date]) -> list[date]:
    """Choose days for the labels below: the last one, and every so many before it."""
    every = max(-(-len(days) // 4), 1)
    return [day for number, day in enumerate(days) if (len(days) - 1 - number) % every == 0]


def _day_labels(plot: Plot, labels: Sequence[tuple[float, str]]) -> list[str]:
    """Write days below a plot from the right, leaving out those without room."""
    parts: list[str] = []
    free = plot.right + 40
    for x, label in reversed(labels):
        half = COLUMN * text_width(label) / 2
        x = min(x, plot.right + 12 - half)
        if x + half <= free and x - half >= 0:
            parts.append(text(x, plot.base + LINE, label, "tick", "middle"))
            free = x - half - 8
    return parts


def _series(
    line: TimeSeries, style: str, days: Sequence[date], places: Sequence[float], plot: Plot, format_value: Format
) -> list[str]:  # fmt: skip
    known = [(x, plot.down(v)) for x, v in zip(places, line.values, strict=True) if v is not None]
    parts = [path(f"line {style}", known)]
    for place, (day, x, value) in enumerate(zip(days, places, line.values, strict=True)):
        if value is None:
            continue
        low, high = (ends[place] if place < len(ends) else None for ends in (line.low, line.high))
        tip, shapes = f"{line.name}, {day}: {format_value(value)}", point(x, plot.down(value), style)
        if low is not None and high is not None:
            tip += f" ({format_value(low)} … {format_value(high)})"
            shapes.insert(0, f'<path class="span" d="M{x:.1f} {plot.down(low):.1f}V{plot.down(high):.1f}"/>')
        parts.append(mark(tip, shapes, line.links[place] if line.links else ""))
    return parts


def curve_chart(
    alt: str, curves: Sequence[Curve], x: CurveAxis, y: CurveAxis, marker: tuple[float, float] | None = None
) -> Markup:  # fmt: skip
    """Draw curves of one number by another.

    Args:
        alt: The text alternative.
        curves: The curves; at least one point altogether.
        x: The axis below.
        y: The axis on the left.
        marker: Where a marker is that a script may move; the scale is then in data attributes.

    Returns:
        An SVG element.
    """
    points = [each for curve in curves for each in curve.points]
    ups = axis_ticks(0.0, max(*(each.x for each in points), x.reach, marker[0] if marker else 0.0))
    named = [curve for curve in curves if curve.name]
    legend, start = line_legend([c.name for c in named], [c.style for c in named]) if len(named) > 1 else ([], TOP - 6)
    tall = [*(each.y for each in points), y.reach, *([marker[1]] if marker else [])]
    title = [text(0, start + 12, y.title)] if y.title else []
    plot, parts = vertical_axis(tall, y.format_value, start + (24 if title else 6), PLOT)

    def across(number: float) -> float:
        return plot.left + (plot.right - plot.left - 16) * number / (ups[-1] or 1.0)

    for curve in curves:
        parts.append(path(f"line {curve.style}", [(across(p.x), plot.down(p.y)) for p in curve.points]))
    for curve in curves:
        for each in curve.points if curve.style != "dotted" else ():
            style, size = ("square", 7.0) if each.chosen else (curve.style, 4.0)
            parts.append(mark(each.tip, point(across(each.x), plot.down(each.y), style, size)))
    below, height = axis_title(plot, x.title)
    parts += [*labels_below(plot, [across(tick) for tick in ups], [x.format_value(tick) for tick in ups]), *below]
    if marker is None:
        return chart(alt, height, [*title, *legend, *parts])
    parts += _marker(across(marker[0]), plot.down(marker[1]), plot)
    return chart(alt, height, [*title, *legend, *parts], _scale(plot, across(ups[-1]), ups[-1]))


def _marker(x: float, y: float, plot: Plot) -> list[str]:
    return [
        f'<path id="marker-line" class="cutoff" d="M{x:.1f} {plot.top:.1f}V{plot.base:.1f}"/>',
        f'<circle id="marker" class="solid" cx="{x:.1f}" cy="{y:.1f}" r="7"/>',
    ]


def _scale(plot: Plot, end: float, last: float) -> str:
    """Write the scale of a plot as data attributes, for the script that moves the marker."""
    scale = f' data-left="{plot.left:g}" data-inner="{end - plot.left:g}" data-last="{last:g}"'
    ends = f' data-base="{plot.base:g}" data-top="{plot.top:g}" data-low="{plot.low:g}" data-high="{plot.high:g}"'
    return scale + ends
