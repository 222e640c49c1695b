"""How many first-time buyers order again, by what is known of them on their first day: counts for both engines.

A customer's first day with a purchase starts the clock. Whether a second one came within the horizon is known once the
horizon is over; what the first year brought, once the year is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import ibis

from features.catalog.customer_attributes import attribute_measures
from features.engines.base import Engine
from features.intake.customer_table import CUSTOMER_TABLE, attribute_column
from features.intake.tables import Tables
from features.money import TICKS
from features.point_in_time.first_orders import find_first_orders, first_kinds, frequent_values
from features.point_in_time.history import build_history
from features.task import Task

MOST_VALUES = 12  # of a kind or an attribute; all others are one group
EVERYBODY = "everybody"
UNKNOWN = "unknown"
SIZES = ("smallest third", "middle third", "largest third")


@dataclass(frozen=True)
class SecondOrders:
    """First-time buyers of one group, and what followed.

    Attributes:
        by: What groups them: 'everybody', 'first amount', 'weekday', a kind or an attribute.
        group: The group.
        customers: First-time buyers whose horizon is over.
        again: How many of them ordered again within the horizon.
        days: Days between both orders, summed over those who did.
        year_customers: First-time buyers whose first year is over.
        year_sum: What they brought in the year after the first day, in money.
        year_squares: The sum of its squares.
    """

    by: str
    group: str
    customers: int
    again: int
    days: float
    year_customers: int
    year_sum: float
    year_squares: float


def count_second_orders(tables: Tables, task: Task, cutoff: date, engine: Engine) -> list[SecondOrders]:
    """Counts second orders by group, as known at a cutoff.

    Args:
        tables: The contract.
        task: Gives the horizon.
        cutoff: Only what was known before it counts.
        engine: Where it runs.

    Returns:
        One row a group, 'everybody' first; groups without anybody whose horizon is over are left out.
    """
    with engine.temporary_stages():
        past = build_history(tables, task, [cutoff], engine, engine.store)
        first = engine.store("first_orders", find_first_orders(past))
        base = first.select("customer_id", "age", "again", "year_spend")
        counted: list[SecondOrders] = []
        groups = [(EVERYBODY, base.select("customer_id", value=ibis.literal(EVERYBODY)))]
        if tables.contract.has_amount:
            rank = ibis.ntile(len(SIZES)).over(ibis.window(order_by=[first.spend, first.customer_id]))
            third = ibis.cases(*((rank == n, name) for n, name in enumerate(SIZES)))
            groups.append(("first amount", first.select("customer_id", value=third)))
        groups.append(("weekday", first.select("customer_id", value="weekday")))
        groups += [(kind, first_kinds(past, first, kind)) for kind in tables.contract.kinds]
        if CUSTOMER_TABLE in tables.sides:
            known = attribute_measures(past)
            levels = [a.name for a in tables.contract.attributes if a.value_type == "level"]
            groups += [(name, known.select("customer_id", value=attribute_column(name))) for name in levels]
        for place, (by, values) in enumerate(groups):
            counted += _count(by, base, engine.store(f"first_values_{place}", values), task.horizon.days, engine)
        return counted


def _count(by: str, base: ibis.Table, values: ibis.Table, horizon: int, engine: Engine) -> Iterator[SecondOrders]:
    """The counts of one way of grouping, by the number of customers."""
    sizes = values.group_by("value").aggregate(n=values.count())
    kept = engine.to_arrow(sizes.filter(sizes.value.notnull()).order_by(sizes.n.desc(), sizes.value).limit(MOST_VALUES))
    grouped = frequent_values(values, [str(value) for value in kept["value"].to_pylist()])
    joined = base.left_join(grouped, "customer_id")
    rows = joined.mutate(group=joined.value.fill_null(UNKNOWN))
    mature, soon = rows.age >= horizon, rows.again.notnull() & (rows.again < horizon)
    year = rows.year_spend.cast("float64") / TICKS
    sums = rows.group_by("group").aggregate(
        customers=rows.count(where=mature),
        again=rows.count(where=mature & soon),
        days=rows.again.sum(where=mature & soon).fill_null(0).cast("int64"),
        year_customers=rows.count(where=rows.year_spend.notnull()),
        year_sum=year.sum().fill_null(0.0),
        year_squares=(year * year).sum().fill_null(0.0),
    )
    for row in engine.to_arrow(sums.filter(sums.customers > 0).order_by(sums.customers.desc(), "group")).to_pylist():
        yield SecondOrders(by, row["group"], *(row[name] for name in list(row)[1:]))
