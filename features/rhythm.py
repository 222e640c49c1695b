"""Recency, tenure and the gaps between days with a purchase: the customer's own rhythm."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature, column, root
from features.past import KEYS, Past


def measures(past: Past) -> ibis.Table:
    """Recency, tenure and the gaps between days with a purchase; one row a customer with any purchase."""
    days = past.days
    last = days.place == 0
    sums = days.group_by(KEYS).aggregate(
        recency=days.age.min(),
        tenure=days.age.max(),
        last_spend=days.spend.max(where=last),
        gaps=days.gap.count(),
        gap_sum=days.gap.sum().cast("int64"),
        gap_squares=(days.gap * days.gap).sum().cast("int64"),
        gap_median=days.gap.median().cast("float64"),
        gap_last=days.gap.max(where=last),
        gap_max=days.gap.max(),
    )
    mean = sums.gap_sum / sums.gaps.nullif(0)
    variance = (sums.gap_squares - sums.gap_sum * mean) / (sums.gaps - 1).nullif(0)
    return sums.mutate(gap_mean=mean, gap_std=root(variance))


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
