"""Charts of the report as inline SVG: deterministic, in the colours of the page, readable without colour.

Matplotlib draws with colours that stand for roles; they are then replaced by the page's own, so that one chart is
readable in light mode, in dark mode and in print. Shape, hatch or text repeat what colour shows. All texts arrive here
in the reader's language.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from serving.charts.cjk_glyphs import StandIns, stand_ins, wrap_text

INK, ACCENT, FAINT = "#010203", "#010204", "#010205"
ROLES = {INK: "currentColor", ACCENT: "var(--accent)", FAINT: "var(--line)"}
WIDTH = 7.4
LABEL, NOTE = 36, 38  # greatest width of a line, in columns
FITS = 80  # digits that fit above all bars
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
    """A horizontal bar: its label, its length, the note at its end, and its fill ('solid', 'hatched' or 'open')."""

    label: str
    size: float
    note: str
    fill: str


@dataclass(frozen=True)
class ExpectedObserved:
    """The expected and the observed share of a group, with the confidence interval of the observed one."""

    expected: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class PlottedEstimate:
    """An estimate with its confidence interval; `ours` is drawn solid."""

    label: str
    value: float
    low: float
    high: float
    ours: bool


@dataclass(frozen=True)
class Panel:
    """One metric of several models, or one effect of several plans; `zero` draws a line at zero."""

    title: str
    hint: str
    percent: bool
    dots: Sequence[PlottedEstimate]
    zero: bool = False


@dataclass(frozen=True)
class BudgetCurve:
    """A quantity by budget (ascending), with the index of the chosen point and the note at it."""

    title: str
    points: Sequence[tuple[float, float]]
    chosen: int
    note: str


def horizontal_bars(name: str, alt: str, rows: Sequence[Bar]) -> str:
    """Draw horizontal bars, the first on top.

    Args:
        name: A name for the figure, unique on the page; it makes the SVG deterministic.
        alt: The text alternative.
        rows: The bars.

    Returns:
        An SVG element.
    """
    write = stand_ins(text for row in rows for text in (row.label, row.note))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.44 * len(rows) + 0.15), layout="constrained")
        axes = figure.subplots()
        longest = max(row.size for row in rows) or 1.0
        for place, row in enumerate(rows):
            face = {"solid": ACCENT, "hatched": "none", "open": "none"}[row.fill]
            hatch = "////" if row.fill == "hatched" else None
            axes.barh(place, row.size, 0.62, facecolor=face, edgecolor=ACCENT, linewidth=1.2, hatch=hatch)
            axes.text(row.size + longest * 0.02, place, write(wrap_text(row.note, NOTE)), va="center")
        axes.set_yticks(range(len(rows)), [write(wrap_text(row.label, LABEL)) for row in rows])
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, longest * 2.15), xticks=[])
        _bare(axes)
        return _svg(figure, name, alt, write)


def histogram(name: str, alt: str, labels: Sequence[str], counts: Sequence[int], solid_from: int, axis: str) -> str:
    """Draw a histogram.

    Args:
        name: A name for the figure, unique on the page.
        alt: The text alternative.
        labels: (n,) labels of the bins.
        counts: (n,) counts of the bins.
        solid_from: Index of the first solid bar; those before it are open.
        axis: The title of the axis below.

    Returns:
        An SVG element.
    """
    write = stand_ins([axis, *labels])
    longest = max(len(f"{count:,}") for count in counts)
    size = min(9.0, 9.0 * FITS / (len(counts) * longest))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
        axes = figure.subplots()
        for place, count in enumerate(counts):
            face = ACCENT if place >= solid_from else "none"
            axes.bar(place, count, 0.84, facecolor=face, edgecolor=ACCENT, linewidth=1.2)
            axes.text(place, count + max(counts) * 0.02, f"{count:,}", ha="center", va="bottom", fontsize=size)
        axes.set_xticks(range(len(labels)), [write(label) for label in labels])
        axes.set(ylim=(0, max(counts) * 1.14 or 1), yticks=[], xlabel=write(axis))
        _bare(axes)
        return _svg(figure, name, alt, write)


def paired_columns(name: str, alt: str, shares: Sequence[ExpectedObserved], axis: str) -> str:
    """Draw two columns for each group: expected (solid) and observed (hatched, with its confidence interval).

    Args:
        name: A name for the figure, unique on the page.
        alt: The text alternative.
        shares: The groups.
        axis: The title of the axis below.

    Returns:
        An SVG element.
    """
    write = stand_ins([axis])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        most = max(max(pair.expected, pair.observed, pair.high) for pair in shares) or 1.0
        for place, pair in enumerate(shares, start=1):
            for side, share, top in (
                (-0.2, pair.expected, pair.expected),
                (0.2, pair.observed, max(pair.observed, pair.high)),
            ):
                face, hatch = (ACCENT, None) if side < 0 else ("none", "////")
                axes.bar(place + side, share, 0.38, facecolor=face, edgecolor=ACCENT, linewidth=1.2, hatch=hatch)
                axes.text(place + side, top + most * 0.02, f"{share:.0%}", ha="center", va="bottom", fontsize=7.5)
            axes.plot([place + 0.2] * 2, [pair.low, pair.high], color=INK, linewidth=1.4)
        axes.set_xticks(range(1, len(shares) + 1))
        axes.set(ylim=(0, most * 1.14), yticks=[], xlabel=write(axis))
        _bare(axes)
        return _svg(figure, name, alt, write)


def interval_panels(name: str, alt: str, panels: Sequence[Panel]) -> str:
    """Draw small panels, two in a row, with a point and its confidence interval for each label.

    Args:
        name: A name for the figure, unique on the page.
        alt: The text alternative.
        panels: The panels; the two in a row share the labels on the left.

    Returns:
        An SVG element.
    """
    lines, most = (len(panels) + 1) // 2, max(len(panel.dots) for panel in panels)
    write = stand_ins(t for panel in panels for t in (panel.title, panel.hint, *(dot.label for dot in panel.dots)))
    with matplotlib.rc_context(STYLE):
        spaced = ConstrainedLayoutEngine(hspace=0.08, wspace=0.06)
        figure = Figure(figsize=(WIDTH, lines * (0.28 * most + 0.85)), layout=spaced)
        grid = figure.subplots(lines, min(len(panels), 2), squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, write)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for place, axes in enumerate(grid[: len(panels)]):
            if place % 2:
                axes.tick_params(labelleft=False)
        return _svg(figure, name, alt, write)


def budget_curves(name: str, alt: str, lines: Sequence[BudgetCurve], axis: str) -> str:
    """Draw quantities by budget, side by side: circles at the computed points, a square at the chosen one.

    Args:
        name: A name for the figure, unique on the page.
        alt: The text alternative.
        lines: The curves.
        axis: The title of the axis below.

    Returns:
        An SVG element.
    """
    write = stand_ins([axis, *(text for line in lines for text in (line.title, line.note))])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9), layout=ConstrainedLayoutEngine(wspace=0.08))
        grid = figure.subplots(1, len(lines), squeeze=False).ravel()
        for axes, line in zip(grid, lines, strict=True):
            budgets, figures = zip(*line.points, strict=True)
            axes.plot(budgets, figures, "o-", color=ACCENT, markersize=4, markerfacecolor="none", linewidth=1.4)
            x, y = line.points[line.chosen]
            axes.plot(x, y, "s", markersize=9, markerfacecolor=ACCENT, markeredgecolor=ACCENT)
            left = x > sum(budgets[:: len(budgets) - 1 or 1]) / 2
            end = {"ha": "right" if left else "left", "va": "top" if y > max(figures) / 2 else "bottom"}
            shift = (-9 if left else 9, -9 if y > max(figures) / 2 else 9)
            axes.annotate(write(line.note), (x, y), shift, textcoords="offset points", **end)
            axes.set_title(write(wrap_text(line.title, LABEL)), loc="left", fontsize=9)
            axes.set(xlabel=write(axis), ylim=(min(0, *figures), max(*figures, 0) * 1.12 or 1))
            for one in (axes.xaxis, axes.yaxis):
                one.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
                one.set_major_formatter(lambda number, _: f"{number:,.6g}")
            axes.grid(color=FAINT, linewidth=0.6)
            _bare(axes)
        return _svg(figure, name, alt, write)


def _panel(axes: Axes, panel: Panel, write: StandIns) -> None:
    if panel.zero:
        axes.axvline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    for place, dot in enumerate(panel.dots):
        axes.plot([dot.low, dot.high], [place, place], color=ACCENT, linewidth=3 if dot.ours else 1.4)
        face = ACCENT if dot.ours else "none"
        shape, size = ("s", 8) if dot.ours else ("o", 6)
        axes.plot(dot.value, place, shape, markersize=size, markerfacecolor=face, markeredgecolor=ACCENT)
    axes.set_yticks(range(len(panel.dots)), [write(wrap_text(dot.label, LABEL)) for dot in panel.dots])
    axes.set_ylim(len(panel.dots) - 0.5, -0.5)
    axes.set_title(write(f"{wrap_text(panel.title, LABEL)}\n{panel.hint}"), loc="left", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}" if panel.percent else f"{x:,.4g}")
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.margins(x=0.08)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def _svg(figure: Figure, name: str, alt: str, write: StandIns) -> str:
    """Write a figure as an SVG element with a text alternative, without dates, styles or external references."""
    text = StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    body = text.getvalue()[text.getvalue().index("<svg") :]
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)  # unused, and the same in every figure
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)  # the page has its own style
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)  # the page's own font
    body = re.sub(r' style="([^"]*)"', _attributes, body)
    for colour, role in ROLES.items():
        body = body.replace(colour, role)
    box = re.search(r'viewBox="[^"]+"', body)
    shape = box.group() if box else ""
    start = f'<svg class="chart" role="img" aria-label="{html.escape(alt)}" {shape}>'
    return start + write.restore(body[body.index(">") + 1 :].strip())


def _attributes(style: re.Match[str]) -> str:
    """Turn styles into attributes, which the page's Content-Security-Policy need not allow."""
    pairs = (one.split(":", 1) for one in style.group(1).split(";") if one.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
