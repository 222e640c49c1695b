"""What the tables beside the events hold, as the audit says it: counts, spans, and what looks odd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ibis

from features.engines.base import Engine
from features.errors import sample
from features.intake.tables import SideTable, Tables
from features.task import Task

Facts = Mapping[str, Any]
MAX_NAMED_CUSTOMERS = 5


def side_facts(tables: Tables, engine: Engine) -> tuple[Facts, ...]:
    """One entry a table of activities, contacts or subscriptions, in the order in which they were read.

    Returns:
        table, rows_read, rows (usable), set_aside (reason, rows, customers), customers, unknown (those without any
        event), strangers (a few of them), never_bought (those with events but no purchase), first and last day of
        what happened (null where nothing did), late_rows (known on a later day), held_out_rows (of contacts).
    """
    return tuple(_facts(name, side, tables, engine) for name, side in tables.sides.items() if name != "customers")


def _facts(name: str, side: SideTable, tables: Tables, engine: Engine) -> Facts:
    rows = side.rows
    if "part" in rows.columns:  # a term is one row of its source
        rows = rows.filter(rows.part == "start")
    held = rows.held_out.sum() if "held_out" in rows.columns else ibis.null("int64")
    counts = rows.aggregate(
        rows=rows.count(), first=rows.day.min(), last=rows.day.max(), late=(rows.seen > rows.day).sum(), held=held
    )
    found = engine.arrow(counts).to_pylist()[0]
    return {
        "table": name,
        "rows_read": side.rows_read,
        "rows": found["rows"],
        "set_aside": tuple(asdict(aside) for aside in side.set_aside),
        **_customers(rows, tables, engine),
        "first": found["first"],
        "last": found["last"],
        "late_rows": int(found["late"] or 0),
        "held_out_rows": int(found["held"] or 0),
    }


def _customers(rows: ibis.Table, tables: Tables, engine: Engine) -> Facts:
    """How many customers there are, how many the events do not know, and how many never bought."""
    e = tables.events
    orders = e.group_by("customer_id", "order_id").aggregate(net=e.amount.sum())
    bought = (orders.net > 0) if tables.contract.has_amount else orders.order_id.notnull()
    known = orders.group_by("customer_id").aggregate(bought=bought.any())
    each = rows.select("customer_id").distinct().left_join(known, "customer_id")
    strange = each.filter(each.bought.isnull()).select("customer_id")
    never = each.filter(~each.bought)
    few = engine.arrow(strange.order_by("customer_id").limit(MAX_NAMED_CUSTOMERS))
    return {
        "customers": engine.count(each),
        "unknown": engine.count(strange),
        "strangers": tuple(few["customer_id"].to_pylist()),
        "never_bought": engine.count(never),
    }


def side_notes(facts: Sequence[Facts], tables: Tables, task: Task) -> list[str]:
    """What is odd about the tables beside the events, in words."""
    return [f"[{one['table']}] {note}" for one in facts for note in _notes(one, tables, task)]


def _notes(one: Facts, tables: Tables, task: Task) -> Iterator[str]:
    if not one["rows"]:
        yield "has no rows yet"
        return
    if one["unknown"]:
        lost = "nobody is predicted before a purchase, so their rows are not used"
        yield (
            f"{one['unknown']:,} of {one['customers']:,} customers have no event (such as "
            f"{sample(one['strangers'])}): {'features of events are null' if task.contractual else lost}"
        )
    if one["never_bought"] and not task.contractual:
        yield f"{one['never_bought']:,} of {one['customers']:,} customers have events but never bought: likewise"
    if one["table"] == "contacts" and tables.contract.has_control and not one["held_out_rows"]:
        yield "names a control, but no row has that action: nobody was held out, or control is spelt otherwise"
    yield from _spans(one, tables, task)


def _spans(one: Facts, tables: Tables, task: Task) -> Iterator[str]:
    """Ends that lie more than a horizon from those of the events; terms that stand for the events have none apart."""
    if one["table"] == "subscriptions" and tables.contract.only_terms:
        return
    late, early = (one["first"] - tables.first).days, (tables.last - one["last"]).days
    if late > task.horizon.days:
        yield f"begins on {one['first']}, {late} days after the events: earlier cutoffs know nothing of it"
    if early > task.horizon.days:
        yield f"ends on {one['last']}, {early} days before the events: is it complete?"
    if -early > task.horizon.days:
        yield f"ends on {one['last']}, {-early} days after the events: mistyped or future dates?"


def side_lines(facts: Sequence[Facts]) -> list[str]:
    """The tables beside the events as lines for a terminal."""
    lines = []
    for one in facts:
        span = f", {one['first']} to {one['last']}" if one["rows"] else ""
        people = f"{one['customers']:,} customers" + (f" ({one['unknown']:,} unknown)" if one["unknown"] else "")
        late = f", {one['late_rows']:,} known late" if one["late_rows"] else ""
        usable = f"{one['rows']:,} usable of {one['rows_read']:,} read"
        lines.append(f"beside         [{one['table']}] {usable}, {people}{span}{late}")
        for row in one["set_aside"]:
            ids = f" (customers such as {', '.join(row['customers'])})" if row["customers"] else ""
            lines.append(f"{'':<15}set aside, {row['reason']}: {row['rows']:,}{ids}")
    return lines
