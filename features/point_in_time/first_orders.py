"""First orders: what each customer's first purchase was, and what had followed by a cutoff."""

from __future__ import annotations

from collections.abc import Sequence

import ibis

from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import YEAR

OTHER = "other"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def find_first_orders(past: Past) -> ibis.Table:
    """The first day with a purchase of every customer, and what followed.

    Args:
        past: The history before one cutoff.

    Returns:
        One row a customer: customer_id, cutoff, age (days from that day to the cutoff), spend on that day, weekday (its
        name), again (days until the next day with a purchase; null if there was none), and year_spend: net amount of
        the orders within a year after that day, null if the year is not over.
    """
    order = ibis.window(group_by=KEYS, order_by=past.days.age.desc())
    ranked = past.days.mutate(rank=ibis.row_number().over(order))
    first = ranked.filter(ranked["rank"] == 0)
    second = ranked.filter(ranked["rank"] == 1).select(*KEYS, again="gap")
    names = ibis.cases(*((first.day.day_of_week.index() == n, name) for n, name in enumerate(DAYS)))
    rows = first.select(*KEYS, "age", "spend", weekday=names)
    later = past.visible_orders.select(*KEYS, "amount", order_age="age").join(rows.select(*KEYS, "age"), KEYS)
    after = later.age - later.order_age
    sums = later.group_by(KEYS).aggregate(year=later.amount.sum(where=(after > 0) & (after <= YEAR)).fill_null(0))
    joined = rows.left_join(second, KEYS).drop("customer_id_right", "cutoff_right")
    joined = joined.left_join(sums, KEYS).drop("customer_id_right", "cutoff_right")
    is_over = joined.age > YEAR
    return joined.mutate(year_spend=is_over.ifelse(joined.year.cast("int64"), ibis.null("int64"))).drop("year")


def first_kinds(past: Past, first: ibis.Table, kind: str) -> ibis.Table:
    """The value of a kind that the first day's lines hold most often; of equally many the first in the alphabet.

    Args:
        past: The history before one cutoff.
        first: From `find_first_orders`.
        kind: The slug of the kind's column.

    Returns:
        customer_id and value; customers without a value on that day are left out.
    """
    events = past.tables.events
    paid = events.filter(
        events[f"kind_{kind}"].notnull() & (events.amount > 0 if past.tables.contract.has_amount else True)
    )
    lines = past.visible(paid.select("customer_id", "day", "seen", value=paid[f"kind_{kind}"]))
    on_day = lines.join(first.select(*KEYS, "age"), [*KEYS, "age"])
    counts = on_day.group_by("customer_id", "value").aggregate(n=on_day.count())
    place = ibis.row_number().over(ibis.window(group_by="customer_id", order_by=[counts.n.desc(), counts.value.asc()]))
    ranked = counts.mutate(place=place)
    return ranked.filter(ranked.place == 0).select("customer_id", "value")


def frequent_values(values: ibis.Table, kept: Sequence[str]) -> ibis.Table:
    """Values (customer_id, value) with all but the kept ones as OTHER."""
    return values.mutate(value=values.value.isin(list(kept)).ifelse(values.value, OTHER))
