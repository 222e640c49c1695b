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
FORMS = {  # by noun: words for a faster, slower and equal pace, and for none; the columns to quote, and their format
    "orders": ("ordering more often than before|ordering less often than before|ordering as often as before|?1",
               "no order", "orders_count", "count"),
    "spend": ("spending more than before|spending less than before|spending as much as before|?1",
              "nothing bought", "amount_sum", "money"),
}  # fmt: skip


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
        form, nothing, columns, unit = FORMS[noun]
        windows = (
            f"{{{columns}_<days>d:{unit}}} in the last <days> days, {{{columns}_<long>d:{unit}}} in the last <long>"
        )
        yield Feature(
            f"{stem}_trend_{short}_{long}",
            lambda m, measure=measure: daily_rate(m, measure, short) / daily_rate(m, measure, long).nullif(0),  # type: ignore[misc]
            f"{noun} trend",
            phrase(f"pace of {noun} in the last <days> days against the last <long>", days=short.days, long=long.days),
            phrase(f"{{value:{form}}}: {windows}", days=short.days, long=long.days),
            "ratio",
            long,
            unread=phrase("no order in the last <days> days", days=long.days),
            at_zero=phrase(
                f"{nothing} in the last <days> days, {{{columns}_<long>d:{unit}}} in the last <long>",
                days=short.days,
                long=long.days,
            ),
            actionable=True,
            formula=f"a day of the last {short.days} days / a day of the last {long.days}",
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
    for stem, measure, noun in _measures_compared(has_amount):
        *_, columns, unit = FORMS[noun]
        windows = ", ".join(
            (
                f"{{{columns}_<days>d:{unit}}} in the last <days> days",
                f"{{{columns}_<mid>d:{unit}}} in the last <mid>",
                f"{{{columns}_<long>d:{unit}}} in the last <long>",
            )
        )
        more = "more|fewer|?0" if noun == "orders" else "more|less|?0"
        yield Feature(
            f"{stem}_acceleration_{short}_{mid}_{long}",
            lambda m, measure=measure: _second_difference(m, measure, short, mid, long),  # type: ignore[misc]
            f"{noun} trend",
            text(f"{noun} in the last <days> days, compared with the trend of the last <mid> and <long> days"),
            text(f"{{value:{more}}} {noun} lately than the trend suggests: {windows}"),
            "money" if noun == "spend" else "orders",
            long,
            at_zero=text(f"{noun} lately as the trend suggests: {windows}"),
            actionable=True,
            formula=f"(the last {short.days} days - the last {mid.days}) - "
            f"(the last {mid.days} - the last {long.days}), a month",
        )


def _second_difference(m: ibis.Table, measure: str, short: Window, mid: Window, long: Window) -> ibis.Value:
    """The formula (pace short - pace mid) - (pace mid - pace long), by month."""
    bend = (daily_rate(m, measure, short) - daily_rate(m, measure, mid)) - (
        daily_rate(m, measure, mid) - daily_rate(m, measure, long)
    )
    return (money(bend) if measure == "spend" else bend) * MONTH


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
    days, formula = w.days, f"each counts half for every {w.days} days since"
    yield Feature(
        f"orders_fading_{w}",
        lambda m: m[f"orders_fading_{w}"] / MILLIONTHS,
        "frequency",
        phrase("orders, above all those of the last <days> days", days=days),
        phrase("{orders_count_<days>d:#order} in the last <days> days, {orders_count_ever:count} so far", days=days),
        "orders",
        w,
        actionable=True,
        formula=formula,
    )
    if has_amount:
        yield Feature(
            f"amount_fading_{w}",
            lambda m: money(m[f"spend_fading_{w}"]),
            "money",
            phrase("spend, above all that of the last <days> days", days=days),
            phrase(
                "spent {amount_sum_<days>d:money} in the last <days> days, {amount_sum_ever:money} so far", days=days
            ),
            "money",
            w,
            actionable=True,
            formula=formula,
        )
