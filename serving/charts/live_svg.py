"""Pictures of the page that are made anew for each answer: inline SVG in milliseconds, coloured by the style sheet.

Matplotlib, which draws the report's charts, takes a tenth of a second for one and sets its style for all threads at
once; it draws here what changes with the scores only (`shared`). No attribute holds a style, so that the page may
forbid them. What colour says is said by shape, place or words too; every picture has a text that says what it shows.
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
    """A line over days: its name, values (None: not known), and ends of its intervals where there are any."""

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
    """A chart of the report, with its styles as attributes; drawn by one thread at a time."""
    with _DRAWING, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a page's letters are the browser's
        svg = draw()
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', lambda match: _attributes(match[1]), svg)
    return Markup(svg)  # noqa: S704 (escaped where it was made)


def _attributes(style: str) -> str:
    """A style as presentation attributes.

    >>> _attributes("fill: none; stroke: var(--accent)")
    ' fill="none" stroke="var(--accent)"'
    """
    pairs = (part.partition(":") for part in style.split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


def format_tick(number: float) -> str:
    """A round number of an axis.

    >>> plain(2500.0), plain(0.5), plain(-0.0)
    ('2,500', '0.5', '0')
    """
    return f"{number + 0.0:,.10g}".replace("-", "−")


def axis_ticks(low: float, high: float, wanted: int = TICKS) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many.

    >>> steps(0, 0.43), steps(0, 1234)
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


def _grid(ticks: Sequence[float], place: Callable[[float], float], say: Callable[[float], str]) -> list[str]:
    """Lines across, with what they stand for at the left."""
    return [
        f'<path class="grid" d="M{LEFT} {place(t):.1f}H{WIDTH - RIGHT}"/>'
        + _text(LEFT - 8, place(t) + 4, say(t), "tick", "end")
        for t in ticks
    ]


def line_chart(
    alt: str, days: Sequence[date], drawn: Sequence[TimeSeries], say: Callable[[float], str], top: float = 0
) -> Markup:
    """Lines over days from nothing up: points with their intervals as bars; the second and later ones are hollow."""
    height, base = 220.0, 186.0
    known = [v for line in drawn for part in (line.values, line.high) for v in part if v is not None]
    below = [v for line in drawn for part in (line.values, line.low) for v in part if v is not None]
    ticks = axis_ticks(min([*below, 0]), max([*known, top, 0]))
    lowest, highest = ticks[0], ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1

    def down(value: float) -> float:
        return base - (base - TOP) * (value - lowest) / (highest - lowest)

    across = _days(days)
    body = _grid(ticks, down, say)
    every = max(-(-len(days) // 6), 1)
    for number, day in enumerate(days):
        if (len(days) - 1 - number) % every == 0:
            body.append(_text(across(day), base + 18, str(day), "tick", "middle"))
    for line in drawn:
        body += _one_line(line, days, across, down)
    return _svg(body, height, alt)


def _days(days: Sequence[date]) -> Callable[[date], float]:
    """Where a day lies across the picture; a single day lies in the middle."""
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
    say: Callable[[float], str],
) -> Markup:  # fmt: skip
    """Orders as stems as high as their amounts (refunds hang down), contacts as triangles below, hollow if held out."""
    height, base, foot = 240.0, 196.0, 170.0
    first = min([day for day, _ in orders] + [day for day, _ in contacts] + [end - timedelta(30)])
    across = _days([first, end])
    amounts = [amount for _, amount in orders]
    ticks = axis_ticks(min([*amounts, 0]), max([*amounts, 0]), 3)
    lowest, highest = ticks[0], ticks[-1] if ticks[-1] > ticks[0] else ticks[0] + 1

    def down(value: float) -> float:
        return foot - (foot - TOP) * (value - lowest) / (highest - lowest)

    body = _grid(ticks, down, say)
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
    """Bands between groups at one cutoff and at the next, as wide as they hold customers.

    Args:
        alt: What it shows, in words.
        left: Groups and sizes before, from the top; `right` after.
        moved: Who went where; those who stayed are drawn too.
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
    """The top of each group; small ones keep room for their names."""
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
    say: Callable[[float], str], axis: str,
) -> Markup:  # fmt: skip
    """Gain (down the left) against budget, with what no plan can pass dotted, and a marker that a script may move."""
    height, base = 260.0, 218.0
    tall = [gain for _, gain in (*points, *bound, at)]
    ups, downs = axis_ticks(0, max(b for b, _ in (*points, at))), axis_ticks(min([*tall, 0]), max(tall))
    inner = WIDTH - LEFT - RIGHT - 20

    def x(budget: float) -> float:
        return LEFT + inner * budget / (ups[-1] or 1)

    def y(gain: float) -> float:
        return base - (base - TOP) * (gain - downs[0]) / ((downs[-1] - downs[0]) or 1)

    body = _grid(downs, y, say)
    body += [_text(x(tick), base + 18, say(tick), "tick", "middle") for tick in ups]
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
    """A cell of a waterfall: from one number to another on the scale [low, high]; what falls is hatched."""
    span = (high - low) or 1.0
    a, b = 200 * (min(start, end) - low) / span, 200 * (max(start, end) - low) / span
    kind = "up" if end >= start else "down"
    return Markup(  # noqa: S704 (numbers)
        '<svg class="cell" viewBox="0 0 200 16" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="{a:.1f}" y="2" width="{max(b - a, 0.8):.1f}" height="12"/></svg>'
    )


def interval_cell(low: float, middle: float, high: float, ends: tuple[float, float]) -> Markup:
    """A cell with an interval, its middle, and where nothing (0) is, on a scale."""
    width = (ends[1] - ends[0]) or 1.0
    a, m, b, z = (200 * (v - ends[0]) / width for v in (low, middle, high, 0.0))
    zero = f'<path class="zero" d="M{z:.1f} 0V16"/>' if 0 <= z <= 200 else ""
    return Markup(  # noqa: S704 (numbers)
        '<svg class="cell" viewBox="0 0 200 16" preserveAspectRatio="none" aria-hidden="true">'
        f'{zero}<path class="reach" d="M{a:.1f} 8H{b:.1f}"/>'
        f'<rect class="up" x="{m - 2:.1f}" y="3" width="4" height="10"/></svg>'
    )
