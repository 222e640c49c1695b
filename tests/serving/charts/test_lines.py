"""Lines and curves: places by value, unknown values left out, and the scale for the script."""

from __future__ import annotations

from datetime import date

from serving.charts.axes import format_tick
from serving.charts.lines import Curve, CurveAxis, CurvePoint, TimeSeries, curve_chart, line_chart
from tests.serving.charts.drawn import DAYS, elements, of_class


def test_lines_leave_out_unknown_values() -> None:
    series = TimeSeries("risk", [0.1, None, 0.3], [0.0, None, 0.2], [0.2, None, 0.4], links=["/a", "/b", "/c"])
    svg = line_chart("alt", DAYS, [series], format_tick)
    low, high = (e for e in of_class(svg, "solid") if e.tag == "circle")
    assert float(low.attrib["cy"]) > float(high.attrib["cy"]) and len(of_class(svg, "span")) == 2
    assert [mark.attrib["href"] for mark in of_class(svg, "mark")] == ["/a", "/c"]
    assert of_class(svg, "mark")[0][0].text == "risk, 2024-01-01: 0.1 (0 … 0.2)"


def test_a_hollow_series_is_dashed_and_two_series_have_a_legend() -> None:
    svg = line_chart("alt", DAYS[:1], [TimeSeries("b", [1.0]), TimeSeries("c", [2.0], hollow=True)], format_tick)
    assert len(of_class(svg, "open")) == 2 and {"b", "c"} <= {e.text for e in elements(svg)}


def test_days_below_do_not_overlap() -> None:
    days = [date(2024, 1 + n, 1) for n in range(12)]
    svg = line_chart("alt", days, [TimeSeries("b", [1.0] * 12)], format_tick)
    labels = [e for e in elements(svg) if (e.text or "").startswith("2024")]
    places = [float(label.attrib["x"]) for label in labels]
    assert "2024-12-01" in [label.text for label in labels]
    assert all(abs(a - b) > 82 for a, b in zip(places, places[1:], strict=False))


def test_the_curve_tells_the_script_its_scale() -> None:
    axis = CurveAxis("budget", format_tick), CurveAxis("", format_tick)
    svg = curve_chart("alt", [Curve("", [CurvePoint(10.0, 5.0, "x")])], *axis, marker=(10.0, 5.0))
    root = elements(svg)[0].attrib
    assert (root["data-high"], root["data-low"], root["data-last"]) == ("6", "0", "10")
    marker = next(element for element in elements(svg) if element.attrib.get("id") == "marker")
    assert abs(float(marker.attrib["cx"]) - float(root["data-left"]) - float(root["data-inner"])) < 0.1


def test_the_chosen_point_is_a_square_and_a_reference_has_no_points() -> None:
    points = [CurvePoint(0, 0, "a"), CurvePoint(1, 1, "b", chosen=True)]
    axis = CurveAxis("x", format_tick, 2.0), CurveAxis("y", format_tick)
    svg = curve_chart("alt", [Curve("ours", points), Curve("random", points, "dotted")], *axis)
    assert len(of_class(svg, "mark")) == 2 and "2" in [e.text for e in elements(svg)]
    assert [e.tag for e in of_class(svg, "solid") if e.tag != "path"][-2:] == ["circle", "rect"]
