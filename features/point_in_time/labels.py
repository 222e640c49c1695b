"""What happened after a cutoff: churn by silence or cancellation, and future value; null until the horizon has passed.

A contract is cancelled where its cover ends by cancellation in [cutoff, cutoff + horizon) and is not renewed. Cover
goes on while a term begins no more than GRACE after the end before it, and before the horizon's end: what is renewed
later cannot be seen. Who comes back after a longer break had left. Where several terms end last, on one day, one that
was cancelled is enough. Cover that ends otherwise, by death or by anything else that `cancelled` does not name, is a
competing end: no churn.
"""

from __future__ import annotations

from datetime import date

import ibis

from features.intake.subscription_terms import RENEWAL_GRACE
from features.money import TICKS
from features.point_in_time.history import KEYS
from features.task import Window


def purchase_labels(future: ibis.Table, has_amount: bool) -> ibis.Table:
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


def cover_outcomes(terms: ibis.Table, horizon: Window, price_days: int = 0) -> ibis.Table:
    """What became of the cover of each customer and cutoff.

    Args:
        terms: From `past.unfolding`: customer_id, cutoff, term, start and end (days from the cutoff), known, cancelled,
            price (ticks).
        horizon: Of the labels.
        price_days: How many days one price pays for; 0 where that is not known.

    Returns:
        customer_id, cutoff, known (1: a running term was), ended (1: the cover does not last to the horizon's end),
        cancelled (1: and that by cancellation), and paid: the prices of the days in force within the horizon, in money.
    """
    earlier = ibis.window(group_by=KEYS, order_by=[terms.start, terms.term], preceding=(None, 1))
    linked = terms.mutate(reach=terms.end.max().over(earlier))
    breaks = (linked.start - linked.reach > RENEWAL_GRACE.days).ifelse(linked.start, ibis.null("int64"))
    broken = linked.mutate(broken=breaks.min().over(ibis.window(group_by=KEYS)))
    first = broken.mutate(unbroken=broken.broken.isnull() | (broken.start < broken.broken))
    ends = first.unbroken.ifelse(first.end, ibis.null("int64"))
    whole = first.mutate(last=ends.max().over(ibis.window(group_by=KEYS)))
    over = whole.unbroken & (whole.end == whole["last"]) & (whole["last"] < horizon.days)
    days = whole.end - ibis.greatest(whole.start, 0)
    paid = (whole.price * ibis.greatest(days, 0)).sum().cast("int64") / (TICKS * price_days) if price_days else None
    return whole.group_by(KEYS).aggregate(
        known=whole.known.cast("int64").max(),
        ended=over.cast("int64").max(),
        cancelled=(over & whole.cancelled).cast("int64").max(),
        paid=ibis.null("float64") if paid is None else paid.fill_null(0.0),
    )


def churned_label(joined: ibis.Table, contractual: bool) -> ibis.Value:
    """`churned`: 1 where there was no purchase (who is not in the labels did nothing), or where cover was cancelled."""
    left = joined.cancelled == 1 if contractual else joined.purchases.fill_null(0) == 0
    return left.cast("int8")


def value_label(joined: ibis.Table, has_amount: bool, contractual: bool) -> ibis.Value:
    """`value`: net money within the horizon, 0 for who did nothing; of contracts without events' money, what they pay.

    Null where the log has no money.
    """
    if has_amount:
        return joined.net.fill_null(0.0)
    return joined.paid if contractual else ibis.null("float64")


def null_if_immature(label: ibis.Value, cutoff: ibis.Value, horizon: Window, end: date) -> ibis.Value:
    """A label, null at cutoffs whose horizon has not passed by `end`, the first day about which nothing is known."""
    return (cutoff <= ibis.literal(end - horizon.delta).cast("timestamp")).ifelse(label, ibis.null(label.type()))
