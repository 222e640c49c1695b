"""Features of the terms of a contract: how long it has run unbroken, renewals, prices, and what has ended.

Only what had come is known: a term from its start on, its end from that day on. An end that a row states in advance
would be a look ahead, so until then the term runs. Terms that start on one day are one step of the contract.
"""

from __future__ import annotations

from collections.abc import Iterator

import ibis

from features.feature import Compute, Feature, count_or_zero, measure_value, money
from features.intake.subscription_terms import RENEWAL_GRACE
from features.point_in_time.history import KEYS, Past
from features.task import Window

STEM = "subscription"


def subscription_measures(past: Past, alone: bool = False) -> ibis.Table:
    """Runs, renewals, prices and ends; one row a customer with any term.

    Args:
        past: The past.
        alone: Whether the business has nothing but terms: the first start then gives the `tenure` of other families.
    """
    steps = _linked(_steps(_terms(past)))
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
    whole = {name: value.cast("int64") for name, value in (sums | ages).items()}
    tenure = {"tenure": steps.start.max().cast("int64")} if alone else {}
    return steps.group_by(KEYS).aggregate(**{f"{STEM}:{name}": value for name, value in whole.items()}, **tenure)


def _terms(past: Past) -> ibis.Table:
    """Terms as they stood at each cutoff: days since the start and the end (null while it runs), and the price."""
    parts = past.visible(past.tables.sides["subscriptions"].rows)
    return parts.group_by(*KEYS, "term").aggregate(
        start=parts.age.max(where=parts.part == "start"),
        end=parts.age.max(where=parts.part == "end"),
        price=parts.price.max(),
    )


def _steps(terms: ibis.Table) -> ibis.Table:
    """Terms that start on one day: how many and how many run, days since the last end, prices added up."""
    runs = terms.end.isnull()
    return terms.group_by(*KEYS, "start").aggregate(
        terms=terms.count(),
        open=runs.sum().cast("int64"),
        last_end=terms.end.min(),
        price=terms.price.sum().cast("int64"),
        open_price=terms.price.sum(where=runs).cast("int64"),
    )


def _linked(steps: ibis.Table) -> ibis.Table:
    """Each step beside those before it: whether it begins a run, the price before, and its place from the latest."""
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
    """Age, terms and renewals and, where the log has them, ends and prices."""
    yield Feature(
        f"{STEM}_age_days",
        _while_running("age"),
        "subscription age",
        "days since the running subscription began",
        "subscribed without a break for {value:days}",
        "days",
        unread="no subscription runs",
    )
    yield _counted("terms_ever", "terms", "subscription terms", "subscription", "terms so far")
    yield _counted("renewals_ever", "renewals", "renewals", "subscription", "renewals of the subscription so far")
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
        yield from _ends()
    if has_price:
        yield from _prices()


def terms_only_features(horizon: Window) -> Iterator[Feature]:
    """What the first order says elsewhere, of a business that has nothing but terms: tenure and lifecycle."""
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


def _ends() -> Iterator[Feature]:
    yield _counted("terms_running", "running", "running terms", "subscription end", "terms that run")
    yield _counted("terms_ended_ever", "ended", "terms ended", "subscription end", "terms that ended so far")
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


def _prices() -> Iterator[Feature]:
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
        "the last term cost {value:share} of the one before",
        "ratio",
        unread="fewer than two terms with a price",
        actionable=True,
    )
    yield _counted(
        "price_changes_ever", "price_changes", "changes of price", "subscription price", "price changes so far"
    )


def _counted(name: str, measure: str, noun: str, family: str, phrase: str) -> Feature:
    return Feature(
        f"{STEM}_{name}",
        count_or_zero(f"{STEM}:{measure}"),
        family,
        phrase,
        f"{phrase}: {{value:count}}",
        "count",
        at_zero=f"no {noun} so far" if measure != "running" else "no subscription runs",
    )


def _while_running(measure: str) -> Compute:
    return lambda m: (m[f"{STEM}:running"] > 0).ifelse(m[f"{STEM}:{measure}"], ibis.null("int64"))
