"""An executed plan for tests: a real plan of the simulated business, the contacts made, and the orders since."""

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
class ExecutedPlanCase:
    """A plan and the raw rows of what happened since, so that tests can compute expected results.

    Attributes:
        config: The business.
        plan: The plan.
        table: Its rows, by customer.
        orders: Orders since: customer, time, amount.
        contacts: Contacts made.
    """

    config: Config
    plan: Plan
    table: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    contacts: list[dict[str, Any]]


def make_executed_plan(
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
) -> ExecutedPlanCase:
    """Make a plan, let `days` days pass, and write the longer log and the contacts.

    Args:
        folder: Folder of the business.
        days: Days of the log after the cutoff.
        customers: Number of customers.
        effect: Increase of the probability of returning by an action.
        seed: Seed of orders and contacts.
        contacts: The config's section.
        stray: Contacts beside those of the plan.
        money: Whether orders have amounts.
        rules: Rules of the plan, in addition to RULES.

    Returns:
        The executed plan.
    """
    write_parquet(folder, "contacts", [EARLIER])
    given = {**RULES, **({} if money else {"margin": None}), **(rules or {})}
    config = make_scored(folder, {"plan": given, "contacts": contacts}, customers, money=money)
    plan = make_plan(config, CUTOFF, budget=customers * 0.8)
    table, rng = plan.table().to_pylist(), np.random.default_rng(seed)
    orders, sent = [], [EARLIER]
    for row in table:
        who, action = row["customer_id"], row["action"]
        chance = 1 - row["churn_probability"] + effect * bool(action)
        for day in np.flatnonzero(rng.random(days) < chance / 20):
            amount = round(float(rng.gamma(2.0, 10.0)) * (1 if rng.random() < 0.9 else -1), 2)
            orders.append({"customer": who, "time": days_after_cutoff(int(day)), "amount": amount})
        if action and rng.random() < 0.9:
            sent.append({"id": who, "at": days_after_cutoff(int(rng.integers(0, 3))), "what": action, "cost": 0.75})
        elif row["would_have"] and rng.random() < 0.5:
            sent.append({"id": who, "at": days_after_cutoff(0), "what": "none", "cost": 0.0})
    orders.append({"customer": "late", "time": days_after_cutoff(days - 1), "amount": 1.0})
    before = pq.read_table(folder / "log.parquet").to_pylist()
    write_parquet(folder, "log", [*before, *orders])
    write_parquet(folder, "contacts", [*sent, *stray])
    return ExecutedPlanCase(config, plan, table, orders, [*sent, *stray])


def days_after_cutoff(day: int, hour: int = 0) -> datetime:
    """Return the time so many days and hours after the cutoff."""
    return datetime(CUTOFF.year, CUTOFF.month, CUTOFF.day) + timedelta(days=day, hours=hour)


def write_parquet(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as a Parquet file of the business."""
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def in_horizon(when: datetime, days: int = HORIZON, start: date = CUTOFF) -> bool:
    """Whether a time lies in [start, start + days)."""
    return 0 <= (when.date() - start).days < days
