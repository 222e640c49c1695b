"""Charts of every kind with hostile text, and their elements, for the tests of charts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from xml.etree import ElementTree

from markupsafe import Markup

from serving.charts import (
    Bar,
    Column,
    ColumnPair,
    Curve,
    CurveAxis,
    CurvePoint,
    Flow,
    FlowGroup,
    Layer,
    Panel,
    PlottedEstimate,
    TimelineEvent,
    TimeSeries,
    columns,
    curve_chart,
    flow_chart,
    format_tick,
    horizontal_bars,
    interval_panels,
    line_chart,
    order_timeline,
    paired_columns,
    stacked_columns,
)

BAD = '<b>& "$x$" \x07流失'
SEEN = '<b>& "$x$"  流失'
DAYS = [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]
AXIS = CurveAxis(BAD, format_tick)
ESTIMATES = [PlottedEstimate(BAD, 0.9, 0.8, 0.95, True, BAD), PlottedEstimate("x", 0.7, 0.6, 0.8, False, "x: 0.7")]

CHARTS: dict[str, tuple[Callable[[], Markup], int]] = {  # with the number of their marks
    "bars": (lambda: horizontal_bars(BAD, [Bar(BAD, 2.0, BAD, "hatched"), Bar("x", 0.0, "0", "open")]), 2),
    "columns": (lambda: columns(BAD, [Column(BAD, 3, BAD, True, "/a?b=<&c"), Column("x", 0, "x: 0")], BAD), 2),
    "pairs": (
        lambda: paired_columns(BAD, [ColumnPair(BAD, 0.1, 0.2, BAD, "x: 20%", 0.1, 0.3)], (BAD, "x"), BAD, str),
        2,
    ),
    "stacks": (lambda: stacked_columns(BAD, [BAD, "x"], [Layer(BAD, [1, 0], [BAD, "x: 0"])] * 5, str), 10),
    "lines": (
        lambda: line_chart(BAD, DAYS, [TimeSeries(BAD, [0.1, None, 0.3], [0.0] * 3, [0.4] * 3)] * 2, format_tick),
        4,
    ),
    "curves": (
        lambda: curve_chart(
            BAD, [Curve(BAD, [CurvePoint(1, 2, BAD, True)]), Curve("x", [CurvePoint(0, 0, "")], "dotted")],
            AXIS, AXIS,
        ),
        1,
    ),
    "panel": (lambda: interval_panels([Panel(BAD, BAD, str, ESTIMATES, True)]), 2),
    "flows": (
        lambda: flow_chart(BAD, [FlowGroup(BAD, 4, BAD)], [FlowGroup("x", 4, "x: 4", "/x")], [Flow(BAD, "x", 4, BAD)]),
        3,
    ),
    "timeline": (
        lambda: order_timeline(
            BAD, [TimelineEvent(DAYS[0], -5.0, BAD)], [TimelineEvent(DAYS[1], 0.0, BAD, True)], DAYS[2], format_tick
        ),
        2,
    ),
}  # fmt: skip


def elements(svg: str) -> list[ElementTree.Element]:
    """All elements of a chart, which must be well-formed."""
    return list(ElementTree.fromstring(svg).iter())  # noqa: S314 (our own text)


def of_class(svg: str, kind: str) -> list[ElementTree.Element]:
    """The elements of a class."""
    return [element for element in elements(svg) if kind in element.attrib.get("class", "").split()]
