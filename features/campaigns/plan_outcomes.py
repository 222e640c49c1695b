"""The outcomes after a plan: churn and value, computed like the labels of training, and the contacts actually sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa

from features.campaigns.required_contacts import require_contacts
from features.config.table_sections import Contacts
from features.engines.base import Engine
from features.errors import DataError, sample
from features.intake.log import Log
from features.intake.side_tables import ANSWER_ROLES
from features.intake.tables import Tables
from features.money import TICKS
from features.point_in_time.history import (
    cutoff_table,
    history_marks,
    order_days,
    rows_in_horizon,
    visible_at_cutoffs,
    with_age,
)
from features.snapshots.outcomes import add_outcomes
from features.task import Task, Window


@dataclass(frozen=True)
class PlanOutcomes:
    """What a log says about the customers of a plan after its cutoff.

    Attributes:
        customers: In the order of the request: customer_id, known (whether the log has the customer), before (net
            amount in [cutoff - horizon, cutoff), or the number of orders if the log has no amounts), churned and value
            over [cutoff, cutoff + days) (value is null if the log has no amounts).
        contacts: Contacts received in [cutoff, cutoff + horizon) by any customer: customer_id, action, contacts, cost
            (of the contacts whose cost is known), costed (how many of these there are), and how many were opened,
            clicked and converted, where the config names the columns.
        end: First day of which the log knows nothing.
        days: How many days of the horizon the log covers.
        fingerprint: Fingerprint of the log.
        marks: Figures by which the log before the requested day can be recognised; see `marks_before`.
        has_cost: Whether the contacts have a cost.
    """

    customers: pa.Table
    contacts: pa.Table
    end: date
    days: int
    fingerprint: str
    marks: dict[str, int]
    has_cost: bool


def read_plan_outcomes(log: Log, customers: pa.ChunkedArray, cutoff: date, horizon: Window, day: date) -> PlanOutcomes:
    """Reads the outcomes of the customers of a plan.

    Args:
        log: The log.
        customers: The customers' ids, each once.
        cutoff: The cutoff of the plan.
        horizon: The time after the cutoff over which outcomes count.
        day: The marks are those of the log before this day.

    Returns:
        The outcomes, over as many days of the horizon as the log covers.

    Raises:
        UsageError: The config has no contacts.
        DataError: A table cannot be read, the log ends at or before the cutoff, or too many contacts are of customers
            whom the log does not know.
    """
    section = require_contacts(log.config)
    with log.stages() as (engine, tables):
        tables.require_present_ids()
        days = min((tables.end - cutoff).days, horizon.days)
        if days < 1:
            raise DataError(
                f"there are no outcomes yet: the log ends at {tables.end}, and the plan is of {cutoff}; it can be "
                f"measured from a day after its cutoff on, and its outcomes are complete from "
                f"{cutoff + horizon.delta} on"
            )
        moments = engine.store_arrow("aftermath_cutoff", cutoff_table([cutoff]))
        contacts = engine.store("aftermath_contacts", _received_contacts(tables, moments, horizon))
        _refuse_unknown_customers(contacts, tables, section, engine)
        rows = _customer_rows(
            log.config.task.to_task(), tables, customers, cutoff, moments, horizon, Window(days), engine
        )
        return PlanOutcomes(
            customers=engine.to_arrow(rows),
            contacts=engine.to_arrow(_contacts_by_action(contacts)),
            end=tables.end,
            days=days,
            fingerprint=tables.fingerprint,
            marks=history_marks(tables, day, engine),
            has_cost=bool(section.cost),
        )


def read_later_values(
    log: Log, customers: pa.ChunkedArray, cutoff: date, horizon: Window, multiples: Sequence[int]
) -> dict[int, np.ndarray]:
    """Reads what the customers of a plan brought until the end of later horizons.

    Args:
        log: The log.
        customers: The customers' ids, each once.
        cutoff: The cutoff of the plan.
        horizon: Its horizon.
        multiples: The numbers of horizons.

    Returns:
        By number of horizons the net amount (n,) over [cutoff, cutoff + number x horizon); only for those that the log
        reaches. Empty if the log has no amounts, or is one of contracts.

    Raises:
        DataError: A table cannot be read.
    """
    task = log.config.task.to_task()
    values = dict[int, np.ndarray]()
    with log.stages() as (engine, tables):
        if task.contractual or not tables.contract.has_amount:
            return values
        moments = engine.store_arrow("aftermath_cutoff", cutoff_table([cutoff]))
        for number in multiples:
            span = Window(number * horizon.days)
            if cutoff + span.delta <= tables.labels_end:
                rows = _customer_rows(task, tables, customers, cutoff, moments, horizon, span, engine)
                values[number] = engine.to_arrow(rows)["value"].to_numpy()
    return values


def _customer_rows(
    task: Task,
    tables: Tables,
    customers: pa.ChunkedArray,
    cutoff: date,
    moments: ibis.Table,
    horizon: Window,
    observed: Window,
    engine: Engine,
) -> ibis.Table:
    """One row for each of the customers, in their order."""
    orders = engine.store("aftermath_orders", order_days(tables))
    n = len(customers)
    ids = {"customer_id": customers, "place": np.arange(n), "cutoff": pa.repeat(pa.scalar(cutoff, pa.date32()), n)}
    requested = engine.store_arrow("aftermath_customers", pa.table(ids))
    rows = requested.mutate(cutoff=requested.cutoff.cast("timestamp"))
    labelled = add_outcomes(rows, orders, tables, task, moments, observed)
    before = _spend_before(orders, moments, horizon, tables.contract.has_amount)
    first = _first_days(tables)
    joined = labelled.left_join(before, "customer_id").drop("customer_id_right")
    joined = joined.left_join(first, "customer_id").drop("customer_id_right")
    return joined.order_by("place").select(
        "customer_id",
        known=joined["first"].notnull(),
        before=joined.before.fill_null(0.0),
        churned=joined.churned.cast("float64"),
        value=joined.value,
    )


def _spend_before(orders: ibis.Table, moments: ibis.Table, horizon: Window, has_amount: bool) -> ibis.Table:
    """Net amount, or number of orders without amounts, of each customer in [cutoff - horizon, cutoff)."""
    past = with_age(visible_at_cutoffs(orders, moments))
    recent = past.filter(past.age <= horizon.days)
    if has_amount:
        return recent.group_by("customer_id").aggregate(before=recent.amount.sum().cast("int64") / TICKS)
    return recent.group_by("customer_id").aggregate(before=recent.order_id.nunique().cast("float64"))


def _first_days(tables: Tables) -> ibis.Table:
    """The first day on which each customer has an event or a subscription."""
    days = tables.events.select("customer_id", "day")
    if "subscriptions" in tables.sides:
        days = ibis.union(days, tables.sides["subscriptions"].rows.select("customer_id", "day"))
    return days.group_by("customer_id").aggregate(first=days.day.min())


def _received_contacts(tables: Tables, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """Contacts in [cutoff, cutoff + horizon); the control does not count."""
    rows = tables.sides["contacts"].rows
    answers = (role for role in ANSWER_ROLES if role in rows.columns)
    received = rows_in_horizon(rows.filter(~rows.held_out), moments, horizon)
    return received.select("customer_id", "day", "action", "cost", *answers)


def _contacts_by_action(contacts: ibis.Table) -> ibis.Table:
    return (
        contacts.group_by("customer_id", "action")
        .aggregate(
            contacts=contacts.count(),
            cost=contacts.cost.sum().fill_null(0).cast("int64") / TICKS,
            costed=contacts.cost.count(),
            **{role: contacts[role].sum().cast("int64") for role in ANSWER_ROLES if role in contacts.columns},
        )
        .order_by("customer_id", "action")
    )


def _refuse_unknown_customers(contacts: ibis.Table, tables: Tables, section: Contacts, engine: Engine) -> None:
    """Raises DataError if too many contacts are of customers without any event by then ([contacts] max_unreadable)."""
    joined = contacts.left_join(_first_days(tables), "customer_id")
    total = engine.count_rows(contacts)
    unknown = joined.filter(joined["first"].isnull() | (joined["first"] > joined.day))
    number = engine.count_rows(unknown)
    if number > section.max_unreadable * total:
        ids = engine.to_arrow(unknown.select("customer_id").distinct().order_by("customer_id").limit(3))
        raise DataError(
            f"{number:,} of {total:,} contacts since the plan are of customers who had no event by then (such as "
            f"{sample(ids['customer_id'].to_pylist(), 3)}), above [contacts] max_unreadable = "
            f"{section.max_unreadable:g}: are the ids those of [events]? If so, raise max_unreadable"
        )
