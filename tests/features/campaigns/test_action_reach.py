"""Whom actions reached and what followed, by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.campaigns.action_reach import reach_by_action
from features.config.load import Config
from features.engines.base import Engine
from features.intake.read_log import read_tables
from features.task import Window

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def contact(customer: str, days: float, action: str = "email", cost: float | None = 0.5) -> dict[str, Any]:
    return {"customer": customer, "time": NOON - timedelta(days), "action": action, "cost": cost}


def test_reach_cost_and_what_followed(tmp_path: Path, make_config: Callable[..., Config], engine: Engine) -> None:
    bought = [("ann", 30), ("ann", 200), ("bob", 46), ("cid", 60), ("dan", 5), ("eve", 40), ("fay", 300)]
    rows = [{"customer": who, "time": NOON - timedelta(days), "amount": 5.0} for who, days in bought]
    rows += [{"customer": "eve", "time": NOON - timedelta(39), "amount": -5.0}, {**rows[0], "amount": 0.0}]
    contacts = [
        contact("ann", 40),  # followed 10 days later
        contact("bob", 60),  # 14 days is too late
        contact("cid", 70),  # the call between takes it
        contact("cid", 65, "call", 4.0),
        contact("dan", 10),  # followed, but too young to be judged
        contact("eve", 50, "nothing", 9.0),  # held out, and bought all the same; it costs nothing
        contact("fay", 100),  # before the window
        contact("gus", 20, cost=None),  # never a customer
        contact("ann", -1),  # after the cutoff
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    pq.write_table(pa.Table.from_pylist(contacts), tmp_path / "contacts.parquet")
    section = {"source": "contacts.parquet", "customer": "customer", "time": "time", "action": "action", "cost": "cost"}
    config = make_config({"contacts": {**section, "control": "nothing"}}, amount="amount")
    cohort = pa.table({"customer_id": ["ann", "bob", "cid", "dan", "eve"]})
    by_action = reach_by_action(read_tables(config, engine), date(2024, 6, 1), Window(90), cohort, engine)
    names = ("action", "held_out", "contacts", "customers", "in_cohort", "cost", "judged", "followed")
    assert [tuple(row[name] for name in names) for row in by_action] == [
        ("call", False, 1, 1, 1, 4.0, 1, 1),
        ("email", False, 5, 5, 4, 2.0, 4, 1),
        ("nothing", True, 1, 1, 1, 0.0, 1, 1),
    ]
