"""The data contract: which columns and tables a log has, which decides which features are computed."""

from __future__ import annotations

from dataclasses import dataclass

from features.config.load import Config
from features.config.table_sections import Activity
from features.slugs import feature_slug


@dataclass(frozen=True)
class ActivityColumns:
    """The columns of an `[activities.NAME]` table: its name, measure ('' for none) and kinds as slugs."""

    name: str
    measure: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class CustomerAttribute:
    """A column of the customer table: a 'number', a 'date' (used as age in days) or a 'level' (a category)."""

    name: str
    value_type: str
    constant: bool = False


@dataclass(frozen=True)
class DataContract:
    """Which columns and tables a log has.

    Attributes:
        kinds: Slugs of the category columns, in the config's order.
        has_clock: Whether the times of the events have hours.
        activities: One entry for each table, in the config's order.
        attributes: The attributes of the customer table that features may use.
        has_control: Whether [contacts] names the action of the control group.
        has_end: Whether subscriptions have a column for the end of a term.
        price_days: The number of days that one price of a term pays for; 0 if unknown.
        cancelled: The reasons for the end of a term that count as churn; empty: every end counts.
        only_subscriptions: Whether the events are only the starts of subscription terms.
        undated_attributes: Attributes that are left out, because their values at past cutoffs are not known.
        windows_beyond_log: Windows, in days, that are longer than the log; their features are null.
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
    """Derive the data contract from a config and what was read from the data.

    Args:
        config: The config.
        has_clock: Whether the times of the events have hours.
        attributes: The usable attributes of the customer table, with their types.

    Returns:
        The contract.
    """
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
