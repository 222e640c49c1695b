"""Panels of estimates: a line from low to high, zero dashed, and one chart a panel."""

from __future__ import annotations

from serving.charts.axes import format_tick
from serving.charts.intervals import Panel, PlottedEstimate, interval_panels
from tests.serving.charts.drawn import ESTIMATES, elements, of_class


def test_ours_is_a_square_and_the_others_are_circles() -> None:
    svg = interval_panels([Panel("AUC", "right", format_tick, ESTIMATES)] * 2)
    assert len([e for e in elements(svg) if e.tag == "svg"]) == 2
    assert {e.tag for e in of_class(svg, "solid")} == {"rect"} and {e.tag for e in of_class(svg, "open")} == {"circle"}
    assert "AUC, right: " in svg


def test_zero_is_dashed_where_it_matters() -> None:
    effect = [PlottedEstimate("plan", 2.0, 1.0, 3.0, True, "plan: +2")]
    assert len(of_class(interval_panels([Panel("effect", "", format_tick, effect, zero=True)]), "zero")) == 1
    assert not of_class(interval_panels([Panel("effect", "", format_tick, effect)]), "zero")
