"""What holds for every chart: escaped, one tooltip a mark, within reach of the keyboard, the same bytes twice."""

from __future__ import annotations

import re

import pytest

from serving.charts.svg import STATIC, chart, fill_legend, mark, rectangle
from tests.serving.charts.drawn import BAD, CHARTS, SEEN, elements, of_class

LARGEST = 400_000  # bytes of chart code


@pytest.mark.parametrize("kind", CHARTS)
def test_every_chart_is_safe_and_says_what_it_shows(kind: str) -> None:
    draw, marks = CHARTS[kind]
    svg = draw()
    assert svg == draw(), "the same bytes twice"
    roots = [element for element in elements(svg) if element.tag == "svg"]
    assert all(root.attrib["role"] == "group" and SEEN in root.attrib["aria-label"] for root in roots)
    found = of_class(svg, "mark")
    assert len(found) == marks
    assert all(element.tag == "a" or element.attrib["role"] == "img" for element in found)
    assert all(element[0].tag == "title" and element[0].text for element in found)
    assert BAD not in svg and "<b>" not in svg and "\x07" not in svg
    assert not re.search(r"style=|<style|<script|\son\w+=| id=|https?:|url\(|font-family", svg)


@pytest.mark.parametrize("kind", CHARTS)
def test_the_tab_key_reaches_every_chart(kind: str) -> None:
    found = of_class(CHARTS[kind][0](), "mark")
    links = [element for element in found if element.tag == "a"]
    assert links or [element.attrib["tabindex"] for element in found] == ["0"] + ["-1"] * (len(found) - 1)


@pytest.mark.parametrize("fill", ["hatched", "dotted", "crossed"])
def test_the_lines_of_a_fill_stay_inside_and_have_no_id(fill: str) -> None:
    svg = chart("alt", 100, [rectangle(10.0, 20.0, 30.0, 25.0, fill)])
    _, _, lines = elements(svg)
    assert "id" not in lines.attrib
    for move, x, y in re.findall(r"([ML])([\d.]+) ([\d.]+)", lines.attrib["d"]):
        assert 10 <= float(x) <= 40 and 20 <= float(y) <= 45, (move, x, y)
    assert len(elements(chart("alt", 100, [rectangle(10.0, 20.0, 30.0, 0.0, fill)]))) == 2


@pytest.mark.parametrize("link", ["https://a.example", "//a.example", "javascript:alert(1)"])
def test_a_link_leads_into_the_page_only(link: str) -> None:
    with pytest.raises(ValueError, match="expected a link into the page"):
        mark("tip", [], link)


def test_a_legend_takes_as_many_rows_as_it_needs() -> None:
    few, low = fill_legend(["x", "y"])
    many, high = fill_legend(["a long name of a group of customers"] * 5)
    assert (len(few), len(many)) == (4, 10) and high > low


def test_script_and_style_are_small_and_ask_for_nothing() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(STATIC.iterdir())]
    assert [path.name for path in sorted(STATIC.iterdir())] == ["charts.css", "charts.js"]
    assert sum(map(len, texts)) < LARGEST
    for word in ("eval(", "Function(", "innerHTML", "http", "@import", "url(", "fetch"):
        assert not any(word in text for text in texts), word
