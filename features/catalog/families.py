"""The catalog: every behavioural feature of a task on a log, with its window and a phrase that marketers understand.

All features are computed from rows that were already known at a cutoff; `age` is their days before it (1: the day
before). So no feature can look ahead. Sums and counts over no rows are 0; means, extremes and ages are null.
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
from features.templates import phrase


@dataclass(frozen=True)
class Family:
    """Features that are computed from the same measures.

    Attributes:
        name: Name of the stage under which the measures are stored.
        features: Features computed from these measures, and from those of the families before.
        measures: Computes one row for each customer and cutoff; None if the families before have all that is needed.
        cohort_measures: Computes measures that compare customers, such as ranks: from the joined measures of the
            cohorts to one row for each customer and cutoff. Its argument `others` names other customers to compare
            with.
        section: The section of the config that the family comes from.
        used_by_ranks: Whether `cohort_measures` of other families read these measures.
        shares: Measures that stand beside the features as columns `feature:other`: which share of what a feature
            contributes to a score is handed on to another feature, of which it is made.
    """

    name: str
    features: tuple[Feature, ...]
    measures: Callable[[Past], ibis.Table] | None = None
    cohort_measures: Callable[..., ibis.Table] | None = None
    section: str = "events"
    used_by_ranks: bool = False
    shares: tuple[str, ...] = ()


def catalog_features(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    """All features of a task on a log, in a fixed order; names are unique."""
    return tuple(feature for family in feature_families(task, contract) for feature in family.features)


def feature_families(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of a task on a log; the first has a row for every customer with a purchase, or with a term.

    Raises:
        UsageError: Two sections would give features of the same name.
    """
    bought_in = replace(task, windows=task.purchase_windows)
    of_events = _contract_families(task, contract) if task.contractual else _event_families(bought_in, contract)
    all_families = (*of_events, *_side_table_families(task, contract), *_customer_families(contract))
    _refuse_duplicate_names(all_families)
    return tuple(_null_beyond_log(family, contract) for family in all_families)


def _null_beyond_log(family: Family, contract: DataContract) -> Family:
    """The family, with null for features whose window is longer than the log."""
    features = tuple(
        replace(
            f,
            compute=partial(_null_column, dtype=f.dtype),
            unread=phrase("the log is shorter than <days> days", days=f.window.days),
        )
        if f.window and f.window.days in contract.windows_beyond_log
        else f
        for f in family.features
    )
    return replace(family, features=features)


def _null_column(m: ibis.Table, dtype: str) -> ibis.Value:
    return ibis.null(dtype)


def _event_families(task: Task, contract: DataContract) -> tuple[Family, ...]:
    return (
        Family("rhythm", _rhythm_features(), recency.recency_measures, used_by_ranks=True),
        Family("lifecycle", tuple(lifecycle.lifecycle_features(task.horizon))),
        Family("sums", _sum_features(task, contract), _window_sums, used_by_ranks=True),
        Family("active_days", (), _active_days),
        Family("ever", _lifetime_habit_features(task, contract), lifetime.lifetime_measures),
        Family(
            "season",
            tuple(seasonality.year_ago_features(task.horizon, contract.has_amount)),
            seasonality.year_ago_measures,
        ),
        Family("earlier", _trend_features(task, contract), _earlier_sums),
        _rank_family(task, contract),
        Family(
            "expected",
            tuple(btyd.btyd_features(task.horizon, contract.has_amount)),
            btyd.btyd_measures,
            shares=btyd.btyd_shares(task, contract),
        ),
        *(
            Family(
                f"kind_{slug}",
                tuple(categories.category_features(slug, task.windows)),
                partial(categories.category_measures, kind=slug),
            )
            for slug in contract.kinds
        ),
    )


def _contract_families(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of a contractual business: the terms first, which every customer has, then those of the events.

    BG/NBD is left out: it predicts who falls silent, but a contract states when it ends. If the events are only the
    starts of the terms, they add no features.
    """
    terms = _subscription_family(contract)
    if contract.only_subscriptions:
        columns, alone = (
            subscriptions.terms_only_features(task.horizon),
            partial(subscriptions.subscription_measures, terms_only=True),
        )
        return (replace(terms, features=(*columns, *terms.features), measures=alone),)
    return (terms, *(_with_null_texts(f) for f in _event_families(task, contract) if f.name != "expected"))


def _with_null_texts(family: Family) -> Family:
    """The family with a text for null in every feature, as customers may have no event."""
    never = "no order so far"
    features = tuple(f if f.unread else replace(f, unread=never) for f in family.features)
    return replace(family, features=features)


def _subscription_family(contract: DataContract) -> Family:
    columns = tuple(subscriptions.subscription_features(contract.has_end, contract.has_price))
    return Family("subscriptions", columns, subscriptions.subscription_measures, section="subscriptions")


def _side_table_families(task: Task, contract: DataContract) -> tuple[Family, ...]:
    """The families of the tables beside the events."""
    families = [
        family
        for place, table in enumerate(contract.activities)
        for family in _activity_families(task, table, f"side{place}")
    ]
    if contract.has_contacts:
        columns = tuple(contacts.contact_features(task.windows, contract.has_cost, contract.has_control))
        families += [
            Family("contacts", columns, contacts.contact_measures, section="contacts"),
            Family("contacts_actions", tuple(contacts.action_features()), contacts.action_measures, section="contacts"),
            Family(
                "contacts_answers", tuple(contacts.response_features()), contacts.response_measures, section="contacts"
            ),
        ]
    if contract.has_subscriptions and not task.contractual:
        families.append(_subscription_family(contract))
    return tuple(families)


def _activity_families(task: Task, table: ActivityColumns, name: str) -> tuple[Family, ...]:
    """The families of a table of activities; the names of their stages begin with `name`."""
    section, columns = f"activities.{table.name}", tuple(activities.activity_features(table, task.windows))
    families = [Family(name, columns, partial(activities.activity_measures, activity=table), section=section)]
    if table.measure:
        last_measures = partial(activities.last_activity_measures, activity=table)
        families.append(
            Family(f"{name}_last", tuple(activities.last_activity_features(table)), last_measures, section=section)
        )
    for place, kind in enumerate(table.kinds):
        kind_measures = partial(activities.activity_kind_measures, activity=table, kind=kind)
        columns = tuple(activities.activity_kind_features(table, kind, task.windows))
        families.append(Family(f"{name}_kind{place}", columns, kind_measures, section=section))
    return tuple(families)


def _customer_families(contract: DataContract) -> tuple[Family, ...]:
    columns = tuple(customer_attributes.attribute_features(contract))
    return (
        (Family("customer_attributes", columns, customer_attributes.attribute_measures, section="customers"),)
        if columns
        else ()
    )


def _refuse_duplicate_names(families: Sequence[Family]) -> None:
    """Raises UsageError if two sections, or two columns of one, would give features of the same name."""
    declared: dict[str, tuple[str, Feature]] = {}
    for family in families:
        for feature in family.features:
            if feature.name in declared:
                section, other = declared[feature.name]
                raise UsageError(
                    f"[{section}] and [{family.section}] would both give a feature {feature.name!r} "
                    f"({other.phrase!r} and {feature.phrase!r}); rename the section or the column (a query can)"
                )
            declared[feature.name] = family.section, feature


def _rhythm_features() -> tuple[Feature, ...]:
    return (
        *recency.recency_features(),
        *recency.gap_features(),
        *recency.regularity_features(),
        *recency.silence_features(),
    )


def _sum_features(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    columns = [*lifetime.lifetime_features(contract.has_amount)]
    for w in task.windows:
        columns += [
            *order_window_features(w, contract.has_quantity),
            *(money_window_features(w) if contract.has_amount else ()),
        ]
    if contract.has_amount:
        columns += prices.unit_price_features(task.windows) if contract.has_quantity else ()
        columns += prices.discount_features(task.windows) if contract.has_discount else ()
    return tuple(columns)


def _lifetime_habit_features(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    hours = seasonality.hour_features(task.timezone) if contract.has_clock else ()
    columns = [*seasonality.weekday_features(), *hours]
    if task.horizon.days < YEAR:
        columns += seasonality.season_share_features(task.horizon)
    for w in task.windows:
        columns += trends.fading_features(w, contract.has_amount)
    return tuple(columns)


def _trend_features(task: Task, contract: DataContract) -> tuple[Feature, ...]:
    columns: list[Feature] = []
    for short, long in pairwise(task.windows):
        columns += trends.pace_features(short, long, contract.has_amount)
    for w in task.windows:
        columns += trends.change_features(w, contract.has_amount)
    for short, (mid, long) in zip(task.windows, pairwise(task.windows[1:]), strict=False):
        columns += trends.acceleration_features(short, mid, long, contract.has_amount)
    return tuple(columns)


def _rank_family(task: Task, contract: DataContract) -> Family:
    longest, has_amount = task.windows[-1], contract.has_amount
    ranks = partial(cohort_ranks.rank_measures, window=longest, has_amount=has_amount)
    return Family("peers", tuple(cohort_ranks.rank_features(longest, has_amount)), cohort_measures=ranks)


def _window_sums(past: Past) -> ibis.Table:
    return by_window(past.visible_orders, order_measures(past.tables.contract), window_spans(past.task.windows))


def _active_days(past: Past) -> ibis.Table:
    return by_window(past.days, DAY_MEASURES, window_spans(past.task.windows))


def _earlier_sums(past: Past) -> ibis.Table:
    purchases = past.visible_orders.filter(past.visible_orders.purchase)
    return by_window(purchases, purchase_measures(past.tables.contract), earlier_spans(past.task.windows))
