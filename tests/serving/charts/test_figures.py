"""Charts: escaped, in the page's colours, the same bytes twice."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from serving.charts import figures

BARS = [figures.Bar("days <b>& $x$", 2.0, "2.0 points", "solid"), figures.Bar("other", 1.0, "depends", "open")]
PANELS = [
    figures.Panel(
        "AUC",
        "right",
        True,
        [figures.PlottedEstimate("ours", 0.9, 0.8, 0.95, True), figures.PlottedEstimate("x", 0.7, 0.6, 0.8, False)],
    )
]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.horizontal_bars("a", 'alt "<>', BARS),
        lambda: figures.histogram("b", 'alt "<>', ["low", "high"], [3, 0], 1, "risk"),
        lambda: figures.histogram("b", 'alt "<>', ["low", "high"], [0, 0], 1, "risk"),
        lambda: figures.interval_panels("c", 'alt "<>', PANELS),
        lambda: figures.interval_panels("c", 'alt "<>', PANELS * 3),
        lambda: figures.interval_panels(
            "c", 'alt "<>', [figures.Panel("effect", "right", False, PANELS[0].dots, zero=True)]
        ),
        lambda: figures.paired_columns(
            "d",
            'alt "<>',
            [figures.ExpectedObserved(0.1, 0.2, 0.1, 0.3), figures.ExpectedObserved(0.0, 0.0, 0.0, 0.0)],
            "risk",
        ),
        lambda: figures.budget_curves(
            "e", 'alt "<>', [figures.BudgetCurve("gain", [(1.0, -2.0), (2.0, 5.0)], 1, "here")], "budget"
        ),
    ],
)
def test_a_chart_is_one_well_formed_element_with_a_name(draw: Callable[[], str]) -> None:
    svg = draw()
    root = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))  # noqa: S314 (our own)
    assert root.tag == "svg" and root.attrib["aria-label"] == 'alt "<>' and "viewBox" in root.attrib
    assert "#01020" not in svg and "http" not in svg and "font-family" not in svg and "style" not in svg
    assert svg == draw()


def test_text_stays_text() -> None:
    svg = figures.horizontal_bars("a", "alt", BARS)
    assert "days &lt;b&gt;&amp; $x$" in svg
    assert "currentColor" in svg and "var(--accent)" in svg


def test_chinese_is_given_its_room_and_put_back_without_a_warning() -> None:
    rows = [figures.Bar("客户流失的风险" * 9, 2.0, "越多风险越高", "solid"), figures.Bar("\x07⤀ 🏅", 1.0, "阿", "open")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = figures.horizontal_bars("a", "alt", rows)
    assert {" ⤀ 🏅", "越多风险越高", "阿"} <= set(re.findall(r"<text[^>]*>([^<]*)<", svg))
    lines = [(float(left), text) for left, text in re.findall(r'translate\(([\d.]+) [\d.]+\)">([^<]*)<', svg)]
    assert len(lines) > 1 and "".join(text for _, text in lines) == "客户流失的风险" * 9
    assert len({round(left + 9 * len(text)) for left, text in lines}) == 1, "9 points a letter, flush on the right"


def test_charts_of_one_page_share_no_id() -> None:
    ids = [
        re.findall(r' id="([^"]+)"', svg)
        for svg in (figures.horizontal_bars("a", "alt", BARS), figures.horizontal_bars("b", "alt", BARS))
    ]
    assert not set(ids[0]) & set(ids[1])
