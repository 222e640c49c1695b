"""Bars in cells of tables: on one scale, and hidden from screen readers."""

from __future__ import annotations

from serving.charts.cells import interval_cell, waterfall_bar
from tests.serving.charts.drawn import elements


def test_cells_of_tables() -> None:
    cell, bar = elements(waterfall_bar(0.0, 5.0, 0.0, 10.0))
    assert cell.attrib["aria-hidden"] == "true"
    assert bar.attrib == {"class": "up", "x": "0.0", "y": "2", "width": "100.0", "height": "12"}
    assert elements(waterfall_bar(5.0, 0.0, 0.0, 10.0))[1].attrib["class"] == "down"
    _, zero, reach, _ = elements(interval_cell(-1.0, 1.0, 3.0, (-5.0, 5.0)))
    assert (zero.attrib["d"], reach.attrib["d"]) == ("M100.0 0V16", "M80.0 8H160.0")
    assert len(elements(interval_cell(1.0, 2.0, 3.0, (1.0, 3.0)))) == 3  # zero is beyond the scale
