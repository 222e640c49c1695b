"""The tables of the contract, as the intake returns them, and the rows that were set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import ibis

from features.config.data_contract import DataContract
from features.errors import DataError
from features.label_delay import NO_LABEL_DELAY, LabelDelay
from features.persons import NO_PERSONS, Persons
from features.sources.files import FilesRead

OWNED = ("owned_from", "owned_until")  # a row is the customer's at cutoffs after the first and up to the second
OWN_ID = "own_id"  # the id that a row of the customer table had before ids were joined


@dataclass(frozen=True)
class SetAsideRows:
    """Rows that did not enter the contract: the reason, how many, and a few of their customers."""

    reason: str
    rows: int
    customers: tuple[str, ...]


@dataclass(frozen=True)
class SideTable:
    """A table beside the events.

    Attributes:
        rows: customer_id, day, seen and its own columns.
        rows_read: Rows of the source.
        set_aside: Rows of the source that are not in `rows`.
        files: The files that were read, one entry for each table of files; empty for a database.
    """

    rows: ibis.Table
    rows_read: int
    set_aside: tuple[SetAsideRows, ...]
    files: tuple[FilesRead, ...] = ()


@dataclass(frozen=True)
class Tables:
    """The contract's tables in an engine, with facts about the whole log.

    Attributes:
        events: customer_id, order_id, time, day, seen (the day the row became visible), amount, quantity and
            discount (int64, ticks), and one text column a kind (`kind_<slug>`).
        source: The rows as they were read, without exact duplicates where these are dropped.
        contract: Which columns and tables the config gives.
        sides: The tables beside the events, by name: 'activities.visits', 'customers', 'contacts', 'subscriptions'.
        rows_read: Rows of the source.
        rows: Rows of `events`.
        customers: Customers of `events`.
        first: Day of the first event.
        last: Day of the last event.
        end: First day about which nothing is known.
        set_aside: Rows of the source that are not in `events`.
        duplicates_dropped: Exact duplicates that were dropped.
        fingerprint: Changes when any row does.
        reused_orders: How many order ids a customer used again after a long pause; each use is an order of its own.
        files: The files of the events, one entry for each table of files; empty for a database.
        persons: The ids of each person.
        identity: The joins: customer_id, person, has_events (whether the log has the id); None without [identity].
        recorded_tables: See `recorded`.
        label_delay: How long labels wait for rows that become known late.
        earlier_ids: What to do about an output whose ids were read by an earlier rule; empty if there is nothing to do.
    """

    events: ibis.Table
    source: ibis.Table
    contract: DataContract
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
    reused_orders: int = 0
    files: tuple[FilesRead, ...] = ()
    earlier_ids: str = ""
    label_delay: LabelDelay = NO_LABEL_DELAY
    persons: Persons = NO_PERSONS
    identity: SideTable | None = None
    recorded_tables: Tables | None = None

    @property
    def labels_end(self) -> date:
        """First day about which rows may still arrive: labels mature up to it."""
        return self.end - timedelta(days=self.label_delay.wait)

    @property
    def recorded(self) -> Tables:
        """The contract with every row once, given to the person as known at the end, for counts over the whole log.

        It differs from the contract only if ids were joined at known dates. The contract then has a row once for each
        customer to whom it belongs at some cutoff, and says in the columns OWNED at which cutoffs.
        """
        return self.recorded_tables or self

    def require_present_ids(self) -> None:
        """Raises DataError if scores, segments and plans in the output name customers by an earlier rule for ids."""
        if self.earlier_ids:
            raise DataError(self.earlier_ids)
