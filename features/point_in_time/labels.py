"""Labels after a cutoff: churn by inactivity or cancellation, and future value; null until the horizon has passed.

`return_days` are the days to the first purchase. Within the horizon that is the first day of an order with a positive
net amount, so a customer returned within the horizon if and only if `churned` is 0. Of the others, it is the first day
after the horizon on which a part of an order had a positive amount: whether it did is known on that day.

A contract is cancelled if its cover ends by cancellation in [cutoff, cutoff + horizon) and is not renewed. Cover
continues if a term begins at most RENEWAL_GRACE after the end of the one before, and before the horizon's end; a later
renewal is outside the label. A customer who returns after a longer break had left. If several terms end last, on one
day, one cancellation among them is enough. Cover that ends otherwise, by death or by another reason that `cancelled`
does not name, is a competing event and no churn.
"""

from __future__ import annotations

from datetime import date

import ibis

from features.intake.subscription_terms import RENEWAL_GRACE
from features.money import TICKS
from features.point_in_time.history import label_keys, rows_in_horizon
from features.task import Window


def purchase_labels(future: ibis.Table, has_amount: bool) -> ibis.Table:
    """One row for each customer and cutoff with any order in the label interval.

    Args:
        future: Orders inside [cutoff, cutoff + horizon): customer_id, cutoff, order_id, day, amount (ticks); with
            `known_by` (see `history.rows_in_horizon`) there is a label for each.
        has_amount: Whether orders have money; without it every order is a purchase.

    Returns:
        customer_id, cutoff, purchases (orders with a positive net amount), first_day (of the first purchase, which is
        on the day of its first part) and net (money, refunds taken off). Customers without a row had no purchase and a
        value of 0.
    """
    keys = label_keys(future)
    orders = future.group_by(*keys, "order_id").aggregate(
        amount=future.amount.sum().cast("int64"), day=future.day.min()
    )
    bought = orders.amount > 0 if has_amount else ibis.literal(True)
    return orders.group_by(keys).aggregate(
        purchases=orders.count(where=bought),
        first_day=orders.day.min(where=bought),
        net=orders.amount.sum().cast("int64") / TICKS if has_amount else ibis.null("float64"),
    )


def later_purchase_days(
    orders: ibis.Table, moments: ibis.Table, horizon: Window, has_amount: bool, end: date
) -> ibis.Table:
    """The first day of a purchase in [cutoff + horizon, cutoff + 2 horizons), as far as it lies before a day.

    Args:
        orders: From `history.order_days`.
        moments: As for `history.rows_in_horizon`.
        horizon: Of the labels.
        has_amount: Whether orders have money; without it every order is a purchase.
        end: The first day about which not everything is known.

    Returns:
        customer_id, cutoff and later_day; customers without a row had no purchase.
    """
    bought = orders.filter((orders.amount > 0) & (orders.day < end) if has_amount else orders.day < end)
    future = rows_in_horizon(bought, moments, Window(2 * horizon.days), start=horizon.days)
    return future.group_by(label_keys(future)).aggregate(later_day=future.day.min())


def return_days_label(joined: ibis.Table) -> ibis.Value:
    """`return_days`: days from the cutoff to the first purchase (float); null if none is known.

    Args:
        joined: Rows with cutoff (a timestamp), and first_day and later_day of `purchase_labels` and
            `later_purchase_days`.
    """
    day = ibis.coalesce(joined.first_day, joined.later_day)
    return day.delta(joined.cutoff.cast("date"), unit="day").cast("float64")


def cover_outcomes(terms: ibis.Table, horizon: Window, price_days: int = 0) -> ibis.Table:
    """How the cover of each customer ended after each cutoff.

    Args:
        terms: From `history.terms_at_cutoffs`: customer_id, cutoff, term, start and end (days from the cutoff), known,
            cancelled, price (ticks).
        horizon: Of the labels.
        price_days: How many days one price pays for; 0 if unknown.

    Returns:
        customer_id, cutoff, known (1: a running term was known), ended (1: the cover ends before the horizon does),
        cancelled (1: it ends by cancellation), and paid: the prices of the days in force within the horizon, in money.
    """
    keys = label_keys(terms)
    earlier = ibis.window(group_by=keys, order_by=[terms.start, terms.term], preceding=(None, 1))
    linked = terms.mutate(reach=terms.end.max().over(earlier))
    breaks = (linked.start - linked.reach > RENEWAL_GRACE.days).ifelse(linked.start, ibis.null("int64"))
    with_break = linked.mutate(broken=breaks.min().over(ibis.window(group_by=keys)))
    marked = with_break.mutate(unbroken=with_break.broken.isnull() | (with_break.start < with_break.broken))
    ends = marked.unbroken.ifelse(marked.end, ibis.null("int64"))
    covered = marked.mutate(last=ends.max().over(ibis.window(group_by=keys)))
    ends_early = covered.unbroken & (covered.end == covered["last"]) & (covered["last"] < horizon.days)
    days = covered.end - ibis.greatest(covered.start, 0)
    paid = (covered.price * ibis.greatest(days, 0)).sum().cast("int64") / (TICKS * price_days) if price_days else None
    return covered.group_by(keys).aggregate(
        known=covered.known.cast("int64").max(),
        ended=ends_early.cast("int64").max(),
        cancelled=(ends_early & covered.cancelled).cast("int64").max(),
        paid=ibis.null("float64") if paid is None else paid.fill_null(0.0),
    )


def churned_label(joined: ibis.Table, contractual: bool) -> ibis.Value:
    """`churned`: 1 if there was no purchase (customers without a label row had none), or cover was cancelled."""
    left = joined.cancelled == 1 if contractual else joined.purchases.fill_null(0) == 0
    return left.cast("int8")


def value_label(joined: ibis.Table, has_amount: bool, contractual: bool) -> ibis.Value:
    """`value`: net money within the horizon, 0 without orders; for contracts without amounts, the prices paid.

    Args:
        joined: Rows with the columns of `purchase_labels`, and for contracts of `cover_outcomes`.
        has_amount: Whether the log has amounts.
        contractual: Whether churn is cancellation.

    Returns:
        Money; null if the log has none.
    """
    if has_amount:
        return joined.net.fill_null(0.0)
    return joined.paid if contractual else ibis.null("float64")


def null_if_immature(label: ibis.Value, cutoff: ibis.Value, horizon: Window, end: date) -> ibis.Value:
    """A label, null at cutoffs whose horizon has not passed by `end`.

    Args:
        label: The label.
        cutoff: The cutoff of each row (a timestamp).
        horizon: Of the label.
        end: The first day about which nothing is known.

    Returns:
        The label or null.
    """
    return (cutoff <= ibis.literal(end - horizon.delta).cast("timestamp")).ifelse(label, ibis.null(label.type()))
