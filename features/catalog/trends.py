"""Features of change: against longer windows, the window before and a year ago, and sums that fade with age."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import ibis

from features.feature import Feature, daily_rate, money
from features.point_in_time.measures import MONTH, YEAR
from features.task import Window
from features.templates import phrase

MILLIONTHS = 1_000_000  # weights of orders are summed as integers, so that sums do not depend on the order of rows

Pair = tuple[str, str, str]  # the first word of the column, the measure, the noun in texts
ORDERS: Pair = ("orders", "orders", "orders")
SPEND: Pair = ("amount", "spend", "spend")


def _measures_compared(has_amount: bool) -> tuple[Pair, ...]:
    return (ORDERS, SPEND) if has_amount else (ORDERS,)


def pace_features(short: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    """The pace of orders and spend in a short window, compared with the next longer one.

    Args:
        short: The short window.
        long: The next longer window.
        has_amount: Whether the log has amounts.

    Yields:
        One feature for orders and, with amounts, one for spend.
    """
    for stem, measure, noun in _measures_compared(has_amount):
        yield Feature(
            f"{stem}_trend_{short}_{long}",
            lambda m, measure=measure: daily_rate(m, measure, short) / daily_rate(m, measure, long).nullif(0),  # type: ignore[misc]
            f"{noun} trend",
            phrase(f"pace of {noun} in the last <days> days against the last <long>", days=short.days, long=long.days),
            phrase(f"{noun} at {{value:number}} times the pace of the last <long> days", long=long.days),
            "ratio",
            long,
            unread=phrase("no order in the last <days> days", days=long.days),
            at_zero=phrase("no order in the last <days> days", days=short.days),
            actionable=True,
        )


def change_features(w: Window, has_amount: bool) -> Iterator[Feature]:
    """A window minus the window before it and, for windows under a year, minus the same window a year ago."""
    before = "the <days> days before"
    yield from _difference_features(w, "change", f"before_{w}", before, "trend", 2 * w.days, has_amount)
    if w.days < YEAR:
        span, then = f"year_ago_{w}", "the same <days> days a year ago"
        yield from _difference_features(w, "change_on_year", span, then, "on the year", YEAR + w.days, has_amount)


def _difference_features(
    w: Window, stem: str, span: str, than: str, family: str, reach: int, has_amount: bool
) -> Iterator[Feature]:
    """Differences to an earlier span; null if the log does not reach back to the first day of the span."""
    text = partial(phrase, days=w.days)
    unread = text(f"the log does not reach back to all of {than}")
    forms = {"orders": ("{value:more|fewer|#order}", "as many orders"), "spend": ("{value:more|less|money} spent", "")}
    for name, measure, noun in _measures_compared(has_amount):
        how, equal = forms[noun]
        yield Feature(
            f"{name}_{stem}_{w}",
            lambda m, measure=measure: _difference(m, measure, w, span, reach),  # type: ignore[misc]
            f"{noun} {family}",
            text(f"{noun} in the last <days> days against {than}"),
            text(f"{how} in the last <days> days than in {than}"),
            "money" if noun == "spend" else "orders",
            w,
            unread,
            text(f"{equal or 'the same spend'} in the last <days> days as in {than}"),
            actionable=True,
        )


def _difference(m: ibis.Table, measure: str, w: Window, span: str, reach: int) -> ibis.Value:
    change = m[f"{measure}_{w}"] - m[f"{measure}_{span}"]
    known = (m.reach >= reach).ifelse(change, ibis.null("int64"))
    return money(known) if measure == "spend" else known


def acceleration_features(short: Window, mid: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    """The monthly pace in a short window, compared with the pace that two longer windows point to.

    Args:
        short: The short window.
        mid: The next longer window.
        long: The longest of the three.
        has_amount: Whether the log has amounts.

    Yields:
        One feature for orders and, with amounts, one for spend.
    """
    text = partial(phrase, days=short.days, mid=mid.days, long=long.days)
    pointed = "where the pace of the last <long> and <mid> days pointed"
    for stem, measure, noun in _measures_compared(has_amount):
        form = _number_format(noun)
        yield Feature(
            f"{stem}_acceleration_{short}_{mid}_{long}",
            lambda m, measure=measure: _second_difference(m, measure, short, mid, long),  # type: ignore[misc]
            f"{noun} trend",
            text(f"{noun} a month in the last <days> days against {pointed}"),
            text(f"{noun} a month in the last <days> days {{value:above|below|{form}}} {pointed}"),
            "money" if noun == "spend" else "orders",
            long,
            at_zero=text(f"{noun} in the last <days> days {pointed}"),
            actionable=True,
        )


def _second_difference(m: ibis.Table, measure: str, short: Window, mid: Window, long: Window) -> ibis.Value:
    """The formula (pace short - pace mid) - (pace mid - pace long), by month."""
    bend = (daily_rate(m, measure, short) - daily_rate(m, measure, mid)) - (
        daily_rate(m, measure, mid) - daily_rate(m, measure, long)
    )
    return (money(bend) if measure == "spend" else bend) * MONTH


def _number_format(noun: str) -> str:
    return "money" if noun == "spend" else "number"


def fading_sums(orders: ibis.Table, windows: Sequence[Window], has_amount: bool) -> dict[str, ibis.Value]:
    """Orders and spend with weights that fade with age: 2^(-age / window), rounded for each order.

    Args:
        orders: Visible orders with `age`, `purchase` and `amount`.
        windows: The half-lives.
        has_amount: Whether the log has amounts.

    Returns:
        Expressions to aggregate by customer and cutoff, by the name of the measure; orders in millionths, spend in
        ticks.
    """
    sums = {}
    for w in windows:
        weight = ibis.literal(2.0) ** (-orders.age / w.days)
        sums[f"orders_fading_{w}"] = _round_half_up(weight * MILLIONTHS).sum(where=orders.purchase)
        if has_amount:
            sums[f"spend_fading_{w}"] = _round_half_up(weight * orders.amount).sum(where=orders.purchase)
    return sums


def _round_half_up(number: ibis.Value) -> ibis.Value:
    return (number + 0.5).floor().cast("int64")


def fading_features(w: Window, has_amount: bool) -> Iterator[Feature]:
    """Orders and spend with weights that fade with age."""
    fades, days = "each counting half for every <days> days since", w.days
    yield Feature(
        f"orders_fading_{w}",
        lambda m: m[f"orders_fading_{w}"] / MILLIONTHS,
        "frequency",
        phrase(f"orders so far, {fades}", days=days),
        phrase(f"{{value:number}} orders so far, {fades}", days=days),
        "orders",
        w,
        actionable=True,
    )
    if has_amount:
        yield Feature(
            f"amount_fading_{w}",
            lambda m: money(m[f"spend_fading_{w}"]),
            "money",
            phrase(f"spend so far, {fades}", days=days),
            phrase(f"spent {{value:money}} so far, {fades}", days=days),
            "money",
            w,
            actionable=True,
        )
