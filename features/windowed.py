"""Features of windows: what happened lately, against what happened before, and a year ago."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Compute, Feature, column, money, rate
from features.past import KEYS, Past
from features.task import Window

YEAR = 365


def orders_in(w: Window, has_quantity: bool) -> Iterator[Feature]:
    """Orders, days with one, and baskets in a window."""
    orders = column(f"orders_{w}")
    yield _feature(w, "orders_count", orders, "frequency", "orders", "{value:#order}", "orders")
    yield _feature(
        w,
        "active_days",
        column(f"active_days_{w}"),
        "frequency",
        "days with an order",
        "orders on {value:#day}",
        "days",
    )
    yield _feature(w, "items_count", column(f"items_{w}"), "basket", "order lines", "{value:#line} ordered", "count")
    yield _feature(
        w,
        "items_per_order",
        lambda m: m[f"items_{w}"] / m[f"orders_{w}"].nullif(0),
        "basket",
        "lines in an order",
        "{value:number} lines in an order",
        "count",
    )
    if has_quantity:
        yield _feature(
            w,
            "quantity_sum",
            lambda m: money(m[f"quantity_{w}"]),
            "basket",
            "units bought less units returned",
            "{value:count} units",
            "count",
        )


def money_in(w: Window) -> Iterator[Feature]:
    """Spend, order size and refunds in a window."""
    yield _feature(
        w, "amount_sum", lambda m: money(m[f"amount_{w}"]), "money", "net spend", "spent {value:money}", "money"
    )
    yield _feature(
        w,
        "order_amount_mean",
        lambda m: money(m[f"spend_{w}"]) / m[f"orders_{w}"].nullif(0),
        "order size",
        "average order amount",
        "an average order of {value:money}",
        "money",
    )
    yield _feature(
        w,
        "order_amount_max",
        lambda m: money(m[f"order_amount_max_{w}"]),
        "order size",
        "largest order",
        "largest order {value:money}",
        "money",
    )
    yield _feature(w, "refunds_count", column(f"refunds_{w}"), "refunds", "refunds", "{value:#refund}", "count")
    yield _feature(
        w,
        "refund_share",
        lambda m: m[f"refund_{w}"] / (m[f"amount_{w}"] + m[f"refund_{w}"]).nullif(0),
        "refunds",
        "share of spend refunded",
        "{value:share} of spend refunded",
        "share",
    )


def _feature(w: Window, stem: str, compute: Compute, family: str, what: str, how: str, unit: str) -> Feature:
    last, none = f"the last {w.days} days", f"no order in the last {w.days} days"
    zero = {"refunds": f"no refund in {last}", "money": f"no net spend in {last}"}.get(family, none)
    act = family in ("frequency", "money")
    return Feature(
        f"{stem}_{w}", compute, family, f"{what} in {last}", f"{how} in {last}", unit, w, none, zero, actionable=act
    )


def trends(short: Window, long: Window, has_amount: bool) -> Iterator[Feature]:
    """The pace in a short window against that in the next longer one."""
    pairs = [("orders", "orders", "orders")] + ([("amount", "spend", "spend")] if has_amount else [])
    for stem, measure, noun in pairs:
        yield Feature(
            f"{stem}_trend_{short}_{long}",
            lambda m, measure=measure: rate(m, measure, short) / rate(m, measure, long).nullif(0),  # type: ignore[misc]
            f"{noun} trend",
            f"pace of {noun} in the last {short.days} days against the last {long.days}",
            f"{noun} at {{value:number}} times the pace of the last {long.days} days",
            "ratio",
            long,
            unread=f"no order in the last {long.days} days",
            at_zero=f"no order in the last {short.days} days",
            actionable=True,
        )


def year_ago(past: Past) -> ibis.Table:
    """Orders and net amount in [cutoff - 365 days, + horizon); null where no log was known that far back."""
    visible = past.visible_orders
    oldest = visible.group_by("cutoff").aggregate(oldest=visible.age.max())
    inside = (visible.age <= YEAR) & (visible.age > YEAR - past.task.horizon.days)
    sums = visible.group_by(KEYS).aggregate(
        season_orders=(visible.purchase & inside).sum().cast("int64"),
        season_amount=inside.ifelse(visible.amount, 0).sum().cast("int64"),
    )
    sums = sums.join(oldest, "cutoff")
    reaches = sums.oldest >= YEAR
    season = {c: reaches.ifelse(sums[c], ibis.null("int64")) for c in ("season_orders", "season_amount")}
    return sums.select(*KEYS, **season)


def season(horizon: Window, has_amount: bool) -> Iterator[Feature]:
    """The same stretch of the calendar a year ago."""
    place = f"in the {horizon.days} days after this date a year ago"
    unread = "the log does not reach back a year"
    yield Feature(
        "orders_count_year_ago",
        column("season_orders"),
        "season",
        f"orders {place}",
        "{value:#order} " + place,
        "orders",
        Window(YEAR),
        unread,
    )
    if has_amount:
        yield Feature(
            "amount_sum_year_ago",
            lambda m: money(m.season_amount),
            "season",
            f"net spend {place}",
            "spent {value:money} " + place,
            "money",
            Window(YEAR),
            unread,
        )
