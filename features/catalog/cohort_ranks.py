"""Features that rank a customer among the others of a cutoff's cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ibis

from features.feature import Feature, measure_value
from features.point_in_time.history import KEYS
from features.task import Window
from features.templates import phrase

HALF = 0.5  # a rank above it reads 'more than most', one below it 'only few have less'


def rank_measures(cohort: ibis.Table, window: Window, has_amount: bool, others: ibis.Table | None = None) -> ibis.Table:
    """Ranks each customer: the share of the other customers of the same cutoff who have less.

    A rank is (customers with less) / (customers - 1), so equal values rank equal; the rank of a single customer is 0.

    Args:
        cohort: The measures of the cohorts.
        window: The window over which orders and spend are compared: the longest of the task.
        has_amount: Whether the log has amounts to compare.
        others: The same measures of the customers to compare with, if these are not the rest of the cohort.

    Returns:
        One row for each customer and cutoff with the ranks in [0, 1].
    """
    compared = _compared_columns(cohort, window, has_amount)
    names = [name for name in compared.columns if name not in KEYS]
    if others is not None:
        return _ranks_among_others(compared, _compared_columns(others, window, has_amount), names)
    ranks = {name: ibis.percent_rank().over(group_by=compared.cutoff, order_by=compared[name]) for name in names}
    return compared.select(*KEYS, **ranks)


def _compared_columns(cohort: ibis.Table, window: Window, has_amount: bool) -> ibis.Table:
    """The measures by which customers are compared, named as the ranks."""
    by = {"orders_rank": cohort[f"orders_{window}"], "recency_rank": cohort.recency, "tenure_rank": cohort.tenure}
    if has_amount:
        by |= {"spend_rank": cohort[f"spend_{window}"], "order_size_rank": cohort.spend_ever / cohort.orders_ever}
    return cohort.select(*KEYS, **by)


def _ranks_among_others(compared: ibis.Table, others: ibis.Table, names: Sequence[str]) -> ibis.Table:
    """The share of the others who have less; 0 without others. A null counts as more than any number, as in a rank."""
    pairs = compared.left_join(others.rename({f"other_{name}": name for name in names}).drop("customer_id"), "cutoff")
    is_less = {
        name: pairs[f"other_{name}"].notnull() & (pairs[name].isnull() | (pairs[f"other_{name}"] < pairs[name]))
        for name in names
    }
    counts = pairs.group_by(*KEYS).aggregate(**{name: test.sum() for name, test in is_less.items()})
    size = others.group_by("cutoff").aggregate(others=others.count())
    joined = counts.left_join(size, "cutoff")
    return joined.select(*KEYS, **{name: (joined[name] / joined.others).fill_null(0.0) for name in names})


def rank_features(window: Window, has_amount: bool) -> Iterator[Feature]:
    """Ranks by orders, silence and tenure and, if the log has amounts, by spend and order size."""
    last = "in the last <days> days"
    forms = [
        ("orders_rank", "frequency", f"orders {last}", f"more orders {last}", f"had fewer orders {last}", window),
        ("recency_rank", "silence", "days since the last order", "silent for longer", "ordered more recently", None),
        ("tenure_rank", "tenure", "days since the first order", "customer for longer", "are newer", None),
    ]
    if has_amount:
        forms += [
            ("spend_rank", "money", f"spend {last}", f"more spend {last}", f"spent less {last}", window),
            (
                "order_size_rank",
                "order size",
                "average order amount so far",
                "larger orders",
                "have smaller orders",
                None,
            ),
        ]
    for name, family, what, more, less, w in forms:
        yield Feature(
            f"{name}_{w}" if w else name,
            measure_value(name),
            family,
            phrase(f"{what}, compared with all customers", days=window.days),
            phrase(f"{{value:{more} than * of customers|only * of customers {less}|share?{HALF}}}", days=window.days),
            "share",
            w,
            at_zero=phrase(f"none of the customers {less}", days=window.days),
            actionable=family in ("frequency", "money", "silence"),
            formula="share of the other customers who have less",
        )
