"""Distributions before and now: the strongest drift first, shares of each side, and names of groups."""

from __future__ import annotations

from typing import Any

from serving.charts.drift import drift_charts
from serving.language.messages import get_language
from tests.serving.charts.drawn import of_class

TR = get_language("en")
NUMBERS = {"edges": [1.0, 20.5], "before": [50, 30, 20, 0], "now": [10, 30, 60, 0]}
LEVELS = {"levels": ["<gold>", None], "before": [1, 1, 2], "now": [3, 1, 0]}


def row(name: str, psi: float, histogram: dict[str, Any] | None, moved: bool = True) -> dict[str, Any]:
    return {"name": name, "phrase": f"phrase of {name}", "psi": psi, "moved": moved, "histogram": histogram}


def tips(svg: str) -> list[str | None]:
    return [mark[0].text for mark in of_class(svg, "mark")]


def test_only_drift_with_a_histogram_is_drawn_strongest_first() -> None:
    rows = [row("a", 0.3, NUMBERS), row("b", 0.5, LEVELS), row("c", 0.9, None), row("d", 0.9, NUMBERS, moved=False)]
    assert [chart["title"] for chart in drift_charts(rows, TR)] == ["phrase of b", "phrase of a"]
    assert len(drift_charts(rows, TR, 1)) == 1
    assert drift_charts([{"name": "old", "moved": True, "psi": 0.5}], TR) == []


def test_numbers_are_pairs_of_shares() -> None:
    (chart,) = drift_charts([row("a", 0.3, NUMBERS)], TR)
    assert tips(chart["svg"])[:2] == [
        "phrase of a ≤ 1: 50.0% of the customers before", "phrase of a ≤ 1: 10.0% of the customers now",
    ]  # fmt: skip
    assert len(tips(chart["svg"])) == 6, "without missing ones"


def test_levels_are_bars_with_both_shares() -> None:
    (chart,) = drift_charts([row("a", 0.3, LEVELS)], TR)
    assert tips(chart["svg"]) == [
        "<gold>: before 25.0%, now 75.0%", "missing: before 25.0%, now 25.0%", "all others: before 50.0%, now 0.0%",
    ]  # fmt: skip


def test_many_levels_share_a_bar() -> None:
    many = {"levels": list("abcdefghijkl"), "before": [1] * 13, "now": [1] * 13}
    (chart,) = drift_charts([row("a", 0.3, many)], TR)
    assert len(tips(chart["svg"])) == 10 and tips(chart["svg"])[-1] == "all others: before 30.8%, now 30.8%"
