"""What happened after a cutoff: inactivity churn and future value, null until the horizon has passed."""

from __future__ import annotations

import ibis

from features.intake import TICKS


def labels(future: ibis.Table, has_amount: bool) -> ibis.Table:
    """One row a customer and cutoff with any order in the label's interval.

    Args:
        future: Orders inside [cutoff, cutoff + horizon): customer_id, cutoff, order_id, amount (ticks).
        has_amount: Whether orders have money; without it every order is a purchase.

    Returns:
        customer_id, cutoff, purchases (orders with a positive net amount) and net (money, refunds taken off).
        Who is not in it did nothing: no purchase, and a value of 0.
    """
    orders = future.group_by("customer_id", "cutoff", "order_id").aggregate(amount=future.amount.sum().cast("int64"))
    return orders.group_by("customer_id", "cutoff").aggregate(
        purchases=orders.count(where=orders.amount > 0) if has_amount else orders.count(),
        net=orders.amount.sum().cast("int64") / TICKS if has_amount else ibis.null("float64"),
    )


def label_columns(joined: ibis.Table, mature: ibis.Value, has_amount: bool) -> dict[str, ibis.Value]:
    """`churned` (int8: 1 no purchase within the horizon) and `value` (money), null where the label is immature."""
    churned = (joined.purchases.fill_null(0) == 0).cast("int8")
    value = joined.net.fill_null(0.0) if has_amount else ibis.null("float64")
    return {"churned": mature.ifelse(churned, ibis.null("int8")), "value": mature.ifelse(value, ibis.null("float64"))}
