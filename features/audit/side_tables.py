"""What the audit says of the tables beside the events: counts, spans, and what looks odd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ibis

from features.engines.base import Engine
from features.errors import printable, sample
from features.intake.customer_table import few_matches_text, matches_few
from features.intake.side_tables import ANSWER_ROLES
from features.intake.tables import SideTable, Tables
from features.task import Task

Facts = Mapping[str, Any]
MAX_NAMED_CUSTOMERS = 5


def side_facts(tables: Tables, engine: Engine) -> tuple[Facts, ...]:
    """Facts on each table of activities, contacts or subscriptions, in the order in which they were read.

    Returns:
        table, rows_read, rows (usable), set_aside (reason, rows, customers), customers, unknown (customers without any
        event), strangers (a few of these), known_customer (one of the events, for comparison), never_bought (customers
        with events but no purchase), first and last day of the rows (null if there are none), late_rows (known on a
        later day), held_out_rows (of contacts), answers (of contacts: how many were opened, clicked, converted, where
        the config names the columns).
    """
    return tuple(_facts(name, side, tables, engine) for name, side in tables.sides.items() if name != "customers")


def _facts(name: str, side: SideTable, tables: Tables, engine: Engine) -> Facts:
    """The facts on one table."""
    rows = side.rows
    if "part" in rows.columns:  # a term is one row of its source
        rows = rows.filter(rows.part == "start")
    held_out = rows.held_out.sum() if "held_out" in rows.columns else ibis.null("int64")
    answers = {role: rows[role].sum() for role in ANSWER_ROLES if role in rows.columns}
    counts = rows.aggregate(
        rows=rows.count(),
        first=rows.day.min(),
        last=rows.day.max(),
        late=(rows.seen > rows.day).sum(),
        held_out=held_out,
        **answers,
    )
    totals = engine.to_arrow(counts).to_pylist()[0]
    return {
        "table": name,
        "rows_read": side.rows_read,
        "rows": totals["rows"],
        "set_aside": tuple(asdict(aside) for aside in side.set_aside),
        **_customer_counts(rows, tables, engine),
        "first": totals["first"],
        "last": totals["last"],
        "late_rows": int(totals["late"] or 0),
        "held_out_rows": int(totals["held_out"] or 0),
        "answers": {role: int(totals[role] or 0) for role in answers},
    }


def _customer_counts(rows: ibis.Table, tables: Tables, engine: Engine) -> Facts:
    """How many customers there are, how many have no event, and how many never bought."""
    events = tables.events
    orders = events.group_by("customer_id", "order_id").aggregate(net=events.amount.sum())
    bought = (orders.net > 0) if tables.contract.has_amount else orders.order_id.notnull()
    known = orders.group_by("customer_id").aggregate(bought=bought.any())
    customers = rows.select("customer_id").distinct().left_join(known, "customer_id")
    unknown = customers.filter(customers.bought.isnull()).select("customer_id")
    never_bought = customers.filter(~customers.bought)
    examples = engine.to_arrow(unknown.order_by("customer_id").limit(MAX_NAMED_CUSTOMERS))
    known_customer = engine.to_arrow(events.aggregate(first=events.customer_id.min()))["first"][0].as_py()
    return {
        "customers": engine.count_rows(customers),
        "unknown": engine.count_rows(unknown),
        "strangers": tuple(examples["customer_id"].to_pylist()),
        "known_customer": known_customer,
        "never_bought": engine.count_rows(never_bought),
    }


def side_notes(facts: Sequence[Facts], tables: Tables, task: Task) -> list[str]:
    """Notes on what is odd about the tables beside the events.

    Args:
        facts: From `side_facts`.
        tables: The contract.
        task: Its horizon decides which spans are odd.

    Returns:
        One sentence a note.
    """
    return [f"[{table['table']}] {note}" for table in facts for note in _notes(table, tables, task)]


def _notes(table: Facts, tables: Tables, task: Task) -> Iterator[str]:
    """Notes on one table."""
    if not table["rows"]:
        yield "has no rows yet"
        return
    if matches_few(table["customers"] - table["unknown"], table["customers"], tables.customers):
        yield few_matches_text(table["customers"], table["unknown"], table["strangers"], table["known_customer"])
    elif table["unknown"]:
        consequence = "customers without a purchase are not predicted, so these rows are not used"
        yield (
            f"{table['unknown']:,} of {table['customers']:,} customers have no event (such as "
            f"{sample(table['strangers'])}): {'features of events are null' if task.contractual else consequence}"
        )
    if table["never_bought"] and not task.contractual:
        never_bought = f"{table['never_bought']:,} of {table['customers']:,} customers have events but never bought"
        yield f"{never_bought}, so they are not predicted and their rows are not used"
    if table["table"] == "contacts" and tables.contract.has_control and not table["held_out_rows"]:
        yield "control names an action that no row has: nobody was held out, or control is misspelt"
    for role in (role for role, count in table["answers"].items() if not count):
        yield f"{role} names a column that is yes for no contact: is it the right one, and are the answers in yet?"
    yield from _span_notes(table, tables, task)


def _span_notes(table: Facts, tables: Tables, task: Task) -> Iterator[str]:
    """Notes on ends more than a horizon away from those of the events; none on terms that stand for the events."""
    if table["table"] == "subscriptions" and tables.contract.only_subscriptions:
        return
    late, early = (table["first"] - tables.first).days, (tables.last - table["last"]).days
    if late > task.horizon.days:
        yield f"begins on {table['first']}, {late} days after the events: earlier cutoffs have no rows of it"
    if early > task.horizon.days:
        yield f"ends on {table['last']}, {early} days before the events: is it complete?"
    if -early > task.horizon.days:
        yield f"ends on {table['last']}, {-early} days after the events: mistyped or future dates?"


def side_lines(facts: Sequence[Facts]) -> list[str]:
    """The lines on the tables beside the events in the printed audit."""
    lines = []
    for table in facts:
        span = f", {table['first']} to {table['last']}" if table["rows"] else ""
        people = f"{table['customers']:,} customers" + (f" ({table['unknown']:,} unknown)" if table["unknown"] else "")
        late = f", {table['late_rows']:,} known late" if table["late_rows"] else ""
        usable = f"{table['rows']:,} usable of {table['rows_read']:,} read"
        answers = "".join(f", {count:,} {role}" for role, count in table["answers"].items())
        lines.append(f"side table     [{table['table']}] {usable}, {people}{span}{late}{answers}")
        for row in table["set_aside"]:
            named = ", ".join(printable(customer, keep="") for customer in row["customers"])
            ids = f" (customers such as {named})" if named else ""
            lines.append(f"{'':<15}set aside, {row['reason']}: {row['rows']:,}{ids}")
    return lines
