"""The catalog: every behavioural feature of a task on a log, with its window and the phrase a marketer understands.

All of them are made of rows that were already known at a cutoff, with their `age` in days before it (1: the day
before); none can look ahead. Sums and counts over nothing are 0; means, extremes and ages are null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import ibis

from features.catalog import (
    activities,
    btyd,
    categories,
    cohort_ranks,
    contacts,
    customer_attributes,
    lifecycle,
    lifetime,
    prices,
    recency,
    seasonality,
    subscriptions,
    trends,
)
from features.catalog.windows import money_window_features, order_window_features
from features.config.data_contract import ActivityColumns, DataContract
from features.errors import UsageError
from features.feature import Feature
from features.point_in_time.history import Past
from features.point_in_time.measures import (
    DAY_MEASURES,
    YEAR,
    by_window,
    earlier_spans,
    order_measures,
    purchase_measures,
    window_spans,
)
from features.task import Task


@dataclass(frozen=True)
class Family:
    """Features that are made of the same measures.

    Attributes:
        name: Name of the stage under which the measures are stored.
        features: Features computed from these measures, and from those of the families before.
        measures: Computes one row for each customer and cutoff; None if the families before have all that is needed.
        cohort_measures: Computes measures that compare customers, such as ranks: from the joined measures of the
            cohorts to one row for each customer and cutoff. Its argument `others` names other customers to compare
            with.
        section: The section of the config that the family comes from.
        used_by_ranks: Whether `cohort_measures` of other families read these measures.
    """

    name: str
    features: tuple[Feature, ...]
    measures: Callable[[Past], ibis.Table] | None = None
    cohort_measures: Callable[..., ibis.Table] | None = None
    section: str = "events"
    used_by_ranks: bool = False


def catalog_features(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    """All features of a task on a log, in a fixed order; names are unique."""
    return tuple(feature for family in feature_families(task, contract) for feature in family.features)


def feature_families(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of a task on a log; the first gives every customer with a purchase, or with a term, a row.

    Raises:
        UsageError: Two sections would give features of the same name.
    """
    of_events = _of_contracts(task, contract) if task.contractual else _of_events(task, contract)
    found = (*of_events, *_of_sides(task, contract), *_of_customers(contract))
    _refuse_same_names(found)
    return tuple(_within_reach(family, contract) for family in found)


def _within_reach(family: Family, contract: DataContract) -> Family:
    """The family, its features null where their window is longer than the whole log."""
    features = tuple(
        replace(f, compute=partial(_null, dtype=f.dtype), unread=f"the log is shorter than {f.window.days} days")
        if f.window and f.window.days in contract.windows_beyond_log
        else f
        for f in family.features
    )
    return replace(family, features=features)


def _null(m: ibis.Table, dtype: str) -> ibis.Value:
    return ibis.null(dtype)


def _of_events(task: Task, contract: DataContract) -> tuple[Family, ...]:
    return (
        Family("rhythm", _rhythm(), recency.recency_measures, used_by_ranks=True),
        Family("lifecycle", tuple(lifecycle.lifecycle_features(task.horizon))),
        Family("sums", _orders(task, contract), _sums, used_by_ranks=True),
        Family("active_days", (), _active_days),
        Family("ever", _ever(task, contract), lifetime.lifetime_measures),
        Family(
            "season",
            tuple(seasonality.year_ago_features(task.horizon, contract.has_amount)),
            seasonality.year_ago_measures,
        ),
        Family("earlier", _trends(task, contract), _earlier),
        _peers(task, contract),
        Family("expected", tuple(btyd.btyd_features(task.horizon, contract.has_amount)), btyd.btyd_measures),
        *(
            Family(
                f"kind_{slug}",
                tuple(categories.category_features(slug, task.windows)),
                partial(categories.category_measures, kind=slug),
            )
            for slug in contract.kinds
        ),
    )


def _of_contracts(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of a contractual business: the terms first, which every customer has, then what the events add.

    BG/NBD stays out: it foresees who falls silent, where a contract says when it ends. Events that are nothing but the
    starts of the terms add nothing.
    """
    terms = _subscriptions(contract)
    if contract.only_subscriptions:
        columns, alone = (
            subscriptions.terms_only_features(task.horizon),
            partial(subscriptions.subscription_measures, alone=True),
        )
        return (replace(terms, features=(*columns, *terms.features), measures=alone),)
    return (terms, *(_may_lack(f) for f in _of_events(task, contract) if f.name != "expected"))


def _may_lack(family: Family) -> Family:
    """The family for customers who may not have any event."""
    never = "no order so far"
    features = tuple(f if f.unread else replace(f, unread=never) for f in family.features)
    return replace(family, features=features)


def _subscriptions(contract: DataContract) -> Family:
    columns = tuple(subscriptions.subscription_features(contract.has_end, contract.has_price))
    return Family("subscriptions", columns, subscriptions.subscription_measures, section="subscriptions")


def _of_sides(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of the tables beside the events."""
    found = [
        family for place, table in enumerate(contract.activities) for family in _activity(task, table, f"side{place}")
    ]
    if contract.has_contacts:
        columns = tuple(contacts.contact_features(task.windows, contract.has_cost, contract.has_control))
        found += [
            Family("contacts", columns, contacts.contact_measures, section="contacts"),
            Family("contacts_actions", tuple(contacts.action_features()), contacts.action_measures, section="contacts"),
            Family(
                "contacts_answers", tuple(contacts.response_features()), contacts.response_measures, section="contacts"
            ),
        ]
    if contract.has_subscriptions and not task.contractual:
        found.append(_subscriptions(contract))
    return tuple(found)


def _activity(task: Task, table: ActivityColumns, name: str) -> tuple[Family, ...]:
    """The families of a table of activities, stored under names that begin with `name`."""
    section, columns = f"activities.{table.name}", tuple(activities.activity_features(table, task.windows))
    found = [Family(name, columns, partial(activities.activity_measures, activity=table), section=section)]
    if table.measure:
        last = partial(activities.last_activity_measures, activity=table)
        found.append(Family(f"{name}_last", tuple(activities.last_activity_features(table)), last, section=section))
    for place, kind in enumerate(table.kinds):
        variety = partial(activities.activity_kind_measures, activity=table, kind=kind)
        columns = tuple(activities.activity_kind_features(table, kind, task.windows))
        found.append(Family(f"{name}_kind{place}", columns, variety, section=section))
    return tuple(found)


def _of_customers(contract: DataContract) -> tuple[Family, ...]:
    found = tuple(customer_attributes.attribute_features(contract))
    return (
        (Family("customer_attributes", found, customer_attributes.attribute_measures, section="customers"),)
        if found
        else ()
    )


def _refuse_same_names(found: Sequence[Family]) -> None:
    """Stops where two sections, or two columns of one, would give features of the same name."""
    first: dict[str, tuple[str, Feature]] = {}
    for family in found:
        for feature in family.features:
            if feature.name in first:
                section, other = first[feature.name]
                raise UsageError(
                    f"[{section}] and [{family.section}] would both give a feature {feature.name!r} "
                    f"({other.phrase!r} and {feature.phrase!r}); rename the section or the column (a query can)"
                )
            first[feature.name] = family.section, feature


def _rhythm() -> tuple[Feature, ...]:
    return (
        *recency.recency_features(),
        *recency.gap_features(),
        *recency.regularity_features(),
        *recency.silence_features(),
    )


def _orders(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    found = [*lifetime.lifetime_features(contract.has_amount)]
    for w in task.windows:
        found += [
            *order_window_features(w, contract.has_quantity),
            *(money_window_features(w) if contract.has_amount else ()),
        ]
    if contract.has_amount:
        found += prices.unit_price_features(task.windows) if contract.has_quantity else ()
        found += prices.discount_features(task.windows) if contract.has_discount else ()
    return tuple(found)


def _ever(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    found = [*seasonality.weekday_features(), *(seasonality.hour_features() if contract.has_clock else ())]
    if task.horizon.days < YEAR:
        found += seasonality.season_share_features(task.horizon)
    for w in task.windows:
        found += trends.fading_features(w, contract.has_amount)
    return tuple(found)


def _trends(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    found: list[Feature] = []
    for short, long in pairwise(task.windows):
        found += trends.pace_features(short, long, contract.has_amount)
    for w in task.windows:
        found += trends.change_features(w, contract.has_amount)
    for short, (mid, long) in zip(task.windows, pairwise(task.windows[1:]), strict=False):
        found += trends.acceleration_features(short, mid, long, contract.has_amount)
    return tuple(found)


def _peers(task: Task, contract: DataContract) -> Family:
    longest, has_amount = task.windows[-1], contract.has_amount
    among = partial(cohort_ranks.rank_measures, window=longest, has_amount=has_amount)
    return Family("peers", tuple(cohort_ranks.rank_features(longest, has_amount)), cohort_measures=among)


def _sums(past: Past) -> ibis.Table:
    return by_window(past.visible_orders, order_measures(past.tables.contract), window_spans(past.task.windows))


def _active_days(past: Past) -> ibis.Table:
    return by_window(past.days, DAY_MEASURES, window_spans(past.task.windows))


def _earlier(past: Past) -> ibis.Table:
    bought = past.visible_orders.filter(past.visible_orders.purchase)
    return by_window(bought, purchase_measures(past.tables.contract), earlier_spans(past.task.windows))
