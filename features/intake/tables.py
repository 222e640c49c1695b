"""What intake makes of a log: the contract's tables, and the rows that did not enter them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import ibis

from features.config.data_contract import Contract


@dataclass(frozen=True)
class SetAsideRows:
    """Rows that do not enter the contract: why, how many, and a few of their customers."""

    reason: str
    rows: int
    customers: tuple[str, ...]


@dataclass(frozen=True)
class SideTable:
    """A table beside the events: customer_id, day, seen and columns of its own; rows read, and those set aside."""

    rows: ibis.Table
    rows_read: int
    set_aside: tuple[SetAsideRows, ...]


@dataclass(frozen=True)
class Tables:
    """The contract's tables in an engine, and what is known of them as a whole.

    Attributes:
        events: customer_id, order_id, time, day, seen (the day the row became visible), amount, quantity and
            discount (int64, ticks), and one text column a kind (`kind_<slug>`).
        contract: Which columns and tables the config gives.
        sides: The tables beside the events, by name: 'activities.visits', 'customers', 'contacts', 'subscriptions'.
        first: Day of the first event.
        last: Day of the last event.
        end: First day about which nothing is known: labels mature up to it.
        fingerprint: Changes when any row does.
    """

    events: ibis.Table
    source: ibis.Table
    contract: Contract
    sides: Mapping[str, SideTable]
    rows_read: int
    rows: int
    customers: int
    first: date
    last: date
    end: date
    set_aside: tuple[SetAsideRows, ...]
    duplicates_dropped: int
    fingerprint: str
