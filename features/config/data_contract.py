"""What a config's tables hold, without any of their rows: enough to say which features there will be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from features.config.load import Config
from features.config.sections import Activity


@dataclass(frozen=True)
class ActivityColumns:
    """The columns of an `[activities.NAME]` table; its name, measure ('' for none) and kinds as slugs."""

    name: str
    measure: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class CustomerAttribute:
    """A column of the customer table: a 'number', a 'date' (its age in days) or a 'level' (text)."""

    name: str
    value_type: str
    constant: bool = False


@dataclass(frozen=True)
class DataContract:
    """Which columns and tables a log has.

    Attributes:
        kinds: Slugs of the kind columns, in the config's order.
        has_clock: Whether the times of the events carry hours.
        activities: One entry a table, in the config's order.
        attributes: Those of the customer table that features may use.
        has_control: Whether the contacts name the action that means: nothing was done.
        has_end: Whether the terms of subscriptions may end.
        price_days: How many days one price of a term pays for; 0 where that is not said.
        cancelled: The reasons for which a term ends that are churn; empty where every end is.
        only_subscriptions: Whether the events are nothing but the starts of the terms.
        undated_attributes: Those that are left out: nothing says what they were at a past cutoff.
        windows_beyond_log: Windows, in days, that are longer than the whole log: their features are null.
    """

    kinds: tuple[str, ...] = ()
    has_amount: bool = True
    has_quantity: bool = False
    has_discount: bool = False
    has_clock: bool = True
    activities: tuple[ActivityColumns, ...] = ()
    attributes: tuple[CustomerAttribute, ...] = ()
    undated_attributes: tuple[str, ...] = ()
    has_since: bool = False
    has_contacts: bool = False
    has_cost: bool = False
    has_control: bool = False
    has_subscriptions: bool = False
    has_end: bool = False
    has_price: bool = False
    price_days: int = 0
    cancelled: tuple[str, ...] = ()
    only_subscriptions: bool = False
    windows_beyond_log: tuple[int, ...] = ()


def build_contract(config: Config, has_clock: bool, attributes: tuple[CustomerAttribute, ...] = ()) -> DataContract:
    """What a config promises; the clock and the types of attributes are read from the data."""
    events, contacts, terms = config.events, config.contacts, config.subscriptions
    return DataContract(
        kinds=tuple(feature_slug(kind) for kind in events.kinds),
        has_amount=bool(events.amount),
        has_quantity=bool(events.quantity),
        has_discount=bool(events.discount),
        has_clock=has_clock,
        activities=tuple(_activity(name, section) for name, section in config.activities.items()),
        attributes=attributes,
        has_since=config.customers is not None and bool(config.customers.since),
        has_contacts=contacts is not None,
        has_cost=contacts is not None and bool(contacts.cost),
        has_control=contacts is not None and bool(contacts.control),
        has_subscriptions=terms is not None,
        has_end=terms is not None and bool(terms.end),
        has_price=terms is not None and bool(terms.price),
        price_days=terms.price_every.days if terms is not None and terms.price_every else 0,
        cancelled=terms.cancelled if terms is not None else (),
        only_subscriptions=config.only_subscriptions,
    )


def _activity(name: str, section: Activity) -> ActivityColumns:
    return ActivityColumns(
        feature_slug(name), feature_slug(section.measure), tuple(feature_slug(kind) for kind in section.kinds)
    )


def feature_slug(name: str) -> str:
    """A column's name as part of a feature's name.

    >>> slug("StockCode"), slug("store id"), slug("商品")
    ('stock_code', 'store_id', '商品')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", spaced).strip("_").lower()
