"""When a customer is expected to buy next: the date, how overdue they are, and their curve as a chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from serving.charts.lines import Curve, CurveAxis, CurvePoint, curve_chart
from serving.language.formats import format_share
from serving.language.messages import Language
from serving.scoring.columns import NEXT_PURCHASE, NEXT_PURCHASE_COLUMNS

WITHIN = "returns_within_"


@dataclass(frozen=True)
class NextPurchase:
    """What the page shows of a customer's next purchase.

    Attributes:
        day: The day by whose end a purchase is as likely as not; None if that is too far ahead.
        low: The lower end of its interval, or None.
        high: The upper end, or None.
        orders: Expected orders within the horizon.
        overdue: How overdue the customer is, or when they are due; empty if they have no usual gap.
        chart: The curve.
    """

    day: date | None
    low: date | None
    high: date | None
    orders: float
    overdue: str
    chart: Markup


def next_purchase(row: Mapping[str, Any], cutoff: date, tr: Language) -> NextPurchase | None:
    """Read when a customer is expected to buy next.

    Args:
        row: The customer's row of the score table.
        cutoff: Its cutoff.
        tr: The language.

    Returns:
        What to show; None if the scores do not say it.
    """
    if NEXT_PURCHASE not in row:
        return None
    day, low, high = (row[name] for name in NEXT_PURCHASE_COLUMNS)
    overdue = overdue_text(row["overdue_days"], tr)
    if not overdue and row["overdue_days"] is not None:
        overdue = tr("due on {day} by their usual gap", day=cutoff + timedelta(days=-round(row["overdue_days"])))
    return NextPurchase(day, low, high, row["expected_orders"], overdue, _chart(row, tr))


def overdue_text(days: float | None, tr: Language) -> str:
    """Say how overdue a customer is; empty for one who is not, or has no usual gap."""
    if days is None or round(days) <= 0:
        return ""
    return tr.many("{n} day overdue by their usual gap", "{n} days overdue by their usual gap", round(days))


def _chart(row: Mapping[str, Any], tr: Language) -> Markup:
    """The probability of a purchase by days after the cutoff."""
    marks = [(int(name.removeprefix(WITHIN)[:-1]), row[name]) for name in row if name.startswith(WITHIN)]
    texts = [tr("{share} within {days} days", share=format_share(p, tr), days=days) for days, p in marks]
    start = CurvePoint(0.0, 0.0, tr("the cutoff"))
    points = [start, *(CurvePoint(days, p, tip) for (days, p), tip in zip(marks, texts, strict=True))]
    axes = CurveAxis(tr("days after the cutoff"), "{:.0f}".format), CurveAxis("", "{:.0%}".format, 1.0)
    alt = tr("Probability of a purchase by days after the cutoff: {details}.", details=", ".join(texts))
    return curve_chart(alt, [Curve("", points)], *axes)
