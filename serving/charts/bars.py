"""Charts of bars: horizontal bars, columns, pairs of columns, and stacked columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from serving.charts.axes import TOP, Format, Plot, axis_title, format_tick, labels_below, vertical_axis
from serving.charts.svg import COLUMN, FILLS, LINE, WIDTH, chart, fill_legend, lines_of_text, mark, rectangle, text
from serving.charts.text_layout import text_width, wrap_text

LABEL, NOTE = 54, 38  # greatest width of a line, in columns
TALL = 150.0


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: its label, its length, the note at its end, its fill ('solid', 'hatched' or 'open'), a link."""

    label: str
    size: float
    note: str
    fill: str
    link: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its label, its height, its tooltip, whether it is filled, and a link."""

    label: str
    size: float
    tip: str
    solid: bool = True
    link: str = ""


@dataclass(frozen=True)
class ColumnPair:
    """Two columns of a group, with their tooltips; the second may have a confidence interval."""

    label: str
    first: float
    second: float
    first_tip: str
    second_tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Layer:
    """A layer of stacked columns: its name, and for each column its height, tooltip and link."""

    name: str
    sizes: Sequence[float]
    tips: Sequence[str]
    links: Sequence[str] = ()


def horizontal_bars(alt: str, rows: Sequence[Bar]) -> Markup:
    """Draw horizontal bars, the first on top, each below its label.

    Args:
        alt: The text alternative.
        rows: The bars.

    Returns:
        An SVG element.
    """
    notes = [wrap_text(row.note, NOTE) for row in rows]
    widest = COLUMN * max(text_width(line) for lines in notes for line in lines) + 8
    longest, room = max(row.size for row in rows) or 1.0, WIDTH - widest
    parts, y = [], 0.0
    for row, note in zip(rows, notes, strict=True):
        label = wrap_text(row.label, LABEL)
        top = y + LINE * len(label) + 3
        tall = max(LINE * len(note), LINE)
        long = max(room * row.size / longest, 0.0)
        shapes = [
            rectangle(0, y, WIDTH, tall + top - y, "hit"),
            *lines_of_text(0, y + 14, label),
            rectangle(1, top + (tall - 15) / 2, long, 15, row.fill),
            *lines_of_text(long + 8, top + 14, note),
        ]
        parts.append(mark(f"{row.label}: {row.note}", shapes, row.link))
        y = top + tall + 10
    return chart(alt, y, parts)


def columns(alt: str, bars: Sequence[Column], axis: str) -> Markup:
    """Draw columns, with their numbers above them where all of them fit, else with an axis on the left.

    Args:
        alt: The text alternative.
        bars: The columns, from the left.
        axis: The title of the axis below.

    Returns:
        An SVG element.
    """
    step = WIDTH / len(bars)
    direct = COLUMN * max(text_width(format_tick(bar.size)) for bar in bars) + 4 <= step
    highest = max(bar.size for bar in bars) or 1.0
    parts: list[str] = []
    if direct:
        plot = Plot(0.0, WIDTH, TOP + LINE, TOP + LINE + TALL, 0.0, highest)
    else:
        plot, parts = vertical_axis([highest], format_tick, TOP, TALL)
    step = (plot.right - plot.left) / len(bars)
    middles = [plot.left + step * (place + 0.5) for place in range(len(bars))]
    for middle, bar in zip(middles, bars, strict=True):
        y, wide = plot.down(bar.size), step * 0.84
        shapes = [
            rectangle(middle - step / 2, plot.top, step, plot.base - plot.top, "hit"),
            rectangle(middle - wide / 2, y, wide, plot.base - y, "solid" if bar.solid else "open"),
        ]
        if direct:
            shapes.append(text(middle, y - 5, format_tick(bar.size), "", "middle"))
        parts.append(mark(bar.tip, shapes, bar.link))
    below, height = axis_title(plot, axis)
    return chart(alt, height, [*parts, *labels_below(plot, middles, [bar.label for bar in bars]), *below])


def paired_columns(
    alt: str, pairs: Sequence[ColumnPair], names: tuple[str, str], axis: str, format_value: Format,
    fills: tuple[str, str] = ("solid", "hatched"),
) -> Markup:  # fmt: skip
    """Draw two columns for each group, the second with its confidence interval if it has one.

    Args:
        alt: The text alternative.
        pairs: The groups, from the left.
        names: What the first and the second column are, for the legend.
        axis: The title of the axis below.
        format_value: Formats a tick of the vertical axis.
        fills: The fills of the first and the second column.

    Returns:
        An SVG element.
    """
    legend, top = fill_legend(names, fills)
    ends = [max(pair.first, pair.second, pair.high or 0.0) for pair in pairs]
    plot, parts = vertical_axis(ends, format_value, top + 6, TALL)
    step = (plot.right - plot.left) / len(pairs)
    middles = [plot.left + step * (place + 0.5) for place in range(len(pairs))]
    for middle, pair in zip(middles, pairs, strict=True):
        wide = step * 0.42
        for x, size, fill, tip in (
            (middle - wide, pair.first, fills[0], pair.first_tip),
            (middle, pair.second, fills[1], pair.second_tip),
        ):
            y = plot.down(size)
            shapes = [
                rectangle(x, plot.top, wide, plot.base - plot.top, "hit"),
                rectangle(x + 0.5, y, wide - 1, plot.base - y, fill),
            ]
            if fill == fills[1] and pair.low is not None and pair.high is not None:
                span = f"M{x + wide / 2:.1f} {plot.down(pair.low):.1f}V{plot.down(pair.high):.1f}"
                shapes.append(f'<path class="span" d="{span}"/>')
            parts.append(mark(tip, shapes))
    below, height = axis_title(plot, axis)
    labels = labels_below(plot, middles, [pair.label for pair in pairs])
    return chart(alt, height, [*legend, *parts, *labels, *below])


def stacked_columns(
    alt: str, labels: Sequence[str], layers: Sequence[Layer], format_value: Format
) -> Markup:  # fmt: skip
    """Draw columns of layers, the first layer at the bottom; at most five layers, which differ in their fill.

    Args:
        alt: The text alternative.
        labels: (n,) the columns, from the left.
        layers: The layers, with n sizes each.
        format_value: Formats a tick of the vertical axis.

    Returns:
        An SVG element.
    """
    legend, top = fill_legend([layer.name for layer in layers])
    totals = [sum(layer.sizes[place] for layer in layers) for place in range(len(labels))]
    plot, parts = vertical_axis(totals, format_value, top + 6, TALL + 40)
    step = (plot.right - plot.left) / len(labels)
    wide = min(step * 0.8, 60.0)
    middles = [plot.left + step * (place + 0.5) for place in range(len(labels))]
    for place, middle in enumerate(middles):
        below = 0.0
        for layer, fill in zip(layers, FILLS, strict=False):
            y, base = plot.down(below + layer.sizes[place]), plot.down(below)
            below += layer.sizes[place]
            shape = rectangle(middle - wide / 2, y, wide, base - y, fill)
            parts.append(mark(layer.tips[place], [shape], layer.links[place] if layer.links else ""))
    return chart(alt, plot.base + LINE + 8, [*legend, *parts, *labels_below(plot, middles, labels)])
