"""Features of the whole past: recency, rhythm, and what a customer did since the first order."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature, column, money, spread


def recency() -> Iterator[Feature]:
    """How long ago the last and the first order were."""
    yield Feature(
        "recency_days",
        lambda m: m.recency,
        "silence",
        "days since the last order",
        "last order {value:days} ago",
        "days",
        actionable=True,
    )
    yield Feature(
        "tenure_days", lambda m: m.tenure, "tenure", "days since the first order", "customer for {value:days}", "days"
    )


def gaps() -> Iterator[Feature]:
    """The rhythm of days with an order, and how overdue the next one is."""
    few = "fewer than two days with an order"
    usual = "last order {recency_days:days} ago, usually every {gap_mean_days:days}"
    for name, measure, phrase, reading in (
        ("gap_mean_days", "gap_mean", "usual days between orders", "orders every {value:days} on average"),
        ("gap_median_days", "gap_median", "typical days between orders", "typically {value:days} between orders"),
        ("gap_last_days", "gap_last", "days between the last two orders", "{value:days} between the last two orders"),
        ("gap_longest_days", "gap_max", "longest pause between orders", "longest pause so far {value:days}"),
    ):
        yield Feature(name, column(measure), "gaps", phrase, reading, "days", unread=few)
    yield Feature(
        "gap_spread",
        lambda m: m.gap_std / m.gap_mean,
        "regularity",
        "irregularity of the ordering rhythm",
        "uneven rhythm: gaps between orders spread by {value:share} around their mean",
        "ratio",
        unread="fewer than three days with an order",
    )
    yield Feature(
        "gap_last_ratio",
        lambda m: m.gap_last / m.gap_mean,
        "regularity",
        "last pause against the usual one",
        "the last pause was {value:number} times the usual one",
        "ratio",
        unread=few,
    )
    yield Feature(
        "overdue_ratio",
        lambda m: m.recency / m.gap_mean,
        "silence",
        "current silence against the customer's own rhythm",
        usual,
        "ratio",
        unread=few,
        actionable=True,
    )
    yield Feature(
        "overdue_longest_ratio",
        lambda m: m.recency / m.gap_max,
        "silence",
        "current silence against the customer's longest pause",
        "last order {recency_days:days} ago, longest pause before {gap_longest_days:days}",
        "ratio",
        unread=few,
        actionable=True,
    )


def whole_past(has_amount: bool, has_clock: bool) -> Iterator[Feature]:
    """Frequency, baskets, habits and, where there is money, spend, order size, the last order and refunds."""
    yield Feature(
        "orders_count_ever", lambda m: m.orders_ever, "frequency", "orders so far", "{value:#order} so far", "orders"
    )
    yield Feature(
        "orders_rate_ever",
        lambda m: m.orders_ever * 30 / ibis.greatest(m.tenure, 30),
        "frequency",
        "orders a month since the first",
        "{value:number} orders a month since the first",
        "orders",
    )
    yield Feature(
        "items_per_order_ever",
        lambda m: m.items_ever / m.orders_ever,
        "basket",
        "lines in an order",
        "{value:number} lines in an order on average",
        "count",
    )
    yield Feature(
        "weekend_share_ever",
        lambda m: m.weekend_orders_ever / m.orders_ever,
        "habit",
        "share of orders at weekends",
        "{value:share} of orders at weekends",
        "share",
    )
    if has_clock:
        yield Feature(
            "hour_mean_ever",
            lambda m: m.hours_ever / m.orders_ever,
            "habit",
            "usual hour of ordering (UTC)",
            "orders around {value:number} o'clock (UTC)",
            "count",
        )
    if has_amount:
        for family in (_totals, _order_sizes, _last_order, _refunds):
            yield from family()


def _totals() -> Iterator[Feature]:
    yield Feature(
        "amount_sum_ever",
        lambda m: money(m.amount_ever),
        "money",
        "net spend so far",
        "spent {value:money} so far",
        "money",
    )
    yield Feature(
        "amount_rate_ever",
        lambda m: money(m.amount_ever) * 30 / ibis.greatest(m.tenure, 30),
        "money",
        "net spend a month since the first order",
        "spent {value:money} a month since the first order",
        "money",
    )


def _order_sizes() -> Iterator[Feature]:
    yield Feature(
        "order_amount_mean_ever",
        lambda m: money(m.spend_ever) / m.orders_ever,
        "order size",
        "average order amount",
        "an average order of {value:money}",
        "money",
    )
    yield Feature(
        "order_amount_max_ever",
        lambda m: money(m.order_amount_max_ever),
        "order size",
        "largest order",
        "largest order {value:money}",
        "money",
    )
    yield Feature(
        "order_amount_spread_ever",
        lambda m: spread(m.orders_ever, m.spend_ever, m.spend_squares_ever),
        "order size",
        "how much order amounts vary",
        "order amounts vary by {value:share} of their mean",
        "ratio",
        unread="fewer than two orders",
    )


def _last_order() -> Iterator[Feature]:
    mean = "an average order of {order_amount_mean_ever:money}"
    yield Feature(
        "amount_last",
        lambda m: money(m.last_spend),
        "last order",
        "amount bought on the last day of ordering",
        "last bought for {value:money}, " + mean,
        "money",
    )
    yield Feature(
        "amount_last_ratio",
        lambda m: m.last_spend / (m.spend_ever / m.active_days_ever),
        "last order",
        "last purchase against the usual one",
        "the last purchase was {value:number} times the usual one",
        "ratio",
    )


def _refunds() -> Iterator[Feature]:
    yield Feature(
        "refunds_count_ever", lambda m: m.refunds_ever, "refunds", "refunds so far", "{value:#refund} so far", "count"
    )
    yield Feature(
        "refund_share_ever",
        lambda m: m.refund_ever / (m.amount_ever + m.refund_ever).nullif(0),
        "refunds",
        "share of spend refunded so far",
        "{value:share} of spend refunded so far",
        "share",
        unread="nothing bought",
    )
