"""Small bars in the cells of a table; the numbers stand beside them, so they are hidden from screen readers."""

from __future__ import annotations

from markupsafe import Markup

HEAD = '<svg class="cell" viewBox="0 0 200 16" preserveAspectRatio="none" aria-hidden="true">'


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
    bar = f'<rect class="{kind}" x="{a:.1f}" y="2" width="{max(b - a, 0.8):.1f}" height="12"/>'
    return Markup(f"{HEAD}{bar}</svg>")  # noqa: S704 (numbers)


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
        f'{HEAD}{zero}<path class="reach" d="M{a:.1f} 8H{b:.1f}"/>'
        f'<rect class="up" x="{m - 2:.1f}" y="3" width="4" height="10"/></svg>'
    )
