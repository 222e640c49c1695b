"""The customers that each action reached before a cutoff, its cost, and how many of its contacts a purchase followed.

A purchase follows a contact if it comes at the same time or less than RESPONSE_WINDOW later, with no other contact or
holding out between. A purchase that follows need not be caused by the contact; only the comparison with the control
shows that.
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
from features.point_in_time.history import cutoff_table, owned_columns, visible_at_cutoffs, with_age
from features.task import Window

CUSTOMER = "customer_id"


def reach_by_action(
    tables: Tables, cutoff: date, window: Window, cohort: pa.Table, engine: Engine
) -> list[dict[str, Any]]:
    """Summarises the contacts of each action in a window before a cutoff.

    Args:
        tables: The contract tables, with contacts.
        cutoff: Only what was known before it is used.
        window: How far back from the cutoff.
        cohort: customer_id of the cohort.
        engine: Where it runs.

    Returns:
        One row for each action, by name: action, held_out (whether it is the control), contacts, customers, in_cohort
        (how many of the customers are in the cohort), cost (money of all contacts), judged (moments of contact that are
        old enough for a purchase to be known) and followed (how many of those a purchase followed).
    """
    moments = engine.store_arrow("reach_cutoff", cutoff_table([cutoff]))
    contacts = with_age(visible_at_cutoffs(tables.sides["contacts"].rows, moments))
    recent = engine.store("reach_contacts", contacts.filter(contacts.age <= window.days))
    inside = recent.semi_join(engine.store_arrow("reach_cohort", cohort), CUSTOMER)
    in_cohort = inside.group_by("action").aggregate(in_cohort=inside.customer_id.nunique())
    contact_moments = recent.group_by(CUSTOMER, "action", time=recent.time.cast("timestamp")).aggregate(
        age=recent.age.min()
    )
    moments_with_outcome = contact_moments.left_join(
        _contacts_with_purchase(tables, recent, moments), [CUSTOMER, "time"]
    )
    moments_with_outcome = moments_with_outcome.mutate(
        hit=moments_with_outcome.bought.fill_null(False), ripe=moments_with_outcome.age > RESPONSE_WINDOW.days
    )
    outcome = moments_with_outcome.group_by("action").aggregate(
        judged=moments_with_outcome.ripe.sum(), followed=(moments_with_outcome.ripe & moments_with_outcome.hit).sum()
    )
    sums = recent.group_by("action").aggregate(
        held_out=recent.held_out.any(),
        contacts=recent.count(),
        customers=recent.customer_id.nunique(),
        ticks=recent.cost.sum(where=~recent.held_out).fill_null(0).cast("int64"),
    )
    joined = sums.inner_join(outcome, "action").left_join(in_cohort, "action")
    joined = joined.select(*sums.columns, "judged", "followed", in_cohort=joined.in_cohort.fill_null(0))
    rows = engine.to_arrow(joined.order_by("action")).to_pylist()
    return [{**row, "cost": row.pop("ticks") / TICKS} for row in rows]


def _contacts_with_purchase(tables: Tables, recent: ibis.Table, moments: ibis.Table) -> ibis.Table:
    """The contacts (customer_id, time) that a purchase followed, with `bought` true."""
    columns = (CUSTOMER, "order_id", "day", "seen", "time", "amount", *owned_columns(tables.events))
    lines = visible_at_cutoffs(tables.events.select(columns), moments)
    orders = lines.group_by(CUSTOMER, "order_id").aggregate(time=lines.time.min(), amount=lines.amount.sum())
    purchases = orders.filter(orders.amount > 0) if tables.contract.has_amount else orders
    events = ibis.union(
        recent.select(CUSTOMER, time=recent.time.cast("timestamp"), contact=True),
        purchases.select(CUSTOMER, time=purchases.time.cast("timestamp"), contact=False),
    )
    contact_time = events.contact.ifelse(events.time, ibis.null("timestamp"))
    timeline = events.mutate(before=contact_time.cummax(group_by=CUSTOMER, order_by=[events.time, ~events.contact]))
    is_response = ~timeline.contact & (timeline.time < timeline.before + ibis.interval(days=RESPONSE_WINDOW.days))
    followed = timeline.filter(is_response).select(CUSTOMER, time="before").distinct()
    return followed.mutate(bought=ibis.literal(True))
