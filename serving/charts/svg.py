"""The parts that every chart is made of: text, marks with tooltips, fills, legends, and the SVG element around them.

No attribute holds a style, so that a page may forbid them; `static/charts.css` colours everything by the variables of
the page. Lengths are in units of the view box, which is so narrow that text stays readable when a phone shrinks it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from serving.charts.text_layout import text_width

STATIC = Path(__file__).parent / "static"
WIDTH = 450.0
LINE = 18.0  # height of a line of text
COLUMN = 8.2  # width of a column of text
FILLS = ("solid", "hatched", "open", "dotted", "crossed")
STEP = 6.0  # between the lines of a fill


def chart(alt: str, height: float, parts: Iterable[str], extra: str = "") -> Markup:
    """Put the parts of a chart into an SVG element.

    Args:
        alt: The text alternative.
        height: In units of the view box.
        parts: SVG elements, escaped.
        extra: More attributes, escaped.

    Returns:
        An SVG element; without links, the first mark can be reached by the Tab key, and a script leads on from there.
    """
    body = "".join(parts)
    if "<a " not in body:
        body = body.replace('tabindex="-1"', 'tabindex="0"', 1)
    head = f'<svg class="chart" role="group" aria-label="{_clean(alt)}" viewBox="0 0 {WIDTH:g} {height:.0f}"{extra}>'
    return Markup(f"{head}{body}</svg>")  # noqa: S704 (made of numbers and escaped text)


def mark(tip: str, shapes: Iterable[str], link: str = "") -> str:
    """Make a mark of a chart: what has a tooltip, can be focused, and may lead somewhere.

    Args:
        tip: The tooltip: label, value and unit.
        shapes: SVG elements, escaped.
        link: An address of the page itself, or empty.

    Returns:
        An SVG element.

    Raises:
        ValueError: The link leads elsewhere.

    >>> mark("risk: 5%", ["<path/>"])
    '<g class="mark" role="img" tabindex="-1"><title>risk: 5%</title><path/></g>'
    """
    body = f"<title>{_clean(tip)}</title>{''.join(shapes)}"
    if not link:
        return f'<g class="mark" role="img" tabindex="-1">{body}</g>'
    if link[0] not in "/#" or link.startswith("//"):
        raise ValueError(f"expected a link into the page itself, found {link[:80]!r}")
    return f'<a class="mark" href="{_clean(link)}" aria-label="{_clean(tip)}">{body}</a>'


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "") -> str:
    """Write a line of text.

    Args:
        x: Where it starts; or its middle or end, by the anchor.
        y: Its baseline.
        content: The text.
        kind: A class of the style sheet, such as 'tick'.
        anchor: 'middle' or 'end'; empty for the start.

    Returns:
        An SVG element.
    """
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{_clean(content)}</text>'


def lines_of_text(x: float, y: float, lines: Sequence[str], kind: str = "", anchor: str = "") -> list[str]:
    """Write lines of text below each other.

    Args:
        x: Where they start; or their middle or end, by the anchor.
        y: The baseline of the first line.
        lines: The lines.
        kind: A class of the style sheet.
        anchor: 'middle' or 'end'; empty for the start.

    Returns:
        SVG elements.
    """
    return [text(x, y + LINE * place, line, kind, anchor) for place, line in enumerate(lines)]


def rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    """Draw a rectangle; the lines of its fill are a path, since patterns become large images in a printed file.

    Args:
        x: Left end.
        y: Upper end.
        width: Its width; below zero counts as zero.
        height: Its height; below zero counts as zero.
        fill: One of FILLS, or a class of the style sheet.

    Returns:
        SVG elements.
    """
    width, height = max(width, 0.0), max(height, 0.0)
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    lines = _FILL_LINES[fill](x, y, x + width, y + height) if fill in _FILL_LINES and min(width, height) > 1 else ""
    return f'<rect class="{fill}" {place}/>' + (f'<path class="hatch" d="{lines}"/>' if lines else "")


def _diagonals(x0: float, y0: float, x1: float, y1: float) -> str:
    """Lines x + y = c inside a rectangle, for every multiple c of STEP.

    >>> _diagonals(0, 0, 12, 6)
    'M6.0 0.0L0.0 6.0M12.0 0.0L6.0 6.0'
    """
    sums = [STEP * place for place in range(int((x0 + y0) // STEP) + 1, ceil((x1 + y1) / STEP))]
    ends = [(min(x1, c - y0), max(x0, c - y1)) for c in sums]
    return "".join(f"M{a:.1f} {c - a:.1f}L{b:.1f} {c - b:.1f}" for c, (a, b) in zip(sums, ends, strict=True))


def _dots(x0: float, y0: float, x1: float, y1: float) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h1.5" for y in _between(y0, y1) for x in _between(x0, x1 - 1.5))


def _squares(x0: float, y0: float, x1: float, y1: float) -> str:
    across = "".join(f"M{x0:.1f} {y:.1f}H{x1:.1f}" for y in _between(y0, y1))
    return across + "".join(f"M{x:.1f} {y0:.1f}V{y1:.1f}" for x in _between(x0, x1))


def _between(low: float, high: float) -> list[float]:
    """The multiples of STEP between two numbers."""
    return [STEP * place for place in range(int(low // STEP) + 1, ceil(high / STEP))]


_FILL_LINES = {"hatched": _diagonals, "dotted": _dots, "crossed": _squares}


def path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    """Draw a line through points; nothing if there are fewer than two.

    >>> path("line", [(0.0, 1.0), (2.0, 3.0)])
    '<path class="line" d="M0.0 1.0L2.0 3.0"/>'
    """
    if len(points) < 2:
        return ""
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def point(x: float, y: float, style: str, size: float = 4.5) -> list[str]:
    """Draw a point with room around it for the pointer.

    Args:
        x: Its middle.
        y: Its middle.
        style: 'solid' for a dot, 'dashed' for a hollow square, 'square' for a filled one.
        size: Half of its width.

    Returns:
        SVG elements.
    """
    hit = f'<circle class="hit" cx="{x:.1f}" cy="{y:.1f}" r="11"/>'
    if style == "solid":
        return [hit, f'<circle class="solid" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>']
    return [hit, rectangle(x - size, y - size, 2 * size, 2 * size, "solid" if style == "square" else "open")]


def fill_legend(names: Sequence[str], fills: Sequence[str] = FILLS) -> tuple[list[str], float]:
    """Draw a legend of fills above a chart, in as many rows as it needs.

    Args:
        names: What each fill stands for.
        fills: The fills, in the same order.

    Returns:
        SVG elements, and the height that they take.
    """
    swatches = [lambda x, y, fill=fill: rectangle(x, y - 11, 12, 12, fill) for fill in fills]
    return _legend(names, swatches, 18)


def line_legend(names: Sequence[str], styles: Sequence[str]) -> tuple[list[str], float]:
    """Draw a legend of lines ('solid', 'dashed', 'dotted') above a chart.

    Args:
        names: What each line stands for.
        styles: The styles, in the same order.

    Returns:
        SVG elements, and the height that they take.
    """

    def swatch(x: float, y: float, style: str) -> str:
        line = path(f"line {style}", [(x, y - 5), (x + 26, y - 5)])
        return line if style == "dotted" else line + point(x + 13, y - 5, style, 4)[1]

    return _legend(names, [lambda x, y, style=style: swatch(x, y, style) for style in styles], 32)


def _legend(names: Sequence[str], swatches: Sequence[Any], width: float) -> tuple[list[str], float]:
    parts, x, y = [], 0.0, 14.0
    for name, swatch in zip(names, swatches, strict=False):
        needed = width + COLUMN * text_width(name)
        if x and x + needed > WIDTH:
            x, y = 0.0, y + LINE + 2
        parts += [swatch(x, y), text(x + width, y, name)]
        x += needed + 18
    return parts, y + 10


def _clean(content: str) -> Markup:
    """Escape a text, with a space for each control character."""
    return escape("".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in content))
