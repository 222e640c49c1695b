"""Bars and columns: as long as their numbers, solid, hatched or open, and with a link where there is one."""

from __future__ import annotations

from serving.charts.bars import (
    Bar,
    Column,
    ColumnPair,
    Layer,
    columns,
    horizontal_bars,
    paired_columns,
    stacked_columns,
)
from tests.serving.charts.drawn import elements, of_class


def test_bars_are_as_long_as_their_numbers() -> None:
    svg = horizontal_bars("alt", [Bar("x", 4.0, "4", "solid"), Bar("y", 1.0, "1", "solid"), Bar("z", 0, "0", "open")])
    long, short = (float(bar.attrib["width"]) for bar in of_class(svg, "solid"))
    assert abs(long - 4 * short) < 0.2 and of_class(svg, "open")[0].attrib["width"] == "0.0"


def test_columns_have_their_numbers_or_an_axis() -> None:
    few = columns("alt", [Column("x", 3, "x: 3", False, "/x"), Column("y", 0, "y: 0")], "axis")
    assert [e.text for e in elements(few) if e.tag == "text"] == ["3", "0", "x", "y", "axis"]
    assert of_class(few, "mark")[0].attrib["href"] == "/x" and len(of_class(few, "open")) == 1
    many = columns("alt", [Column(str(n), 1_000_000 + n, f"{n}") for n in range(10)], "axis")
    assert of_class(many, "grid") and "1,000,000" in [e.text for e in elements(many)]


def test_the_second_of_a_pair_has_its_interval() -> None:
    pairs = [ColumnPair("1", 0.1, 0.2, "a", "b", 0.1, 0.3), ColumnPair("2", 0.0, 0.0, "c", "d")]
    svg = paired_columns("alt", pairs, ("expected", "observed"), "", "{:.0%}".format)
    assert len(of_class(svg, "span")) == 1 and len(of_class(svg, "hatched")) == 3  # one in the legend
    assert "expected" in [e.text for e in elements(svg)]


def test_layers_stand_on_each_other() -> None:
    layers = [Layer("low", [3, 1], ["a", "b"], ["/a", "/b"]), Layer("high", [1, 1], ["c", "d"])]
    svg = stacked_columns("alt", ["x", "y"], layers, "{:.0f}".format)
    first = of_class(svg, "mark")[:2]
    below, above = first[0][1].attrib, first[1][1].attrib
    assert abs(float(above["y"]) + float(above["height"]) - float(below["y"])) < 0.2
    assert abs(float(below["height"]) - 3 * float(above["height"])) < 0.3
