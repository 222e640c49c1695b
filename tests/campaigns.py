"""A campaign with its end: a real plan of the made-up business, the contacts that went out, and orders since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from serving.planning.plan import Plan, make_plan
from tests.scored import CUTOFF, make_scored

HORIZON = 30
ACTIONS = {"mail": {"cost": 0.5, "save_rate": 0.1}, "call": {"cost": 2.0, "save_rate": 0.6}}
RULES: dict[str, Any] = {"margin": 0.5, "holdout": 0.3, "actions": ACTIONS, "curve": 3}
CONTACTS = {
    "source": "contacts.parquet", "customer": "id", "time": "at", "action": "what", "cost": "cost", "control": "none",
}  # fmt: skip
EARLIER = {"id": "c000", "at": datetime(2024, 1, 5), "what": "mail", "cost": 9.0}


@dataclass(frozen=True)
class Ended:
    """A plan and the raw rows of what came of it, for oracles.

    Attributes:
        config: The business.
        plan: As it was made.
        table: Its rows, by customer.
        orders: What was bought since: customer, time, amount.
        contacts: What went out.
    """

    config: Config
    plan: Plan
    table: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    contacts: list[dict[str, Any]]


def make_ended(
    folder: Path,
    *,
    days: int = 40,
    customers: int = 300,
    effect: float = 0.3,
    seed: int = 8,
    contacts: Mapping[str, Any] = CONTACTS,
    stray: Iterable[dict[str, Any]] = (),
    money: bool = True,
    rules: Mapping[str, Any] | None = None,
) -> Ended:
    """Plans, lets `days` days pass, and writes the grown log and the contacts.

    Args:
        folder: Of the business.
        days: How long the log goes on after the cutoff.
        customers: How many.
        effect: What an action adds to the probability of returning.
        seed: Of what came.
        contacts: The section.
        stray: Contacts beside those that went out.
        money: Whether orders have amounts.
        rules: Of the plan, beside RULES.
    """
    write(folder, "contacts", [EARLIER])
    given = {**RULES, **({} if money else {"margin": None}), **(rules or {})}
    config = make_scored(folder, {"plan": given, "contacts": contacts}, customers, money=money)
    made = make_plan(config, CUTOFF, budget=customers * 0.8)
    table, rng = made.table().to_pylist(), np.random.default_rng(seed)
    orders, sent = [], [EARLIER]
    for row in table:
        who, action = row["customer_id"], row["action"]
        chance = 1 - row["churn_probability"] + effect * bool(action)
        for day in np.flatnonzero(rng.random(days) < chance / 20):
            amount = round(float(rng.gamma(2.0, 10.0)) * (1 if rng.random() < 0.9 else -1), 2)
            orders.append({"customer": who, "time": at(int(day)), "amount": amount})
        if action and rng.random() < 0.9:
            sent.append({"id": who, "at": at(int(rng.integers(0, 3))), "what": action, "cost": 0.75})
        elif row["would_have"] and rng.random() < 0.5:
            sent.append({"id": who, "at": at(0), "what": "none", "cost": 0.0})
    orders.append({"customer": "late", "time": at(days - 1), "amount": 1.0})
    before = pq.read_table(folder / "log.parquet").to_pylist()
    write(folder, "log", [*before, *orders])
    write(folder, "contacts", [*sent, *stray])
    return Ended(config, made, table, orders, [*sent, *stray])


def at(day: int, hour: int = 0) -> datetime:
    """A time so many days after the cutoff."""
    return datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day) + timedelta(days=day, hours=hour)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Rows as a Parquet file of the business."""
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def within(when: datetime, days: int = HORIZON, start: date = CUTOFF) -> bool:
    """Whether a time lies in [start, start + days)."""
    return 0 <= (when.date() - start).days < days
