"""Features of the customer's own rhythm: recency, tenure and the gaps between days with a purchase."""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Feature, clipped_sqrt, measure_value
from features.point_in_time.history import KEYS, Past
from features.point_in_time.measures import MONTH
from features.templates import phrase

RECENT_GAPS = 3
PARTS_PER_NAT = 10**10  # entropy is summed in integer parts of a nat, so that sums do not depend on the order of rows
UNEVEN, IN_BURSTS = 0.5, 0.3  # from which spread and clumpiness of the gaps the words say so
USUAL_GAP = "usually every {gap_mean_days:days}"
FEWER_THAN_TWO, FEWER_THAN_THREE, FEWER_THAN_FIVE = (
    f"fewer than {number} days with an order" for number in ("two", "three", "five")
)


def recency_measures(past: Past) -> ibis.Table:
    """Recency, tenure and gaps between days with a purchase; one row for each customer with any, and cutoff."""
    days = _with_gap_ranks(past.days)
    last = days.place == 0
    sums = days.group_by(KEYS).aggregate(
        recency=days.age.min(),
        tenure=days.age.max(),
        last_spend=days.spend.max(where=last),
        gaps=days.gap.count(),
        gap_sum=days.gap.sum().cast("int64"),
        gap_squares=(days.gap * days.gap).sum().cast("int64"),
        gap_low=days.gap.max(where=days.rank == (days.gaps - 1) // 2),
        gap_high=days.gap.max(where=days.rank == days.gaps // 2),
        gap_last=days.gap.max(where=last),
        gap_max=days.gap.max(),
        gap_lately=days.gap.sum(where=days.place < RECENT_GAPS).cast("int64"),
        gaps_as_long=days.gap.count(where=days.gap >= days.silence),
        gap_nats=_x_log_x(days.gap).sum().fill_null(0).cast("int64"),
        months=days.count(where=days.gap.isnull() | (_month_index(days.age) != _month_index(days.age + days.gap))),
    )
    mean = sums.gap_sum / sums.gaps.nullif(0)
    variance = (sums.gap_squares - sums.gap_sum * mean) / (sums.gaps - 1).nullif(0)
    return sums.mutate(
        gap_mean=mean,
        gap_std=clipped_sqrt(variance),
        gap_median=(sums.gap_low + sums.gap_high) / 2,
        clumpiness=_clumpiness(sums),
    )


def _with_gap_ranks(days: ibis.Table) -> ibis.Table:
    """Days with a purchase, each with the rank of its gap (from 0), the number of gaps, and the current silence."""
    own = ibis.window(group_by=KEYS)
    return days.mutate(
        rank=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=days.gap)),
        gaps=days.gap.count().over(own),
        silence=days.age.min().over(own),
    )


def _month_index(age: ibis.Value) -> ibis.Value:
    """The index of the 30-day period before the cutoff in which an age lies, from 0."""
    return (age - 1) // MONTH


def _x_log_x(days: ibis.Value) -> ibis.Value:
    """The formula x ln x, rounded to an integer number of parts of a nat."""
    return (days * days.cast("float64").ln() * PARTS_PER_NAT).round().cast("int64")


def _clumpiness(sums: ibis.Table) -> ibis.Value:
    """Clumpiness: 1 - entropy / maximum entropy of the shares of the gaps and the current silence in the tenure.

    0: days with an order are evenly spread; 1: all at once. Zhang, Bradlow and Small (2015), 'Predicting customer value
    using clumpiness: from RFM to RFMC', Marketing Science 34(2). The shares add up to 1, so one sum of x ln x suffices.
    """
    parts = (sums.gap_nats + _x_log_x(sums.recency)) / PARTS_PER_NAT
    entropy = sums.tenure.cast("float64").ln() - parts / sums.tenure
    share = 1 - entropy / (sums.gaps + 1).cast("float64").ln().nullif(0)
    return (share < 0).ifelse(0.0, share)


def recency_features() -> Iterator[Feature]:
    """How long ago the last and the first order were."""
    yield Feature(
        "recency_days",
        lambda m: m.recency,
        "silence",
        "days since the last order",
        f"last order {{value:days}} ago[[, {USUAL_GAP}]]",
        "days",
        actionable=True,
    )
    yield Feature(
        "tenure_days",
        lambda m: m.tenure,
        "tenure",
        "days since the first order",
        "customer for {value:days}"
        "[[, {tenure_rank:longer than * of customers|only * of customers are newer|share?0.5}]]",
        "days",
    )


def gap_features() -> Iterator[Feature]:
    """Mean, median, last and longest gap between days with an order."""
    for name, measure, what, reading in (
        ("gap_mean_days", "gap_mean", "usual days between orders", "usually an order every {value:days}"),
        ("gap_median_days", "gap_median", "typical days between orders", "typically {value:days} between orders"),
        (
            "gap_last_days",
            "gap_last",
            "days between the last two orders",
            "{value:days} between the last two orders, usually {gap_mean_days:days}",
        ),
        (
            "gap_longest_days",
            "gap_max",
            "longest pause between orders",
            "longest pause so far {value:days}, usually {gap_mean_days:days}",
        ),
    ):
        yield Feature(name, measure_value(measure), "gaps", what, reading, "days", unread=FEWER_THAN_TWO)


def regularity_features() -> Iterator[Feature]:
    """How regular the rhythm is, and whether it changed."""
    yield from _evenness_features()
    yield from _pause_features()
    yield Feature(
        "active_months_share_ever",
        lambda m: m.months / (_month_index(m.tenure) + 1),
        "regularity",
        phrase("share of months (<days> days) since the first order that had one", days=MONTH),
        "an order in {value:share} of the months since the first",
        "share",
    )


def _evenness_features() -> Iterator[Feature]:
    """How evenly the orders are spread over time."""
    for name, compute, what, reading, unit, unread, formula in (
        (
            "gap_spread",
            lambda m: m.gap_std / m.gap_mean,
            "irregularity of the ordering rhythm",
            f"{{value:irregular|regular|?{UNEVEN}}} rhythm: an order every {{gap_mean_days:days}} on average, longest "
            "pause {gap_longest_days:days}",
            "ratio",
            FEWER_THAN_THREE,
            "standard deviation of the gaps / their mean",
        ),
        (
            "gap_clumpiness",
            measure_value("clumpiness"),
            "how much orders come in bursts",
            f"orders {{value:come in bursts|are spread evenly|?{IN_BURSTS}}}: every {{gap_mean_days:days}} on average, "
            "longest pause {gap_longest_days:days}",
            "share",
            FEWER_THAN_TWO,
            "0: evenly spread, 1: all at once",
        ),
    ):
        yield Feature(name, compute, "regularity", what, reading, unit, unread=unread, formula=formula)


def _pause_features() -> Iterator[Feature]:
    """The latest pauses between orders, compared with the usual one."""
    for name, compute, what, reading, unread, formula in (
        (
            "gap_last_ratio",
            lambda m: m.gap_last / m.gap_mean,
            "last pause between orders, compared with the usual one",
            "{gap_last_days:days} between the last two orders, usually {gap_mean_days:days}",
            FEWER_THAN_TWO,
            "last gap / mean gap",
        ),
        (
            "gap_recent_ratio",
            lambda m: (m.gaps > RECENT_GAPS).ifelse(m.gap_lately / RECENT_GAPS / m.gap_mean, ibis.null("float64")),
            "last three pauses between orders, compared with the usual one",
            "the last three pauses between orders were {value:longer than|shorter than|as long as|?1} usual for this "
            "customer ({gap_mean_days:days})",
            FEWER_THAN_FIVE,
            "mean of the last three gaps / mean gap",
        ),
    ):
        yield Feature(name, compute, "regularity", what, reading, "ratio", unread=unread, formula=formula)


def silence_features() -> Iterator[Feature]:
    """How unusual the current silence is for the customer."""
    for name, compute, what, reading, unit, formula in (
        (
            "overdue_ratio",
            lambda m: m.recency / m.gap_mean,
            "days since the last order, compared with the customer's usual gap",
            f"last order {{recency_days:days}} ago, {USUAL_GAP}",
            "ratio",
            "days since the last order / mean gap",
        ),
        (
            "overdue_longest_ratio",
            lambda m: m.recency / m.gap_max,
            "days since the last order, compared with the customer's longest pause",
            "last order {recency_days:days} ago, longest pause before {gap_longest_days:days}",
            "ratio",
            "days since the last order / longest gap",
        ),
        (
            "silence_probability",
            _silence_probability,
            "how rare a pause as long as the current one is for the customer",
            "last order {recency_days:days} ago, {value:share} of this customer's pauses, this one included, were as "
            "long",
            "share",
            "(1 + gaps at least as long as the silence) / (1 + gaps)",
        ),
        (
            "next_order_due_days",
            lambda m: m.gap_mean - m.recency,
            "days until the next order is due by the customer's own rhythm (below 0: overdue)",
            f"next order {{value:due in *|overdue by *|days}}, {USUAL_GAP}",
            "days",
            "mean gap - days since the last order",
        ),
    ):
        yield Feature(
            name, compute, "silence", what, reading, unit, unread=FEWER_THAN_TWO, actionable=True, formula=formula
        )


def _silence_probability(m: ibis.Table) -> ibis.Value:
    """The rank of the silence among the customer's gaps: (1 + gaps at least as long as the silence) / (1 + gaps).

    Counting the silence as one of the gaps keeps the value above 0 and valid for few gaps: Phipson and Smyth (2010),
    'Permutation p-values should never be zero', Statistical Applications in Genetics and Molecular Biology 9(1).
    """
    known = m.gaps.nullif(0)
    return (1 + m.gaps_as_long) / (1 + known)
