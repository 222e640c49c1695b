"""What the audit says of the tables beside the events: counts by hand, and every note."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features.audit.audit import Audit, audit_tables, audit_text, check_log
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.read_log import read_tables
from features.task import Task
from tests.features import beside

START = datetime(2024, 1, 1, tzinfo=UTC)
AuditOf = Callable[..., Audit]


@pytest.fixture
def events() -> pa.Table:
    """Customers a and b buy, c only returns; 100 days."""
    lines = [("a", 0, 5.0), ("b", 1, 5.0), ("c", 2, -5.0), *(("a", n, 1.0) for n in range(3, 100))]
    return pa.table(
        {
            "customer": [customer for customer, _, _ in lines],
            "time": [START + timedelta(day) for _, day, _ in lines],
            "amount": [amount for _, _, amount in lines],
        }
    )


@pytest.fixture
def audit_of(
    tmp_path: Path,
    events: pa.Table,
    make_config: Callable[..., Config],
    engine: DuckDBEngine,
    make_task: Callable[..., Task],
) -> AuditOf:
    """From rows by table, and sections, to the audit; a horizon of 30 days."""

    def make(tables: dict[str, list[dict[str, Any]]], sections: Any = beside.SECTIONS) -> Audit:
        config = beside.config(make_config, tmp_path, events, tables, sections)
        return audit_tables(read_tables(config, engine), make_task(30), engine)

    return make


def row(customer: str | None, day: int, **more: Any) -> dict[str, Any]:
    return {"customer": customer, "time": START + timedelta(day), **more}


FULL = {
    "visits": [row("a", 0), row("a", 98), row("x", 5), row("c", 5), row("y", 6), row("b", 6, measure=float("inf"))] * 4,
    "contacts": [row("a", 1, action="email", known_at=START + timedelta(9)), row("b", 90, action="none")],
    "subscriptions": [row("a", 0, end=START + timedelta(700)), row("b", 95)],
}
LENIENT = {
    **beside.SECTIONS,
    "activities": {
        **beside.SECTIONS["activities"],
        "visits": beside.SECTIONS["activities"]["visits"] | {"max_unreadable": 0.5},
    },
}


def test_rows_customers_and_spans_are_counted(audit_of: AuditOf) -> None:
    sides = {side["table"]: side for side in audit_of(FULL, LENIENT).sides}
    assert list(sides) == ["activities.visits", "activities.tickets", "contacts", "subscriptions"]
    visits, tickets = sides["activities.visits"], sides["activities.tickets"]
    assert (visits["rows_read"], visits["rows"], visits["customers"]) == (24, 20, 4)
    assert (visits["unknown"], visits["strangers"], visits["never_bought"]) == (2, ("x", "y"), 1)
    assert visits["set_aside"] == ({"reason": "infinite measure", "rows": 4, "customers": ("b",)},)
    assert (visits["first"], visits["last"]) == (date(2024, 1, 1), date(2024, 4, 8))
    assert (tickets["rows_read"], tickets["rows"], tickets["first"], tickets["last"]) == (0, 0, None, None)
    contacts, terms = sides["contacts"], sides["subscriptions"]
    assert (contacts["late_rows"], contacts["held_out_rows"], contacts["unknown"]) == (1, 1, 0)
    assert (terms["rows"], terms["last"]) == (2, date(2024, 4, 5))  # a planned end is not a row


def test_the_text_names_what_is_odd(audit_of: AuditOf) -> None:
    text = audit_text(audit_of(FULL, LENIENT))
    for part in (
        "[activities.visits] 20 usable of 24 read, 4 customers (2 unknown), 2024-01-01 to 2024-04-08",
        "set aside, infinite measure: 4 (customers such as b)",
        "note: [activities.visits] 2 of 4 customers have no event (such as 'x', 'y')",
        "note: [activities.visits] 1 of 4 customers have events but never bought",
        "note: [activities.tickets] has no rows yet",
        "[contacts] 2 usable of 2 read, 2 customers, 2024-01-02 to 2024-03-31, 1 known late",
    ):
        assert part in text
    assert "note: [contacts]" not in text
    assert "note: [subscriptions]" not in text


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([row("a", 31, action="none"), row("a", 69, action="x")], "begins on 2024-02-01, 31 days after the events"),
        ([row("a", 0, action="none"), row("a", 68, action="x")], "ends on 2024-03-09, 31 days before the events"),
        ([row("a", 0, action="none"), row("a", 130, action="x")], "ends on 2024-05-10, 31 days after the events"),
        ([row("a", 0, action="email"), row("a", 99, action="None")], "control names an action that no row has"),
        ([row("a", 30, action="none"), row("a", 69, action="x")], None),
        ([row("a", 0, action="none"), row("a", 129, action="x")], None),
    ],
)
def test_spans_far_from_the_events_and_a_control_that_never_was(
    rows: list[dict[str, Any]], note: str | None, audit_of: AuditOf
) -> None:
    notes = audit_of({"contacts": rows}, {"contacts": beside.SECTIONS["contacts"]}).notes
    contact_notes = [text for text in notes if text.startswith("[contacts]")]
    assert len(contact_notes) == (note is not None)
    assert all(note in text for text in contact_notes)


def test_the_audit_is_plain_json(tmp_path: Path, events: pa.Table, make_config: Callable[..., Config]) -> None:
    config = beside.config(make_config, tmp_path, events, FULL, {**LENIENT, "task": {"horizon": "30d"}})
    _, path = check_log(config)
    (visits, *_) = json.loads(path.read_text())["sides"]
    assert (visits["table"], visits["first"], visits["strangers"]) == ("activities.visits", "2024-01-01", ["x", "y"])


def test_a_table_whose_features_would_collide_is_refused_by_check(
    tmp_path: Path, events: pa.Table, make_config: Callable[..., Config]
) -> None:
    orders = {"activities": {"orders": beside.SECTIONS["activities"]["tickets"]}, "task": {"horizon": "30d"}}
    with pytest.raises(UsageError, match=r"\[events\] and \[activities.orders\] would both give .*'orders_rate_ever'"):
        check_log(beside.config(make_config, tmp_path, events, {"tickets": [row("a", 1)]}, orders))


def test_answers_to_contacts_are_counted_and_a_column_without_any_is_named(audit_of: AuditOf) -> None:
    contacts = [row("a", 5, action="mail", cost=0.0, propensity=0.5), row("b", 6, action="mail", cost=0.0)]
    keys = {**beside.SECTIONS["contacts"], "opened": "propensity", "clicked": "cost"}
    found = audit_of({"contacts": contacts}, {"contacts": keys})
    (facts,) = [table for table in found.sides if table["table"] == "contacts"]
    assert facts["answers"] == {"opened": 1, "clicked": 0}
    text = audit_text(found)
    assert ", 1 opened, 0 clicked" in text
    assert "clicked names a column that is yes for no contact" in text
