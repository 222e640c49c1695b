"""Flows of customers between groups, and the time line of a customer's orders and contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup

from serving.charts.axes import TOP, Format, Plot, place_days, vertical_axis
from serving.charts.svg import LINE, WIDTH, chart, mark, rectangle, text
from serving.charts.text_layout import text_width, truncate_text

SIDE, NODE, GAP, FULL = 165.0, 9.0, 12.0, 280.0
NAME = int(SIDE / 7.6)  # greatest width of a name with its number, in columns


@dataclass(frozen=True)
class FlowGroup:
    """A group at one end of a flow chart: its name, its number of customers, its tooltip, and a link."""

    name: str
    customers: int
    tip: str
    link: str = ""


@dataclass(frozen=True)
class Flow:
    """Customers who went from one group to another, with a tooltip."""

    start: str
    end: str
    customers: int
    tip: str


@dataclass(frozen=True)
class TimelineEvent:
    """An order (its amount) or a contact (0) on a day, with a tooltip; `hollow` for a customer who was held out."""

    day: date
    amount: float
    tip: str
    hollow: bool = False


def flow_chart(
    alt: str, left: Sequence[FlowGroup], right: Sequence[FlowGroup], moved: Sequence[Flow]
) -> Markup:  # fmt: skip
    """Draw bands between the groups at one cutoff and at the next; the width of a band is its number of customers.

    Args:
        alt: The text alternative.
        left: Groups before, from the top.
        right: Groups after, from the top.
        moved: The flows between groups; those who stayed in their group included.

    Returns:
        An SVG element.
    """
    total = max(sum(group.customers for group in left), sum(group.customers for group in right), 1)
    scale = FULL / total
    starts, ends = _stacked(left, scale), _stacked(right, scale)
    height = max(_end(left, starts, scale), _end(right, ends, scale))
    parts, used_left, used_right = [], dict(starts), dict(ends)
    order = {group.name: place for place, group in enumerate(right)}
    for flow in sorted(moved, key=lambda f: (starts[f.start], order[f.end])):
        wide = flow.customers * scale
        y0, y1 = used_left[flow.start], used_right[flow.end]
        used_left[flow.start] += wide
        used_right[flow.end] += wide
        parts.append(mark(flow.tip, [_band(y0, y1, wide, "stay" if flow.start == flow.end else "move")]))
    parts += [_node(group, starts[group.name], scale, SIDE, "end") for group in left]
    parts += [_node(group, ends[group.name], scale, WIDTH - SIDE - NODE, "start") for group in right]
    return chart(alt, height + 12, parts)


def _stacked(groups: Sequence[FlowGroup], scale: float) -> dict[str, float]:
    """Place the top of each group; small groups keep room for their names."""
    places, y = {}, 8.0
    for group in groups:
        places[group.name] = y
        y += max(group.customers * scale, 8.0) + GAP
    return places


def _end(groups: Sequence[FlowGroup], places: Mapping[str, float], scale: float) -> float:
    return max(places[group.name] + max(group.customers * scale, 8.0) for group in groups)


def _node(group: FlowGroup, y: float, scale: float, x: float, anchor: str) -> str:
    tall, size = max(group.customers * scale, 1.0), f" ({group.customers:,})"
    label = truncate_text(group.name, NAME - text_width(size)) + size
    shapes = [
        rectangle(0 if anchor == "end" else x, y - 4, SIDE + NODE, tall + 8, "hit"),
        rectangle(x, y, NODE, tall, "solid"),
        text(x - 8 if anchor == "end" else x + NODE + 8, y + tall / 2 + 5, label, "", "end" if anchor == "end" else ""),
    ]
    return mark(group.tip, shapes, group.link)


def _band(y0: float, y1: float, wide: float, kind: str) -> str:
    x0, x1 = SIDE + NODE, WIDTH - SIDE - NODE
    half = (x0 + x1) / 2
    edge = f"M{x0} {y0:.1f}C{half} {y0:.1f} {half} {y1:.1f} {x1} {y1:.1f}"
    back = f"V{y1 + wide:.1f}C{half} {y1 + wide:.1f} {half} {y0 + wide:.1f} {x0} {y0 + wide:.1f}Z"
    return f'<path class="band {kind}" d="{edge}{back}"/>'


def order_timeline(
    alt: str, orders: Sequence[TimelineEvent], contacts: Sequence[TimelineEvent], end: date, format_value: Format
) -> Markup:  # fmt: skip
    """Draw orders as stems of the height of their amounts (refunds point down), and contacts as triangles below.

    Args:
        alt: The text alternative.
        orders: The orders.
        contacts: The contacts.
        end: The cutoff, drawn as a dashed line.
        format_value: Formats a tick of the vertical axis.

    Returns:
        An SVG element.
    """
    first = min([event.day for event in (*orders, *contacts)] + [end - timedelta(30)])
    plot, parts = vertical_axis([event.amount for event in orders], format_value, TOP, 150.0, 3)
    across, foot = place_days([first, end], plot), plot.base + 20
    parts.append(f'<path class="cutoff" d="M{across(end):.1f} {plot.top:g}V{foot + 2:.1f}"/>')
    parts += [mark(event.tip, _stem(across(event.day), event, plot)) for event in orders]
    parts += [mark(event.tip, _triangle(across(event.day), event, foot)) for event in contacts]
    for part, anchor in ((0, ""), (2, "middle"), (4, "end")):
        day = first + (end - first) * part // 4
        x = plot.left if part == 0 else across(day) + (10 if part == 4 else 0)
        parts.append(text(x, foot + LINE + 4, str(day), "tick", anchor))
    return chart(alt, foot + LINE + 12, parts)


def _stem(x: float, event: TimelineEvent, plot: Plot) -> list[str]:
    y, zero = plot.down(event.amount), plot.down(0.0)
    return [
        rectangle(x - 4, min(y, zero) - 6, 8, abs(y - zero) + 12, "hit"),
        f'<path class="stem" d="M{x:.1f} {zero:.1f}V{y:.1f}"/>',
        f'<circle class="solid" cx="{x:.1f}" cy="{y:.1f}" r="3"/>',
    ]


def _triangle(x: float, event: TimelineEvent, foot: float) -> list[str]:
    kind = "open" if event.hollow else "solid"
    shape = f'<path class="{kind}" d="M{x - 6:.1f} {foot:.1f}h12l-6 -11z"/>'
    return [rectangle(x - 7, foot - 14, 14, 16, "hit"), shape]
