"""Features of subscriptions: how long one has run without a break, renewals, prices, and ended terms.

A cutoff knows a term only from its start on, and its end only from the day of the end on. Until then the term counts
as running, because an end that a row states in advance would let a feature look ahead. Terms that start on the same
day are one step of the subscription.
"""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Compute, Feature, count_or_zero, measure_value, money
from features.intake.subscription_terms import RENEWAL_GRACE
from features.point_in_time.history import KEYS, Past
from features.task import Window

STEM = "subscription"


def subscription_measures(past: Past, terms_only: bool = False) -> ibis.Table:
    """Runs, renewals, prices and ends of subscriptions.

    Args:
        past: The log as known at each cutoff.
        terms_only: Whether the log has only terms and no events: `tenure` is then counted from the first start.

    Returns:
        One row for each customer with any term, and cutoff.
    """
    steps = _link_steps(_group_by_start(_terms_at_cutoff(past)))
    latest, runs = steps.place == 0, steps.open > 0
    sums = {
        "terms": steps.terms.sum(),
        "running": steps.open.sum(),
        "ended": (steps.terms - steps.open).sum(),
        "renewals": (~steps.begins).sum(),
        "price_changes": (steps.price != steps.price_before).sum().fill_null(0),
    }
    ages = {
        "age": steps.start.min(where=steps.begins),
        "renewed": steps.start.min(where=~steps.begins),
        "last_end": steps.last_end.min(),
        "price": steps.open_price.max(where=runs & (steps.open_place == 0)),
        "price_last": steps.price.max(where=latest),
        "price_before": steps.price_before.max(where=latest),
    }
    integers = {name: value.cast("int64") for name, value in (sums | ages).items()}
    tenure = {"tenure": steps.start.max().cast("int64")} if terms_only else {}
    return steps.group_by(KEYS).aggregate(**{f"{STEM}:{name}": value for name, value in integers.items()}, **tenure)


def _terms_at_cutoff(past: Past) -> ibis.Table:
    """Terms as known at each cutoff: days since the start and the end (null while it runs), and the price."""
    parts = past.visible(past.tables.sides["subscriptions"].rows, whole=True)
    return parts.group_by(*KEYS, "term").aggregate(
        start=parts.age.max(where=parts.part == "start"),
        end=parts.age.max(where=parts.part == "end"),
        price=parts.price.max(),
    )


def _group_by_start(terms: ibis.Table) -> ibis.Table:
    """Terms that start on the same day: how many there are and how many run, days since the last end, total prices."""
    runs = terms.end.isnull()
    return terms.group_by(*KEYS, "start").aggregate(
        terms=terms.count(),
        open=runs.sum().cast("int64"),
        last_end=terms.end.min(),
        price=terms.price.sum().cast("int64"),
        open_price=terms.price.sum(where=runs).cast("int64"),
    )


def _link_steps(steps: ibis.Table) -> ibis.Table:
    """Links each step to those before: whether it begins a run, the previous price, and its place from the latest."""
    by_time = ibis.window(group_by=KEYS, order_by=steps.start.desc())
    reach = (steps.open > 0).ifelse(
        ibis.literal(0, "int64"), steps.last_end
    )  # days before the cutoff at which the step's cover ends
    covered = steps.mutate(
        reach=reach.cummin(group_by=KEYS, order_by=steps.start.desc()),
        price_before=steps.price.lag().over(by_time),
        place=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=steps.start)),
        open_place=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=[steps.open == 0, steps.start])),
    )
    before = covered.reach.lag().over(ibis.window(group_by=KEYS, order_by=covered.start.desc()))
    return covered.mutate(begins=before.isnull() | (before - covered.start > RENEWAL_GRACE.days))


def subscription_features(has_end: bool, has_price: bool) -> Iterator[Feature]:
    """Age, terms and renewals and, if the log has them, ends and prices."""
    yield Feature(
        f"{STEM}_age_days",
        _if_running("age"),
        "subscription age",
        "days since the running subscription began",
        "subscribed without a break for {value:days}",
        "days",
        unread="no subscription runs",
    )
    yield _count_feature("terms_ever", "terms", "subscription terms", "subscription", "terms so far")
    yield _count_feature("renewals_ever", "renewals", "renewals", "subscription", "renewals of the subscription so far")
    yield Feature(
        f"{STEM}_renewal_recency_days",
        measure_value(f"{STEM}:renewed"),
        "subscription",
        "days since the last renewal",
        "last renewal {value:days} ago",
        "days",
        unread="never renewed",
        actionable=True,
    )
    if has_end:
        yield from _end_features()
    if has_price:
        yield from _price_features()


def terms_only_features(horizon: Window) -> Iterator[Feature]:
    """Tenure and lifecycle for a log that has only terms; elsewhere they are computed from the orders."""
    yield Feature(
        "tenure_days",
        measure_value("tenure"),
        f"{STEM} age",
        "days since the first term began",
        "customer for {value:days}",
        "days",
    )
    yield Feature(
        "lifecycle",
        lambda m: (m[f"{STEM}:age"] <= horizon.days).ifelse("new", "active"),
        f"{STEM} age",
        "where the customer stands: new or active",
        "{value:level}",
        "level",
    )


def _end_features() -> Iterator[Feature]:
    yield _count_feature("terms_running", "running", "running terms", "subscription end", "terms that run")
    yield _count_feature("terms_ended_ever", "ended", "terms ended", "subscription end", "terms that ended so far")
    yield Feature(
        f"{STEM}_end_recency_days",
        lambda m: (m[f"{STEM}:running"] == 0).ifelse(m[f"{STEM}:last_end"], ibis.null("int64")),
        "subscription end",
        "days since the subscription ended",
        "subscription ended {value:days} ago",
        "days",
        unread="a subscription runs, or there was none",
        actionable=True,
    )


def _price_features() -> Iterator[Feature]:
    yield Feature(
        f"{STEM}_price",
        lambda m: money(m[f"{STEM}:price"]),
        "subscription price",
        "price of the running term",
        "pays {value:money} for the running term",
        "money",
        unread="no running term with a price",
        actionable=True,
    )
    yield Feature(
        f"{STEM}_price_ratio",
        lambda m: m[f"{STEM}:price_last"] / m[f"{STEM}:price_before"].nullif(0),
        "subscription price",
        "price of the last term against the one before",
        "the last term cost {value:more than|less than|as much as|?1} the one before ({value:share} of its price)",
        "ratio",
        unread="fewer than two terms with a price",
        actionable=True,
    )
    yield _count_feature(
        "price_changes_ever", "price_changes", "changes of price", "subscription price", "price changes so far"
    )


def _count_feature(name: str, measure: str, noun: str, family: str, phrase: str) -> Feature:
    return Feature(
        f"{STEM}_{name}",
        count_or_zero(f"{STEM}:{measure}"),
        family,
        phrase,
        f"{phrase}: {{value:count}}",
        "count",
        at_zero=f"no {noun} so far" if measure != "running" else "no subscription runs",
    )


def _if_running(measure: str) -> Compute:
    return lambda m: (m[f"{STEM}:running"] > 0).ifelse(m[f"{STEM}:{measure}"], ibis.null("int64"))
