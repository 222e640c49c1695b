"""Flows between groups, and a customer's time line."""

from __future__ import annotations

import re

from serving.charts.axes import format_tick
from serving.charts.flows import Flow, FlowGroup, TimelineEvent, flow_chart, order_timeline
from tests.serving.charts.drawn import DAYS, elements, of_class


def test_every_flow_is_a_band_with_its_note() -> None:
    left = [FlowGroup("keep", 6, "keep: 6", "/keep"), FlowGroup("<lost>", 4, "lost: 4")]
    right = [FlowGroup("keep", 10, "keep: 10"), FlowGroup("<lost>", 0, "lost: 0")]
    moved = [Flow("keep", "keep", 6, "6 stayed"), Flow("<lost>", "keep", 4, "4 came back")]
    svg = flow_chart("alt", left, right, moved)
    marks = of_class(svg, "mark")
    assert [(each[1].attrib["class"], each[0].text) for each in marks[:2]] == [
        ("band stay", "6 stayed"), ("band move", "4 came back"),
    ]  # fmt: skip
    assert marks[2].attrib["href"] == "/keep" and "<lost> (4)" in [element.text for element in elements(svg)]


def test_refunds_point_down_and_held_out_contacts_are_hollow() -> None:
    orders = [TimelineEvent(DAYS[0], 10.0, "10"), TimelineEvent(DAYS[1], -5.0, "−5")]
    svg = order_timeline("alt", orders, [TimelineEvent(DAYS[1], 0.0, "mail", True)], DAYS[2], format_tick)
    up, down = (element for element in elements(svg) if element.tag == "circle")
    zero = re.search(r"M[\d.]+ ([\d.]+)V", of_class(svg, "stem")[0].attrib["d"])
    assert zero and float(up.attrib["cy"]) < float(zero[1]) < float(down.attrib["cy"])
    assert len(of_class(svg, "open")) == 1
