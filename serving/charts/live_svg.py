"""Charts that the web page draws for each request: inline SVG in milliseconds, coloured by the style sheet.

Matplotlib, which draws the report's charts, takes a tenth of a second for one and changes its style for all threads;
here it draws only what depends on the scores alone (`inline_figure`). No attribute holds a style, so that the page may
forbid styles. Shape, place or text repeat what colour shows; every chart has a text alternative.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from threading import Lock

import numpy as np
from markupsafe import Markup, escape

WIDTH, LEFT, RIGHT, TOP = 720, 62, 24, 14
TICKS = 4
_DRAWING = Lock()


@dataclass(frozen=True)
class TimeSeries:
    """A series over days: its name, its values (None if not known), and the ends of their intervals, if any."""

    name: str
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    hollow: bool = False


@dataclass(frozen=True)
class Flow:
    """Customers who went from one group to another."""

    start: str
    end: str
    customers: int
    note: str


def inline_figure(draw: Callable[[], str]) -> Markup:
    """Draw a chart of the report for the web page, with styles as attributes; one thread draws at a time."""
    with _DRAWING, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the browser draws the letters
        svg = draw()
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', lambda match: _attributes(match[1]), svg)
    return Markup(svg)  # noqa: S704 (escaped where it was made)


def _attributes(style: str) -> str:
    """Turn a style into presentation attributes.

    >>> _attributes("fill: none; stroke: var(--accent)")
    ' fill="none" stroke="var(--accent)"'
    """
    pairs = (part.partition(":") for part in style.split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


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


def _svg(body: Sequence[str], height: float, alt: str, extra: str = "") -> Markup:
    start = f'<svg class="chart drawn" role="img" aria-label="{escape(alt)}" viewBox="0 0 {WIDTH} {height:g}"{extra}>'
    return Markup(start + "".join(body) + "</svg>")  # noqa: S704 (made of numbers and escaped text)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _grid(ticks: Sequence[float], place: Callable[[float], float], format_value: Callable[[float], str]) -> list[str]:
    """Draw horizontal grid lines with their labels on the left."""
    return [
        f'<path class="grid" d="M{LEFT} {place(t):.1f}H{WIDTH - RIGHT}"/>'
        + _text(LEFT - 8, place(t) + 4, format_value(t), "tick", "end")
        for t in ticks
    ]


def line_chart(
    alt: str, days: Sequence[date], drawn: Sequence[TimeSeries], format_value: Callable[[float], str], top: float = 0
) -> Markup:
    """Draw series over days, from zero: points, and their intervals as vertical lines.

    Args:
        alt: The text alternative.
        days: (n,) the days, ascending.
        drawn: The series, with n values each.
        format_value: Formats a tick of the vertical axis.
        top: The axis reaches at least this value.

    Returns:
        An SVG element.
    """
    height, base = 220.0, 186.0
    known = [v for line in drawn for part in (line.values, line.high) for v in part if v is not None]
    below = [v for line in drawn for part in (line.values, line.low) for v in part if v is not None]
    ticks = axis_ticks(min([*below, 0]), max([*known, top, 0]))
    lowest, highest = ticks[0], ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1

    def down(value: float) -> float:
        return base - (base - TOP) * (value - lowest) / (highest - lowest)

    across = _days(days)
    body = _grid(ticks, down, format_value)
    every = max(-(-len(days) // 6), 1)
    for number, day in enumerate(days):
        if (len(days) - 1 - number) % every == 0:
            body.append(_text(across(day), base + 18, str(day), "tick", "middle"))
    for line in drawn:
        body += _one_line(line, days, across, down)
    return _svg(body, height, alt)


def _days(days: Sequence[date]) -> Callable[[date], float]:
    """Place days across the chart; a single day is in the middle."""
    first, span = days[0], (days[-1] - days[0]).days
    inner = WIDTH - LEFT - RIGHT - 60
    return lambda day: LEFT + 30 + (inner * (day - first).days / span if span else inner / 2)


def _one_line(
    line: TimeSeries, days: Sequence[date], across: Callable[[date], float], down: Callable[[float], float]
) -> list[str]:
    points = [(across(day), down(v)) for day, v in zip(days, line.values, strict=True) if v is not None]
    kind = "line hollow" if line.hollow else "line"
    body = [f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'] if len(points) > 1 else []
    for day, low, high in zip(days, line.low, line.high, strict=False):
        if low is not None and high is not None:
            body.append(f'<path class="span" d="M{across(day):.1f} {down(low):.1f}V{down(high):.1f}"/>')
    for x, y in points:
        if line.hollow:
            body.append(f'<rect class="hole" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>')
        else:
            body.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
    return body


def order_timeline(
    alt: str, orders: Sequence[tuple[date, float]], contacts: Sequence[tuple[date, bool]], end: date,
    format_value: Callable[[float], str],
) -> Markup:  # fmt: skip
    """Draw orders as stems of the height of their amounts (refunds point down), and contacts as triangles below.

    Args:
        alt: The text alternative.
        orders: Days and amounts.
        contacts: Days, and whether the customer was held out (drawn hollow).
        end: The cutoff, drawn as a dashed line.
        format_value: Formats a tick of the vertical axis.

    Returns:
        An SVG element.
    """
    height, base, foot = 240.0, 196.0, 170.0
    first = min([day for day, _ in orders] + [day for day, _ in contacts] + [end - timedelta(30)])
    across = _days([first, end])
    amounts = [amount for _, amount in orders]
    ticks = axis_ticks(min([*amounts, 0]), max([*amounts, 0]), 3)
    lowest, highest = ticks[0], ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1

    def down(value: float) -> float:
        return foot - (foot - TOP) * (value - lowest) / (highest - lowest)

    body = _grid(ticks, down, format_value)
    body.append(f'<path class="cutoff" d="M{across(end):.1f} {TOP}V{base + 8}"/>')
    body += [
        f'<path class="stem" d="M{across(day):.1f} {down(0):.1f}V{down(amount):.1f}"/>'
        f'<circle class="dot" cx="{across(day):.1f}" cy="{down(amount):.1f}" r="3"/>'
        for day, amount in orders
    ]
    body += [
        f'<path class="{"hole" if held_out else "dot"}" d="M{across(day) - 5:.1f} {base}h10l-5 -9z"/>'
        for day, held_out in contacts
    ]
    marks = {first + (end - first) * part // 4 for part in range(5)}
    body += [_text(across(day), height - 8, str(day), "tick", "middle") for day in sorted(marks)]
    return _svg(body, height, alt)


def flow_chart(
    alt: str, left: Sequence[tuple[str, int]], right: Sequence[tuple[str, int]], moved: Sequence[Flow]
) -> Markup:
    """Draw bands between the groups at one cutoff and at the next; the width of a band is its number of customers.

    Args:
        alt: The text alternative.
        left: Groups and their sizes before, from the top.
        right: Groups and their sizes after, from the top.
        moved: The flows between groups; those who stayed in their group included.

    Returns:
        An SVG element.
    """
    gap, full = 12.0, 300.0
    total = max(sum(size for _, size in left), sum(size for _, size in right), 1)
    scale = full / total
    starts, ends = _stacked(left, scale, gap), _stacked(right, scale, gap)
    height = max(
        place + size * scale for side, at in ((left, starts), (right, ends)) for (n, size) in side for place in [at[n]]
    )
    x0, x1, bar = 230.0, WIDTH - 230.0, 9.0
    body, used_left, used_right = [], dict(starts), dict(ends)
    order = {name: place for place, (name, _) in enumerate(right)}
    for flow in sorted(moved, key=lambda f: (starts[f.start], order[f.end])):
        wide = flow.customers * scale
        y0, y1 = used_left[flow.start], used_right[flow.end]
        used_left[flow.start] += wide
        used_right[flow.end] += wide
        body.append(_band(x0 + bar, x1 - bar, y0, y1, wide, "stay" if flow.start == flow.end else "move", flow.note))
    for side, at, x, anchor, shift in ((left, starts, x0, "end", -8.0), (right, ends, x1 - bar, "start", bar + 8.0)):
        for name, size in side:
            tall = max(size * scale, 1.0)
            body.append(f'<rect class="node" x="{x:.1f}" y="{at[name]:.1f}" width="{bar:g}" height="{tall:.1f}"/>')
            body.append(_text(x + shift, at[name] + tall / 2 + 4, f"{name} ({size:,})", "label", anchor))
    return _svg(body, height + 12, alt)


def _stacked(groups: Sequence[tuple[str, int]], scale: float, gap: float) -> dict[str, float]:
    """Place the top of each group; small groups keep room for their names."""
    places, y = {}, 8.0
    for name, size in groups:
        places[name] = y
        y += max(size * scale, 8.0) + gap
    return places


def _band(x0: float, x1: float, y0: float, y1: float, wide: float, kind: str, note: str) -> str:
    half = (x0 + x1) / 2
    edge = f"M{x0} {y0:.1f}C{half} {y0:.1f} {half} {y1:.1f} {x1} {y1:.1f}"
    back = f"V{y1 + wide:.1f}C{half} {y1 + wide:.1f} {half} {y0 + wide:.1f} {x0} {y0 + wide:.1f}Z"
    return f'<path class="band {kind}" d="{edge}{back}"><title>{escape(note)}</title></path>'


def gain_curve(
    alt: str, points: Sequence[tuple[float, float]], bound: Sequence[tuple[float, float]], at: tuple[float, float],
    format_value: Callable[[float], str], axis: str,
) -> Markup:  # fmt: skip
    """Draw the gain by budget with its upper bound (dotted), and a marker that a script may move.

    Args:
        alt: The text alternative.
        points: Budgets and gains of the computed plans.
        bound: Budgets and upper bounds of the gain.
        at: Budget and gain of the marker.
        format_value: Formats a tick.
        axis: The title of the axis below.

    Returns:
        An SVG element with the scale in data attributes, for the script.
    """
    height, base = 260.0, 218.0
    tall = [gain for _, gain in (*points, *bound, at)]
    ups, downs = axis_ticks(0, max(b for b, _ in (*points, at))), axis_ticks(min([*tall, 0]), max(tall))
    inner = WIDTH - LEFT - RIGHT - 20

    def x(budget: float) -> float:
        return LEFT + inner * budget / (ups[-1] or 1)

    def y(gain: float) -> float:
        return base - (base - TOP) * (gain - downs[0]) / ((downs[-1] - downs[0]) or 1)

    body = _grid(downs, y, format_value)
    body += [_text(x(tick), base + 18, format_value(tick), "tick", "middle") for tick in ups]
    body.append(_text(LEFT + inner / 2, height - 6, axis, "label", "middle"))
    for kind, drawn in (("bound", bound), ("line", [(0.0, 0.0), *points])):
        body.append(
            f'<path class="{kind}" d="M{"L".join(f"{x(b):.1f} {y(g):.1f}" for b, g in drawn)}"/>' if drawn else ""
        )
    body += [f'<circle class="hole" cx="{x(b):.1f}" cy="{y(g):.1f}" r="3"/>' for b, g in points]
    body.append(f'<path id="marker-line" class="cutoff" d="M{x(at[0]):.1f} {TOP}V{base}"/>')
    body.append(f'<circle id="marker" class="dot" cx="{x(at[0]):.1f}" cy="{y(at[1]):.1f}" r="7"/>')
    scale = f' data-left="{LEFT}" data-inner="{inner}" data-last="{ups[-1]:g}" data-base="{base:g}" data-top="{TOP}"'
    return _svg(body, height, alt, f'{scale} data-low="{downs[0]:g}" data-high="{downs[-1]:g}"')


def waterfall_bar(start: float, end: float, low: float, high: float) -> Markup:
    """Draw a table cell with one bar of a waterfall.

    Args:
        start: Where the bar starts.
        end: Where it ends; if below the start, the bar is hatched.
        low: Lower end of the scale.
        high: Upper end of the scale.

    Returns:
        An SVG element.
    """
    span = (high - low) or 1.0
    a, b = 200 * (min(start, end) - low) / span, 200 * (max(start, end) - low) / span
    kind = "up" if end >= start else "down"
    return Markup(  # noqa: S704 (numbers)
        '<svg class="cell" viewBox="0 0 200 16" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="{a:.1f}" y="2" width="{max(b - a, 0.8):.1f}" height="12"/></svg>'
    )


def interval_cell(low: float, middle: float, high: float, ends: tuple[float, float]) -> Markup:
    """Draw a table cell with a confidence interval, its estimate and a line at zero.

    Args:
        low: Lower end of the interval.
        middle: The estimate.
        high: Upper end of the interval.
        ends: Both ends of the scale.

    Returns:
        An SVG element.
    """
    width = (ends[1] - ends[0]) or 1.0
    a, m, b, z = (200 * (v - ends[0]) / width for v in (low, middle, high, 0.0))
    zero = f'<path class="zero" d="M{z:.1f} 0V16"/>' if 0 <= z <= 200 else ""
    return Markup(  # noqa: S704 (numbers)
        '<svg class="cell" viewBox="0 0 200 16" preserveAspectRatio="none" aria-hidden="true">'
        f'{zero}<path class="reach" d="M{a:.1f} 8H{b:.1f}"/>'
        f'<rect class="up" x="{m - 2:.1f}" y="3" width="4" height="10"/></svg>'
    )
