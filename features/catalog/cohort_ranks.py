"""Where a customer stands among the others of a cutoff's cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.feature import Feature, measure_value
from features.point_in_time.history import KEYS
from features.task import Window


def rank_measures(cohort: ibis.Table, window: Window, has_amount: bool, others: ibis.Table | None = None) -> ibis.Table:
    """For each customer the share of the others of the same cutoff who have less; one row a customer.

    A rank is (customers with less) / (customers - 1), so equal values rank equal; it is 0 for a customer alone.

    Args:
        cohort: The measures of the cohorts.
        window: Over which orders and spend are compared: the longest of the task.
        has_amount: Whether there is money to compare.
        others: The same measures of whom each customer is compared with, where it is not with the rest of the cohort.
    """
    narrow = _compared(cohort, window, has_amount)
    names = [name for name in narrow.columns if name not in KEYS]
    if others is not None:
        return _among(narrow, _compared(others, window, has_amount), names)
    ranks = {name: ibis.percent_rank().over(group_by=narrow.cutoff, order_by=narrow[name]) for name in names}
    return narrow.select(*KEYS, **ranks)


def _compared(cohort: ibis.Table, window: Window, has_amount: bool) -> ibis.Table:
    """What customers are compared by, under the names of the ranks."""
    by = {"orders_rank": cohort[f"orders_{window}"], "recency_rank": cohort.recency, "tenure_rank": cohort.tenure}
    if has_amount:
        by |= {"spend_rank": cohort[f"spend_{window}"], "order_size_rank": cohort.spend_ever / cohort.orders_ever}
    return cohort.select(*KEYS, **by)


def _among(narrow: ibis.Table, others: ibis.Table, names: Sequence[str]) -> ibis.Table:
    """The share of the others who have less, 0 where there are none; null is more than any number, as in a rank."""
    both = narrow.left_join(others.rename({f"other_{name}": name for name in names}).drop("customer_id"), "cutoff")
    less = {
        name: both[f"other_{name}"].notnull() & (both[name].isnull() | (both[f"other_{name}"] < both[name]))
        for name in names
    }
    counts = both.group_by(*KEYS).aggregate(**{name: test.sum() for name, test in less.items()})
    size = others.group_by("cutoff").aggregate(others=others.count())
    joined = counts.left_join(size, "cutoff")
    return joined.select(*KEYS, **{name: (joined[name] / joined.others).fill_null(0.0) for name in names})


def rank_features(window: Window, has_amount: bool) -> Iterator[Feature]:
    """Ranks by orders, silence and tenure, and by spend and order size where there is money."""
    last = f"in the last {window.days} days"
    forms = [
        ("orders_rank", "frequency", f"orders {last}", f"more orders {last} than", window),
        ("recency_rank", "silence", "days since the last order", "silent for longer than", None),
        ("tenure_rank", "tenure", "days since the first order", "customer for longer than", None),
    ]
    if has_amount:
        forms += [
            ("spend_rank", "money", f"spend {last}", f"more spend {last} than", window),
            ("order_size_rank", "order size", "average order amount so far", "larger orders than", None),
        ]
    for name, family, what, more, w in forms:
        yield Feature(
            f"{name}_{w}" if w else name,
            measure_value(name),
            family,
            f"rank among all customers by {what}",
            f"{more} {{value:share}} of customers",
            "share",
            w,
            actionable=family in ("frequency", "money", "silence"),
        )
