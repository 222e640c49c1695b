"""One customer's orders and contacts before a cutoff, read from the log without the other customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from features.intake import read_log, side_tables
from features.intake.identity import customer_names, read_persons
from features.intake.log import Business, opened
from features.money import TICKS
from features.point_in_time.history import cutoff_table, visible_at_cutoffs

CONTACTS = "contacts"


@dataclass(frozen=True)
class CustomerHistory:
    """Orders and contacts of a customer known before a cutoff, the newest first.

    Attributes:
        orders: day, order_id, amount (money, None if the log has none), lines.
        contacts: day, action, held_out, cost (money, or None); empty without [contacts].
    """

    orders: list[dict[str, object]]
    contacts: list[dict[str, object]]


def read_customer_history(business: Business, customer: str, cutoff: date) -> CustomerHistory:
    """Reads a customer's orders and contacts.

    Args:
        business: An opened log, a config, or the path of a config.
        customer: The customer's id: as outputs have it, or as the log has it, in any spelling.
        cutoff: Only what was known before it is returned.

    Returns:
        The orders and contacts.

    Raises:
        DataError: There is nothing to read.
        UsageError: A column does not exist, or a query is not understood.
    """
    with opened(business) as log, log.engine.temporary_stages():
        config, engine = log.config, log.engine
        moments = engine.store_arrow("known_at", cutoff_table([cutoff]))
        persons, _ = read_persons(config, engine)
        for name in customer_names(config, persons, customer, cutoff):
            ids = persons.ids_at(name, cutoff)
            events = read_log.read_customer_events(config, engine, ids)
            rows = engine.store("events_of_one", visible_at_cutoffs(events, moments))
            if engine.count_rows(rows):
                break
        orders = rows.group_by("day", "order_id").aggregate(amount=rows.amount.sum(), lines=rows.count())
        newest_orders = _newest_first(engine.to_arrow(orders), "amount", "order_id")
        contacts: list[dict[str, object]] = []
        if config.contacts:
            known_contacts = visible_at_cutoffs(
                side_tables.read_customer_side_rows(CONTACTS, config, engine, ids), moments
            )
            contacts = _newest_first(
                engine.to_arrow(known_contacts.select("day", "action", "held_out", "cost")), "cost", "action"
            )
    return CustomerHistory(newest_orders, contacts)


def _newest_first(table: pa.Table, money: str, then: str) -> list[dict[str, object]]:
    """Rows by day, the newest first, with ticks as money."""
    rows = table.sort_by([("day", "descending"), (then, "ascending")]).to_pylist()
    return [{**row, money: None if row[money] is None else row[money] / TICKS} for row in rows]
