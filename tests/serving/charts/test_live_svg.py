"""The page's own charts: round ticks, places by value, escaped text, and no styles."""

from __future__ import annotations

import re
from datetime import date
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from serving.charts.live_svg import (
    Flow,
    TimeSeries,
    axis_ticks,
    flow_chart,
    format_tick,
    gain_curve,
    inline_figure,
    interval_cell,
    line_chart,
    order_timeline,
    waterfall_bar,
)

DAYS = [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]


def parsed(svg: Markup) -> ElementTree.Element:
    """The chart as XML, without styles."""
    assert "style=" not in svg and "<style" not in svg
    return ElementTree.fromstring(svg)  # noqa: S314 (our own text)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 0.43, [0.0, 0.2, 0.4, 0.6]),
        (0, 1234, [0.0, 500.0, 1000.0, 1500.0]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (0, 0, [0.0]),
    ],
)
def test_ticks_are_round_and_span_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert axis_ticks(low, high) == ticks


def test_ticks_as_text() -> None:
    assert [format_tick(number) for number in (2500.0, 0.5, -0.0, -3.0)] == ["2,500", "0.5", "0", "−3"]


def test_lines_leave_out_unknown_values_and_escape_text() -> None:
    series = TimeSeries("risk", [0.1, None, 0.3], [0.0, None, 0.2], [0.2, None, 0.4])
    chart = parsed(line_chart("Risk & <value>", DAYS, [series], format_tick))
    assert chart.attrib["aria-label"] == "Risk & <value>"
    circles = [element for element in chart if element.tag == "circle"]
    assert len(circles) == 2 and float(circles[0].attrib["cy"]) > float(circles[1].attrib["cy"])
    assert sum(element.attrib.get("class") == "span" for element in chart) == 2
    hollow = parsed(line_chart("a", DAYS[:1], [TimeSeries("b", [1.0], hollow=True)], format_tick))
    assert any(element.attrib.get("class") == "hole" for element in hollow)


def test_refunds_point_down_and_held_out_contacts_are_hollow() -> None:
    chart = parsed(order_timeline("a", [(DAYS[0], 10.0), (DAYS[1], -5.0)], [(DAYS[1], True)], DAYS[2], format_tick))
    up, down = (element for element in chart if element.tag == "circle")
    zero = re.search(r"M[\d.]+ ([\d.]+)V", next(e for e in chart if e.attrib.get("class") == "stem").attrib["d"])
    assert zero and float(up.attrib["cy"]) < float(zero[1]) < float(down.attrib["cy"])
    assert sum(element.attrib.get("class") == "hole" for element in chart) == 1


def test_every_flow_is_a_band_with_its_note() -> None:
    sizes = [("keep", 6), ("<lost>", 4)]
    moved = [Flow("keep", "keep", 6, "6 stayed"), Flow("<lost>", "keep", 4, "4 came back")]
    chart = parsed(flow_chart("a", sizes, [("keep", 10), ("<lost>", 0)], moved))
    bands = [element for element in chart if element.attrib.get("class", "").startswith("band")]
    assert [(band.attrib["class"], band[0].text) for band in bands] == [
        ("band stay", "6 stayed"), ("band move", "4 came back"),
    ]  # fmt: skip
    assert "<lost> (4)" in [element.text for element in chart]


def test_the_curve_tells_the_script_its_scale() -> None:
    chart = parsed(gain_curve("a", [(10.0, 5.0)], [(10.0, 6.0)], (10.0, 5.0), format_tick, "budget"))
    assert chart.attrib["data-high"] == "6" and chart.attrib["data-low"] == "0" and chart.attrib["data-last"] == "10"
    marker = next(element for element in chart if element.attrib.get("id") == "marker")
    assert float(marker.attrib["cx"]) == float(chart.attrib["data-left"]) + float(chart.attrib["data-inner"])


def test_cells_of_tables() -> None:
    assert parsed(waterfall_bar(0.0, 5.0, 0.0, 10.0))[0].attrib == {
        "class": "up", "x": "0.0", "y": "2", "width": "100.0", "height": "12",
    }  # fmt: skip
    assert parsed(waterfall_bar(5.0, 0.0, 0.0, 10.0))[0].attrib["class"] == "down"
    zero, reach, _ = parsed(interval_cell(-1.0, 1.0, 3.0, (-5.0, 5.0)))
    assert (zero.attrib["d"], reach.attrib["d"]) == ("M100.0 0V16", "M80.0 8H160.0")
    assert len(parsed(interval_cell(1.0, 2.0, 3.0, (1.0, 3.0)))) == 2  # zero is beyond the scale


def test_a_figure_of_the_report_has_attributes_for_styles() -> None:
    figure = inline_figure(lambda: '<svg><style>a{}</style><path style="fill: none; stroke: var(--accent)"/></svg>')
    assert figure == '<svg><path fill="none" stroke="var(--accent)"/></svg>'
