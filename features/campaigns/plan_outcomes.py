"""What came after a plan: who returned and what they brought, by the labels of training, and what really went out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa

from features.config.load import Config
from features.config.table_sections import Contacts
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError, UsageError, sample
from features.intake.read_log import read_tables
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
from features.task import Window


@dataclass(frozen=True)
class PlanOutcomes:
    """What a log tells of some customers after a cutoff.

    Attributes:
        customers: In the order asked: customer_id, known (whether the log has them), before (net amount in
            [cutoff - horizon, cutoff); orders, where there is no money), churned and value over
            [cutoff, cutoff + days) (value null where there is no money).
        contacts: Received in [cutoff, cutoff + horizon), of anybody: customer_id, action, contacts, cost (of those
            whose cost is known), costed (how many of them).
        end: First day about which the log says nothing.
        days: How many days of the horizon it reaches.
        fingerprint: Of the log.
        marks: `marks_before` the day asked for.
        has_cost: Whether contacts tell their cost.
    """

    customers: pa.Table
    contacts: pa.Table
    end: date
    days: int
    fingerprint: str
    marks: dict[str, int]
    has_cost: bool


def read_plan_outcomes(
    config: Config, customers: pa.ChunkedArray, cutoff: date, horizon: Window, day: date
) -> PlanOutcomes:
    """Reads what came of some customers.

    Args:
        config: The business.
        customers: Their ids, each once.
        cutoff: When a plan was made.
        horizon: Over which it is judged.
        day: Before which the log's marks are asked for.

    Raises:
        UsageError: There are no contacts.
        DataError: A table cannot be read, nothing has happened since the cutoff, or contacts are of strangers.
    """
    section = config.contacts
    if section is None:
        raise UsageError(
            "the config has no [contacts]: what really went out is needed to measure a plan; name the table of contacts"
        )
    with open_engine(config.engine, config.folder) as engine:
        tables = read_tables(config, engine)
        days = min((tables.end - cutoff).days, horizon.days)
        if days < 1:
            raise DataError(
                f"nothing has happened yet: the log ends at {tables.end}, and the plan is of {cutoff}; a first look "
                f"can be had a day later, and the outcomes are whole from {cutoff + horizon.delta} on"
            )
        moments = engine.store_arrow("aftermath_cutoff", cutoff_table([cutoff]))
        inside = engine.store("aftermath_contacts", _received(tables, moments, horizon))
        _refuse_strangers(inside, tables, section, engine)
        rows = _customers(config, tables, customers, cutoff, moments, horizon, Window(days), engine)
        return PlanOutcomes(
            customers=engine.to_arrow(rows),
            contacts=engine.to_arrow(_by_action(inside)),
            end=tables.end,
            days=days,
            fingerprint=tables.fingerprint,
            marks=history_marks(tables, day, engine),
            has_cost=bool(section.cost),
        )


def _customers(
    config: Config,
    tables: Tables,
    customers: pa.ChunkedArray,
    cutoff: date,
    moments: ibis.Table,
    horizon: Window,
    passed: Window,
    engine: Engine,
) -> ibis.Table:
    """One row for each of the customers, in their order."""
    orders = engine.store("aftermath_orders", order_days(tables))
    n = len(customers)
    ids = {"customer_id": customers, "place": np.arange(n), "cutoff": pa.repeat(pa.scalar(cutoff, pa.date32()), n)}
    asked = engine.store_arrow("aftermath_customers", pa.table(ids))
    rows = asked.mutate(cutoff=asked.cutoff.cast("timestamp"))
    came = add_outcomes(rows, orders, tables, config.task.to_task(), moments, passed)
    before = _before(orders, moments, horizon, tables.contract.has_amount)
    first = _first(tables)
    joined = came.left_join(before, "customer_id").drop("customer_id_right")
    joined = joined.left_join(first, "customer_id").drop("customer_id_right")
    return joined.order_by("place").select(
        "customer_id",
        known=joined["first"].notnull(),
        before=joined.before.fill_null(0.0),
        churned=joined.churned.cast("float64"),
        value=joined.value,
    )


def _before(orders: ibis.Table, moments: ibis.Table, horizon: Window, has_amount: bool) -> ibis.Table:
    """Net amount, or how many orders, of each customer in [cutoff - horizon, cutoff)."""
    past = with_age(visible_at_cutoffs(orders, moments))
    recent = past.filter(past.age <= horizon.days)
    if has_amount:
        return recent.group_by("customer_id").aggregate(before=recent.amount.sum().cast("int64") / TICKS)
    return recent.group_by("customer_id").aggregate(before=recent.order_id.nunique().cast("float64"))


def _first(tables: Tables) -> ibis.Table:
    """The first day on which each customer did anything or came under contract."""
    days = tables.events.select("customer_id", "day")
    if "subscriptions" in tables.sides:
        days = ibis.union(days, tables.sides["subscriptions"].rows.select("customer_id", "day"))
    return days.group_by("customer_id").aggregate(first=days.day.min())


def _received(tables: Tables, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """Contacts in [cutoff, cutoff + horizon); the control is none."""
    rows = tables.sides["contacts"].rows
    return rows_in_horizon(rows.filter(~rows.held_out), moments, horizon).select("customer_id", "day", "action", "cost")


def _by_action(inside: ibis.Table) -> ibis.Table:
    return (
        inside.group_by("customer_id", "action")
        .aggregate(
            contacts=inside.count(),
            cost=inside.cost.sum().fill_null(0).cast("int64") / TICKS,
            costed=inside.cost.count(),
        )
        .order_by("customer_id", "action")
    )


def _refuse_strangers(inside: ibis.Table, tables: Tables, section: Contacts, engine: Engine) -> None:
    """Contacts of customers who had done nothing by then: refused where they are more than unreadable rows may be."""
    joined = inside.left_join(_first(tables), "customer_id")
    total = engine.count_rows(inside)
    strange = joined.filter(joined["first"].isnull() | (joined["first"] > joined.day))
    number = engine.count_rows(strange)
    if number > section.max_unreadable * total:
        ids = engine.to_arrow(strange.select("customer_id").distinct().order_by("customer_id").limit(3))
        raise DataError(
            f"{number:,} of {total:,} contacts since the plan are of customers whom [events] do not know, or not yet "
            f"(such as {sample(ids['customer_id'].to_pylist(), 3)}), above [contacts] max_unreadable = "
            f"{section.max_unreadable:g}: are the ids those of [events]?"
        )
