"""Features of a customer's whole history: what the customer did since the first order."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.catalog.seasonality import calendar_sums
from features.catalog.trends import fading_sums
from features.catalog.windows import SPREAD_FORMULA, VARYING, refund_share
from features.feature import Feature, money, spread
from features.point_in_time.history import KEYS, Past
from features.templates import phrase

LARGE_ORDER_FACTOR = 2  # times the mean order of all customers


def lifetime_measures(past: Past) -> ibis.Table:
    """Sums over the whole past; one row for each customer with any order, and cutoff."""
    task, contract = past.task, past.tables.contract
    orders = _mark_large_orders(past) if contract.has_amount else past.visible_orders
    sums = calendar_sums(orders, task.horizon, contract) | fading_sums(orders, task.windows, contract.has_amount)
    if contract.has_amount:
        sums["large_orders"] = orders.count(where=orders.purchase & orders.large)
        sums["refund_last"] = orders.age.min(where=orders.refund > 0)
    return orders.group_by(KEYS).aggregate(**{name: total.cast("int64") for name, total in sums.items()})


def _mark_large_orders(past: Past) -> ibis.Table:
    """Marks orders as large by comparison with the mean purchase of all customers at the cutoff."""
    every = past.everyone.visible_orders
    usual = every.group_by("cutoff").aggregate(
        usual=every.amount.sum(where=every.purchase) / every.count(where=every.purchase)
    )
    joined = past.visible_orders.join(usual, "cutoff")
    return joined.mutate(large=joined.amount >= LARGE_ORDER_FACTOR * joined.usual)


def lifetime_features(has_amount: bool) -> Iterator[Feature]:
    """Frequency, baskets and, if the log has amounts, spend, order size, the last order and refunds."""
    yield Feature(
        "orders_count_ever",
        lambda m: m.orders_ever,
        "frequency",
        "orders so far",
        "{value:#order} so far, {orders_rate_ever:number} a month",
        "orders",
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
        "items in an order",
        "{value:number} items in an order on average",
        "count",
    )
    if has_amount:
        for family in (_total_features, _order_size_features, _last_order_features, _refund_features):
            yield from family()


def _total_features() -> Iterator[Feature]:
    yield Feature(
        "amount_sum_ever",
        lambda m: money(m.amount_ever),
        "money",
        "net spend so far",
        "spent {value:money} so far, {amount_rate_ever:money} a month",
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


def _order_size_features() -> Iterator[Feature]:
    yield Feature(
        "order_amount_mean_ever",
        lambda m: money(m.spend_ever) / m.orders_ever,
        "order size",
        "average order amount",
        "an average order of {value:money}"
        "[[, {order_size_rank:larger than that of * of customers|only * of customers have a smaller one|share?0.5}]]",
        "money",
    )
    yield Feature(
        "order_amount_max_ever",
        lambda m: money(m.order_amount_max_ever),
        "order size",
        "largest order",
        "largest order {value:money}, usually {order_amount_mean_ever:money}",
        "money",
    )
    yield Feature(
        "order_amount_spread_ever",
        lambda m: spread(m.orders_ever, m.spend_ever, m.spend_squares_ever),
        "order size",
        "how much order amounts vary",
        f"orders of {{value:{VARYING}}} amounts: {{order_amount_mean_ever:money}} on average, up to "
        "{order_amount_max_ever:money}",
        "ratio",
        unread="fewer than two orders",
        formula=SPREAD_FORMULA,
    )
    yield _large_orders_feature()


def _large_orders_feature() -> Feature:
    return Feature(
        "large_orders_share_ever",
        lambda m: m.large_orders / m.orders_ever,
        "order size",
        phrase(
            "share of orders of at least <times> times the average order of all customers", times=LARGE_ORDER_FACTOR
        ),
        phrase(
            "{value:share} of orders were at least <times> times the average order of all customers",
            times=LARGE_ORDER_FACTOR,
        ),
        "share",
        at_zero="no large order so far",
    )


def _last_order_features() -> Iterator[Feature]:
    reading = "last bought for {amount_last:money}, usually {order_amount_mean_ever:money} an order"
    yield Feature(
        "amount_last",
        lambda m: money(m.last_spend),
        "last order",
        "amount bought on the last day of ordering",
        reading,
        "money",
    )
    yield Feature(
        "amount_last_ratio",
        lambda m: m.last_spend / (m.spend_ever / m.active_days_ever),
        "last order",
        "last purchase, compared with the usual one",
        reading,
        "ratio",
        formula="amount of the last day with an order / mean of such days",
    )


def _refund_features() -> Iterator[Feature]:
    yield Feature(
        "refunds_count_ever", lambda m: m.refunds_ever, "refunds", "refunds so far", "{value:#refund} so far", "count"
    )
    yield Feature(
        "refund_share_ever",
        refund_share("ever"),
        "refunds",
        "share of spend refunded so far",
        "{value:share} of spend refunded so far",
        "share",
        at_zero="no refund so far",
    )
    yield Feature(
        "refund_last_days",
        lambda m: m.refund_last,
        "refunds",
        "days since the last order with a refund",
        "last refund on an order of {value:days} ago",
        "days",
        unread="no refund so far",
    )
