"""What customers did after a contact: the final outcomes, and those that were other ones at an earlier day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import ibis
import pandas as pd
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import Tables
from features.point_in_time.history import (
    KEYS,
    KNOWN_BY,
    known_later,
    label_keys,
    late_after_contact,
    order_days,
    rows_after_contact,
)
from features.point_in_time.labels import churned_label, purchase_labels, value_label
from features.task import Task

OUTCOMES = ("returned", "value")


def final_outcomes(units: pd.DataFrame, tables: Tables, task: Task, engine: Engine) -> pd.DataFrame:
    """The outcomes as known now.

    Args:
        units: customer_id, cutoff (a timestamp) and day (of the contact) of each entry.
        tables: The contract.
        task: Its horizon counts from the day of the contact.
        engine: Where it runs.

    Returns:
        customer_id, cutoff (a timestamp), returned (1: a purchase within the horizon) and value (net amount).
    """
    contacts = engine.store_arrow("trial_contacts", _unit_keys(units))
    return engine.to_arrow(_outcomes(contacts, tables, task)).to_pandas()


def revised_outcomes(
    units: pd.DataFrame, tables: Tables, task: Task, days: Sequence[date], engine: Engine
) -> pa.Table | None:
    """The outcomes that were not yet the final ones at some later day.

    Args:
        units: As for `final_outcomes`.
        tables: The contract.
        task: Its horizon counts from the day of the contact.
        days: Days by which rows must have been known.
        engine: Where it runs.

    Returns:
        The columns of `final_outcomes` and known_by; None if no row became known late.
    """
    orders = order_days(tables)
    if not engine.count_rows(known_later(orders)):
        return None
    contacts = engine.store_arrow("trial_units", _unit_keys(units))
    known_by = engine.store_arrow("trial_known_by", pa.table({KNOWN_BY: pa.array(sorted(set(days)), pa.date32())}))
    late = engine.store("trial_late", late_after_contact(orders, contacts, known_by, task.horizon))
    return engine.to_arrow(_outcomes(late, tables, task).order_by(KNOWN_BY, *reversed(KEYS)))


def _outcomes(contacts: ibis.Table, tables: Tables, task: Task) -> ibis.Table:
    """The outcomes after contacts (customer_id, cutoff, contact_day, perhaps known_by)."""
    has_amount, keys = tables.contract.has_amount, label_keys(contacts)
    future = purchase_labels(rows_after_contact(order_days(tables), contacts, task.horizon), has_amount)
    joined = contacts.left_join(future, keys)
    columns = {name: joined[name] for name in keys} | {"cutoff": joined.cutoff.cast("timestamp")}
    return joined.select(
        **columns,
        returned=1 - churned_label(joined, contractual=False),
        value=value_label(joined, has_amount, contractual=False),
    )


def _unit_keys(units: pd.DataFrame) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array(units.customer_id, pa.string()),
            "cutoff": pa.array(units.cutoff.dt.date, pa.date32()),
            "contact_day": pa.array(units.day, pa.date32()),
        }
    )
