"""Estimates with their confidence intervals: panels of points, one line for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from serving.charts.axes import Format, axis_ticks
from serving.charts.svg import COLUMN, LINE, WIDTH, chart, lines_of_text, mark, rectangle, text
from serving.charts.text_layout import text_width, wrap_text

LABEL, TITLE = 20, 54  # greatest width of a line, in columns
RIGHT = 16.0


@dataclass(frozen=True)
class PlottedEstimate:
    """An estimate with its confidence interval and its tooltip; `ours` is drawn as a solid square."""

    label: str
    value: float
    low: float
    high: float
    ours: bool
    tip: str


@dataclass(frozen=True)
class Panel:
    """One metric of several models, or one effect of several plans; `zero` draws a line at zero."""

    title: str
    hint: str
    format_value: Format
    dots: Sequence[PlottedEstimate]
    zero: bool = False


def interval_panels(panels: Sequence[Panel]) -> Markup:
    """Draw panels with a point and its confidence interval for each label, in a `div` that places them side by side."""
    drawn = "".join(map(_panel, panels))
    return Markup(f'<div class="panels">{drawn}</div>')  # noqa: S704 (escaped where it was made)


def _panel(panel: Panel) -> Markup:
    labels = [wrap_text(dot.label, LABEL) for dot in panel.dots]
    left = COLUMN * max(text_width(line) for lines in labels for line in lines) + 14
    ends = [end for dot in panel.dots for end in (dot.low, dot.value, dot.high)] + ([0.0] if panel.zero else [])
    ticks = axis_ticks(min(ends), max(ends))
    span = (ticks[-1] - ticks[0]) or 1.0

    def across(value: float) -> float:
        return left + 8 + (WIDTH - RIGHT - left - 8) * (value - ticks[0]) / span

    title = wrap_text(panel.title, TITLE)
    parts = [*lines_of_text(0, 14, title), text(0, 14 + LINE * len(title), panel.hint, "tick")]
    top = y = 14 + LINE * len(title) + 10
    rows = []
    for dot, label in zip(panel.dots, labels, strict=True):
        tall = LINE * len(label) + 8
        rows.append(_row(dot, label, y, tall, left, [across(v) for v in (dot.low, dot.value, dot.high)]))
        y += tall
    for tick in ticks:
        kind = "zero" if panel.zero and tick == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{across(tick):.1f} {top:.1f}V{y:.1f}"/>')
        parts.append(text(across(tick), y + LINE, panel.format_value(tick), "tick", "middle"))
    details = "; ".join(dot.tip for dot in panel.dots)
    return chart(f"{panel.title}, {panel.hint}: {details}", y + LINE + 8, [*parts, *rows])


def _row(
    dot: PlottedEstimate, label: Sequence[str], y: float, tall: float, left: float, places: Sequence[float]
) -> str:  # fmt: skip
    low, middle, high = places
    centre, size = y + tall / 2, 6.0 if dot.ours else 5.0
    shapes = [
        rectangle(0, y, WIDTH, tall, "hit"),
        *lines_of_text(left - 8, centre + 5 - LINE * (len(label) - 1) / 2, label, "", "end"),
        f'<path class="reach{" ours" if dot.ours else ""}" d="M{low:.1f} {centre:.1f}H{high:.1f}"/>',
        rectangle(middle - size, centre - size, 2 * size, 2 * size, "solid")
        if dot.ours
        else f'<circle class="open" cx="{middle:.1f}" cy="{centre:.1f}" r="{size:g}"/>',
    ]
    return mark(dot.tip, shapes)
