"""Where the pace points: against longer windows, the window before and a year ago, and with a fading memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.feature import Feature, daily_rate, money
from features.point_in_time.measures import MONTH, YEAR
from features.task import Window

MILLIONTHS = 1_000_000  # an order's weight is kept in millionths, so that sums do not depend on the order of rows

Pair = tuple[str, str, str]
ORDERS: Pair = ("orders", "orders", "orders")  # the stem of names, the measure, the noun
SPEND: Pair = ("amount", "spend", "spend")


def _pairs(has_amount: bool) -> tuple[Pair, ...]:
    return (ORDERS, SPEND) if has_amount else (ORDERS,)


def pace_features(short: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    """The pace in a short window against that in the next longer one."""
    for stem, measure, noun in _pairs(has_amount):
        yield Feature(
            f"{stem}_trend_{short}_{long}",
            lambda m, measure=measure: daily_rate(m, measure, short) / daily_rate(m, measure, long).nullif(0),  # type: ignore[misc]
            f"{noun} trend",
            f"pace of {noun} in the last {short.days} days against the last {long.days}",
            f"{noun} at {{value:number}} times the pace of the last {long.days} days",
            "ratio",
            long,
            unread=f"no order in the last {long.days} days",
            at_zero=f"no order in the last {short.days} days",
            actionable=True,
        )


def change_features(w: Window, has_amount: bool) -> Iterator[Feature]:
    """A window less the one before it and, where that is another one, less the same one a year ago."""
    before = f"the {w.days} days before"
    yield from _change(w, "change", f"before_{w}", before, "trend", 2 * w.days, has_amount)
    if w.days < YEAR:
        span, then = f"year_ago_{w}", f"the same {w.days} days a year ago"
        yield from _change(w, "change_on_year", span, then, "on the year", YEAR + w.days, has_amount)


def _change(w: Window, stem: str, span: str, than: str, family: str, reach: int, has_amount: bool) -> Iterator[Feature]:
    """Differences to an earlier span, null where the log does not reach back to its first day."""
    unread = f"the log does not reach back to all of {than}"
    forms = {"orders": ("{value:more|fewer|#order}", "as many orders"), "spend": ("{value:more|less|money} spent", "")}
    for name, measure, noun in _pairs(has_amount):
        how, equal = forms[noun]
        yield Feature(
            f"{name}_{stem}_{w}",
            lambda m, measure=measure: _less(m, measure, w, span, reach),  # type: ignore[misc]
            f"{noun} {family}",
            f"{noun} in the last {w.days} days against {than}",
            f"{how} in the last {w.days} days than in {than}",
            "money" if noun == "spend" else "orders",
            w,
            unread,
            f"{equal or 'the same spend'} in the last {w.days} days as in {than}",
            actionable=True,
        )


def _less(m: ibis.Table, measure: str, w: Window, span: str, reach: int) -> ibis.Value:
    change = m[f"{measure}_{w}"] - m[f"{measure}_{span}"]
    known = (m.reach >= reach).ifelse(change, ibis.null("int64"))
    return money(known) if measure == "spend" else known


def acceleration_features(short: Window, mid: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    """A month's pace in a short window against where that of the two next longer ones pointed."""
    for stem, measure, noun in _pairs(has_amount):
        yield Feature(
            f"{stem}_acceleration_{short}_{mid}_{long}",
            lambda m, measure=measure: _bend(m, measure, short, mid, long),  # type: ignore[misc]
            f"{noun} trend",
            f"{noun} a month in the last {short.days} days against where the pace of the last {long.days} and "
            f"{mid.days} days pointed",
            f"{noun} a month in the last {short.days} days {{value:above|below|{_form(noun)}}} where the pace of the "
            f"last {long.days} and {mid.days} days pointed",
            "money" if noun == "spend" else "orders",
            long,
            at_zero=f"{noun} in the last {short.days} days where the pace of the last {long.days} and {mid.days} "
            "days pointed",
            actionable=True,
        )


def _bend(m: ibis.Table, measure: str, short: Window, mid: Window, long: Window) -> ibis.Value:
    """(pace short - pace mid) - (pace mid - pace long), a month."""
    bend = (daily_rate(m, measure, short) - daily_rate(m, measure, mid)) - (
        daily_rate(m, measure, mid) - daily_rate(m, measure, long)
    )
    return (money(bend) if measure == "spend" else bend) * MONTH


def _form(noun: str) -> str:
    return "money" if noun == "spend" else "number"


def fading_sums(orders: ibis.Table, windows: Sequence[Window], has_amount: bool) -> dict[str, ibis.Value]:
    """Orders, in millionths, and spend, in ticks, each worth 2^(-age / window); rounded an order at a time."""
    found = {}
    for w in windows:
        weight = ibis.literal(2.0) ** (-orders.age / w.days)
        found[f"orders_fading_{w}"] = _whole(weight * MILLIONTHS).sum(where=orders.purchase)
        if has_amount:
            found[f"spend_fading_{w}"] = _whole(weight * orders.amount).sum(where=orders.purchase)
    return found


def _whole(number: ibis.Value) -> ibis.Value:
    return (number + 0.5).floor().cast("int64")


def fading_features(w: Window, has_amount: bool) -> Iterator[Feature]:
    """Momentum: orders and spend that fade with age."""
    fades = f"each counting half for every {w.days} days since"
    yield Feature(
        f"orders_fading_{w}",
        lambda m: m[f"orders_fading_{w}"] / MILLIONTHS,
        "frequency",
        f"orders so far, {fades}",
        f"{{value:number}} orders so far, {fades}",
        "orders",
        w,
        actionable=True,
    )
    if has_amount:
        yield Feature(
            f"amount_fading_{w}",
            lambda m: money(m[f"spend_fading_{w}"]),
            "money",
            f"spend so far, {fades}",
            f"spent {{value:money}} so far, {fades}",
            "money",
            w,
            actionable=True,
        )
