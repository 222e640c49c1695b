"""Charts as inline SVG for a page: the same data give the same bytes, colours follow the page, words carry the meaning.

Matplotlib draws with colours that stand for roles; they are then replaced by the page's own, so that one chart is
readable in light, in dark and in print. What colour says is said by shape, hatch or words too.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

INK, ACCENT, FAINT = "#010203", "#010204", "#010205"
ROLES = {INK: "currentColor", ACCENT: "var(--accent)", FAINT: "var(--line)"}
WIDTH = 7.4
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.color": ACCENT,
    "hatch.linewidth": 1.4,
    "font.size": 9,
}


@dataclass(frozen=True)
class Bar:
    """One horizontal bar: what it is, how long, what is written at its end, and how it is filled."""

    label: str
    size: float
    note: str
    fill: str


@dataclass(frozen=True)
class Dot:
    """One model's figure with its interval; ours is drawn solid."""

    label: str
    value: float
    low: float
    high: float
    ours: bool


@dataclass(frozen=True)
class Panel:
    """One metric over several models."""

    title: str
    hint: str
    percent: bool
    dots: Sequence[Dot]


def bars(name: str, alt: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, the first on top; `fill` is 'solid', 'hatched' or 'open'."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.42 * len(rows) + 0.15), layout="constrained")
        axes = figure.subplots()
        longest = max(row.size for row in rows)
        for place, row in enumerate(rows):
            face = {"solid": ACCENT, "hatched": "none", "open": "none"}[row.fill]
            hatch = "////" if row.fill == "hatched" else None
            axes.barh(place, row.size, 0.62, facecolor=face, edgecolor=ACCENT, linewidth=1.2, hatch=hatch)
            axes.text(row.size + longest * 0.02, place, row.note, va="center")
        axes.set_yticks(range(len(rows)), [textwrap.fill(row.label, 40) for row in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, longest * 1.95), xticks=[])
        _bare(axes)
        return _svg(figure, name, alt)


def columns(name: str, alt: str, labels: Sequence[str], counts: Sequence[int], solid_from: int, axis: str) -> str:
    """A histogram: counts over labelled steps; those from `solid_from` on are solid, the others open."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
        axes = figure.subplots()
        for place, count in enumerate(counts):
            face = ACCENT if place >= solid_from else "none"
            axes.bar(place, count, 0.84, facecolor=face, edgecolor=ACCENT, linewidth=1.2)
            axes.text(place, count + max(counts) * 0.02, f"{count:,}", ha="center", va="bottom")
        axes.set_xticks(range(len(labels)), labels)
        axes.set(ylim=(0, max(counts) * 1.14 or 1), yticks=[], xlabel=axis)
        _bare(axes)
        return _svg(figure, name, alt)


def pairs(name: str, alt: str, shares: Sequence[tuple[float, float]], axis: str) -> str:
    """Two columns a group: what was said (solid) beside what came (hatched), both as shares of one."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        most = max(max(pair) for pair in shares) or 1.0
        for place, pair in enumerate(shares, start=1):
            for side, share in zip((-0.2, 0.2), pair, strict=True):
                face, hatch = (ACCENT, None) if side < 0 else ("none", "////")
                axes.bar(place + side, share, 0.38, facecolor=face, edgecolor=ACCENT, linewidth=1.2, hatch=hatch)
                axes.text(place + side, share + most * 0.02, f"{share:.0%}", ha="center", va="bottom", fontsize=7.5)
        axes.set_xticks(range(1, len(shares) + 1))
        axes.set(ylim=(0, most * 1.14), yticks=[], xlabel=axis)
        _bare(axes)
        return _svg(figure, name, alt)


def dots(name: str, alt: str, panels: Sequence[Panel]) -> str:
    """Small panels, two in a row: a dot and its interval for every model."""
    lines, most = (len(panels) + 1) // 2, max(len(panel.dots) for panel in panels)
    with matplotlib.rc_context(STYLE):
        spaced = ConstrainedLayoutEngine(hspace=0.08, wspace=0.06)
        figure = Figure(figsize=(WIDTH, lines * (0.28 * most + 0.85)), layout=spaced)
        grid = figure.subplots(lines, 2, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for place, axes in enumerate(grid[: len(panels)]):
            if place % 2:
                axes.tick_params(labelleft=False)
        return _svg(figure, name, alt)


def _panel(axes: Axes, panel: Panel) -> None:
    for place, dot in enumerate(panel.dots):
        axes.plot([dot.low, dot.high], [place, place], color=ACCENT, linewidth=3 if dot.ours else 1.4)
        face = ACCENT if dot.ours else "none"
        shape, size = ("s", 8) if dot.ours else ("o", 6)
        axes.plot(dot.value, place, shape, markersize=size, markerfacecolor=face, markeredgecolor=ACCENT)
    axes.set_yticks(range(len(panel.dots)), [dot.label for dot in panel.dots])
    axes.set_ylim(len(panel.dots) - 0.5, -0.5)
    axes.set_title(f"{panel.title}\n{panel.hint}", loc="left", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}" if panel.percent else f"{x:,.3g}")
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.margins(x=0.08)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def _svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an SVG element with an accessible name, without dates, fonts, or anything from elsewhere."""
    text = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    body = text.getvalue()[text.getvalue().index("<svg") :]
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)  # the same in every figure, and used by none
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)  # the page's own font
    for colour, role in ROLES.items():
        body = body.replace(colour, role)
    box = re.search(r'viewBox="[^"]+"', body)
    shape = box.group() if box else ""
    start = f'<svg class="chart" role="img" aria-label="{html.escape(alt)}" {shape}>'
    return start + body[body.index(">") + 1 :].strip()
