"""The card and the curve of a customer's next purchase."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from serving.language.messages import get_language
from serving.web.views.next_purchase import next_purchase

CUTOFF = date(2024, 3, 1)
ROW: dict[str, Any] = {
    "customer_id": "a",
    "next_purchase": date(2024, 3, 8),
    "next_purchase_low": date(2024, 3, 2),
    "next_purchase_high": None,
    "expected_orders": 1.25,
    "overdue_days": 3.4,
    "returns_within_7d": 0.45,
    "returns_within_28d": 0.8,
}


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (3.4, "3 days overdue by their usual gap"),
        (1.0, "1 day overdue by their usual gap"),
        (0.3, "due on 2024-03-01 by their usual gap"),
        (-6.0, "due on 2024-03-07 by their usual gap"),
        (None, ""),
    ],
)
def test_a_customer_is_overdue_or_due_by_their_usual_gap(days: float | None, text: str) -> None:
    shown = next_purchase({**ROW, "overdue_days": days}, CUTOFF, get_language("en"))
    assert shown is not None and shown.overdue == text


def test_the_curve_says_its_points() -> None:
    shown = next_purchase(ROW, CUTOFF, get_language("en"))
    assert shown is not None and (shown.day, shown.high, shown.orders) == (date(2024, 3, 8), None, 1.25)
    assert "45% within 7 days, 80% within 28 days" in shown.chart and shown.chart.startswith("<svg")
    chinese = next_purchase(ROW, CUTOFF, get_language("zh"))
    assert chinese is not None and "7 天内 45%" in chinese.chart


def test_scores_of_an_earlier_model_show_nothing() -> None:
    assert next_purchase({"customer_id": "a"}, CUTOFF, get_language("en")) is None
