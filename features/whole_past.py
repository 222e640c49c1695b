"""Features of the whole past: what a customer did since the first order."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature, money, spread


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
