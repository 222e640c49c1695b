"""Axes: round ticks that span the values, and labels that do not overlap."""

from __future__ import annotations

import re

import pytest

from serving.charts.axes import Plot, axis_ticks, format_tick, labels_below, vertical_axis


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


def test_the_axis_has_zero_and_room_for_its_labels() -> None:
    plot, _ = vertical_axis([1_000_000.0], format_tick, 0.0, 100.0)
    assert (plot.down(0.0), plot.low) == (100.0, 0.0) and plot.left > 70


def test_labels_without_room_are_left_out_but_never_the_last() -> None:
    plot = Plot(0.0, 450.0, 0.0, 100.0, 0.0, 1.0)
    places = [22.5 + 45 * place for place in range(10)]
    written = [re.sub("<[^>]+>", "", each) for each in labels_below(plot, places, [f"label {n}" for n in range(10)])]
    assert written == ["label 1", "label 3", "label 5", "label 7", "label 9"]
    assert len(labels_below(plot, places, list("0123456789"))) == 10
