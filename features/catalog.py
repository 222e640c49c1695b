"""The catalog: every behavioural feature of a task on a log, with its window and the phrase a marketer understands.

All of them are made of rows that were already known at a cutoff, with their `age` in days before it (1: the day
before); none can look ahead. Sums and counts over nothing are 0; means, extremes and ages are null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import ibis

from features import attributes, expected, kinds, rhythm
from features.contract import Contract
from features.errors import UsageError
from features.feature import Feature
from features.measures import DAY_MEASURES, by_window, order_measures
from features.past import Past
from features.task import Task
from features.whole_past import whole_past
from features.windowed import money_in, orders_in, season, trends, year_ago


@dataclass(frozen=True)
class Family:
    """Features that are made of the same measures.

    Attributes:
        name: Of the stored stage.
        features: What is made of the measures (of these and of those of the families before).
        measures: Gives one row a customer and cutoff; None where the families before have all that is needed.
        section: The section of the config that it comes from.
    """

    name: str
    features: tuple[Feature, ...]
    measures: Callable[[Past], ibis.Table] | None = None
    section: str = "events"


def catalog(task: Task, contract: Contract) -> tuple[Feature, ...]:
    """All features of a task on a log, in a fixed order; names are unique."""
    return tuple(feature for family in families(task, contract) for feature in family.features)


def families(task: Task, contract: Contract) -> tuple[Family, ...]:
    """The families of a task on a log; the first gives every customer with a purchase a row.

    Raises:
        UsageError: Two sections would give features of the same name.
    """
    found = (*_of_events(task, contract), *_of_customers(contract))
    _refuse_same_names(found)
    return found


def _of_customers(contract: Contract) -> tuple[Family, ...]:
    found = tuple(attributes.features(contract))
    return (Family("customer_attributes", found, attributes.measures, "customers"),) if found else ()


def _of_events(task: Task, contract: Contract) -> tuple[Family, ...]:
    return (
        Family("rhythm", (*rhythm.recency(), *rhythm.gaps()), rhythm.measures),
        Family("sums", _orders(task, contract), _sums),
        Family("active_days", (), _active_days),
        Family("season", tuple(season(task.horizon, contract.has_amount)), year_ago),
        Family("expected", tuple(expected.features(task.horizon, contract.has_amount)), expected.measures),
        *(
            Family(f"kind_{slug}", tuple(kinds.features(slug, task.windows)), partial(kinds.measures, kind=slug))
            for slug in contract.kinds
        ),
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


def _orders(task: Task, contract: Contract) -> tuple[Feature, ...]:
    found = [*whole_past(contract.has_amount, contract.has_clock)]
    for w in task.windows:
        found += [*orders_in(w, contract.has_quantity), *(money_in(w) if contract.has_amount else ())]
    for short, long in zip(task.windows[:-1], task.windows[1:], strict=True):
        found += trends(short, long, contract.has_amount)
    return tuple(found)


def _sums(past: Past) -> ibis.Table:
    return by_window(past.visible_orders, order_measures(past.tables.contract), past.task.windows)


def _active_days(past: Past) -> ibis.Table:
    return by_window(past.days, DAY_MEASURES, past.task.windows)
