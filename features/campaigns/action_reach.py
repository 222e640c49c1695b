"""Whom each action reached before a cutoff, what it cost, and how many of its contacts a purchase followed.

A contact is followed when there is a purchase at or after it, less than ANSWER later, with no other contact (nor a
holding out) between: what came first is not credited. Followed is not caused; only the control beside it tells.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import ibis
import pyarrow as pa

from features.catalog.contacts import RESPONSE_WINDOW
from features.engines.base import Engine
from features.intake.tables import Tables
from features.money import TICKS
from features.point_in_time.history import cutoff_table, visible_at_cutoffs, with_age
from features.task import Window

CUSTOMER = "customer_id"


def reach_by_action(
    tables: Tables, cutoff: date, window: Window, cohort: pa.Table, engine: Engine
) -> list[dict[str, Any]]:
    """One row an action in a window before a cutoff, by its name.

    Args:
        tables: The contract, with contacts.
        cutoff: What was known before it is looked at.
        window: How far back.
        cohort: customer_id of those who are customers.
        engine: Where it runs.

    Returns:
        action, held_out (it is the control), contacts, customers, in_cohort (how many of these are in the cohort), cost
        (money of all contacts), judged (moments of contact old enough that a purchase would be known) and followed (how
        many of those a purchase followed).
    """
    moments = engine.store_arrow("reach_cutoff", cutoff_table([cutoff]))
    told = with_age(visible_at_cutoffs(tables.sides["contacts"].rows, moments))
    recent = engine.store("reach_contacts", told.filter(told.age <= window.days))
    inside = recent.semi_join(engine.store_arrow("reach_cohort", cohort), CUSTOMER)
    members = inside.group_by("action").aggregate(in_cohort=inside.customer_id.nunique())
    met = recent.group_by(CUSTOMER, "action", time=recent.time.cast("timestamp")).aggregate(age=recent.age.min())
    asked = met.left_join(_followed(tables, recent, moments), [CUSTOMER, "time"])
    asked = asked.mutate(hit=asked.bought.fill_null(False), ripe=asked.age > RESPONSE_WINDOW.days)
    outcome = asked.group_by("action").aggregate(judged=asked.ripe.sum(), followed=(asked.ripe & asked.hit).sum())
    sums = recent.group_by("action").aggregate(
        held_out=recent.held_out.any(),
        contacts=recent.count(),
        customers=recent.customer_id.nunique(),
        ticks=recent.cost.sum(where=~recent.held_out).fill_null(0).cast("int64"),
    )
    both = sums.inner_join(outcome, "action").left_join(members, "action")
    both = both.select(*sums.columns, "judged", "followed", in_cohort=both.in_cohort.fill_null(0))
    rows = engine.to_arrow(both.order_by("action")).to_pylist()
    return [{**row, "cost": row.pop("ticks") / TICKS} for row in rows]


def _followed(tables: Tables, recent: ibis.Table, moments: ibis.Table) -> ibis.Table:
    """The contacts (customer_id, time) that a purchase followed, with `bought` true."""
    lines = visible_at_cutoffs(tables.events.select(CUSTOMER, "order_id", "day", "seen", "time", "amount"), moments)
    orders = lines.group_by(CUSTOMER, "order_id").aggregate(time=lines.time.min(), amount=lines.amount.sum())
    bought = orders.filter(orders.amount > 0) if tables.contract.has_amount else orders
    both = ibis.union(
        recent.select(CUSTOMER, time=recent.time.cast("timestamp"), contact=True),
        bought.select(CUSTOMER, time=bought.time.cast("timestamp"), contact=False),
    )
    contacts = both.contact.ifelse(both.time, ibis.null("timestamp"))
    asked = both.mutate(before=contacts.cummax(group_by=CUSTOMER, order_by=[both.time, ~both.contact]))
    soon = ~asked.contact & (asked.time < asked.before + ibis.interval(days=RESPONSE_WINDOW.days))
    found = asked.filter(soon).select(CUSTOMER, time="before").distinct()
    return found.mutate(bought=ibis.literal(True))
