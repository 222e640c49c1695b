"""Charts over cutoffs: from two cutoffs on, money only where there is some, and links by cutoff."""

from __future__ import annotations

from datetime import date

from serving.charts.over_cutoffs import CutoffTotals, TotalsWording, charts_over_cutoffs
from serving.language.messages import get_language
from tests.serving.charts.drawn import of_class

TR = get_language("en")
FIRST = CutoffTotals(date(2024, 1, 1), 10, 2, 2.5, 100.0, 20.0, {"keep": 6, "grow": 4})
SECOND = CutoffTotals(date(2024, 2, 1), 20, 3, 4.0, 150.0, 30.0, {"keep": 5, "grow": 14, "new": 1})


def link(day: object, **filters: str) -> str:
    return f"/x?{day}{''.join(filters.values())}"


def test_two_cutoffs_make_four_charts_and_three_without_money() -> None:
    charts = charts_over_cutoffs([FIRST, SECOND], TotalsWording(TR, "{:,.0f}".format, link))
    assert [chart["title"] for chart in charts] == [
        "Expected share of leavers", "Customers, and customers at risk", "Expected value, and value at risk",
        "Customers by segment",
    ]  # fmt: skip
    assert len(charts_over_cutoffs([FIRST, SECOND], TotalsWording(TR, None))) == 3
    assert charts_over_cutoffs([FIRST], TotalsWording(TR, None)) == []
    marks = of_class(charts[0]["svg"], "mark")
    assert [(mark.attrib["href"], mark[0].text) for mark in marks] == [
        ("/x?2024-01-01", "expected share of leavers, 2024-01-01: 25%"),
        ("/x?2024-02-01", "expected share of leavers, 2024-02-01: 20%"),
    ]


def test_segments_are_layers_with_the_largest_at_the_bottom() -> None:
    *_, chart = charts_over_cutoffs([FIRST, SECOND], TotalsWording(TR, None, link))
    marks = of_class(chart["svg"], "mark")
    assert [mark[0].text for mark in marks[:3]] == [
        "grow at 2024-01-01: 4 customers", "keep at 2024-01-01: 6 customers", "new at 2024-01-01: 0 customers",
    ]  # fmt: skip
    assert marks[3].attrib["href"] == "/x?2024-02-01grow"
