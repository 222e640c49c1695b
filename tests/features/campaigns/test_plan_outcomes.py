"""What came after a plan: purchases and contracts by their labels, contacts by the interval, and the log's end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns.plan_outcomes import PlanOutcomes, read_plan_outcomes
from features.config.load import Config
from features.errors import DataError
from features.intake.log import opened
from features.task import Window

CUTOFF = date(2024, 3, 1)
ASKED = pa.chunked_array([["d", "a", "b", "nobody"]])
CONTACTS = {"source": "contacts.parquet", "customer": "who", "time": "at", "action": "what", "cost": "cost",
            "control": "none"}  # fmt: skip
TOLD = [
    ("a", datetime(2024, 3, 1), "mail", 1.5),
    ("a", datetime(2024, 3, 30, 23), "mail", None),  # the last day of the horizon
    ("a", datetime(2024, 3, 31), "mail", 9.0),  # after it
    ("b", datetime(2024, 2, 29, 23), "mail", 9.0),  # before the cutoff
    ("b", datetime(2024, 3, 5), "none", 0.0),
    ("d", datetime(2024, 3, 5), "call", 2.0),
]


def _write(folder: Path, name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    pq.write_table(pa.Table.from_pylist([dict(zip(columns, r, strict=True)) for r in rows]), folder / f"{name}.parquet")


@pytest.fixture
def make(tmp_path: Path, make_config: Callable[..., Config]) -> Callable[..., Config]:
    """A config with the contacts of TOLD."""
    _write(tmp_path, "contacts", ("who", "at", "what", "cost"), TOLD)

    def make_one(events: list[tuple[str, datetime, float]], **sections: Any) -> Config:
        _write(tmp_path, "log", ("customer", "time", "amount"), events)
        task = {"horizon": "30d", "windows": ["30d"]} | sections.pop("task", {})
        return make_config({"contacts": CONTACTS, "task": task, **sections}, amount="amount", until="2024-04-20")

    return make_one


def outcomes_of(config: Config, *request: Any) -> PlanOutcomes:
    """The outcomes that the log of a config has."""
    with opened(config) as log:
        return read_plan_outcomes(log, *request)


def _by_customer(outcomes: PlanOutcomes) -> dict[str, tuple[Any, ...]]:
    return {row["customer_id"]: tuple(list(row.values())[1:]) for row in outcomes.customers.to_pylist()}


EVENTS = [
    ("a", datetime(2024, 1, 30, 23), 100.0),  # 31 days before
    ("a", datetime(2024, 1, 31), 10.0),  # 30 days before
    ("a", datetime(2024, 3, 1), 5.0),
    ("a", datetime(2024, 3, 30, 23), -7.0),
    ("a", datetime(2024, 3, 31), 50.0),  # after the horizon
    ("b", datetime(2024, 2, 29, 23), 4.0),
    ("b", datetime(2024, 3, 2), -4.0),  # a refund alone is no return
    ("d", datetime(2024, 2, 1), 3.0),
]


def test_purchases_value_and_contacts_lie_in_the_horizon(make: Callable[..., Config]) -> None:
    outcomes = outcomes_of(make(EVENTS), ASKED, CUTOFF, Window(30), CUTOFF)
    assert outcomes.customers["customer_id"].to_pylist() == ["d", "a", "b", "nobody"]
    assert _by_customer(outcomes) == {
        "d": (True, 3.0, 1.0, 0.0),
        "a": (True, 10.0, 0.0, -2.0),
        "b": (True, 4.0, 1.0, -4.0),
        "nobody": (False, 0.0, 1.0, 0.0),
    }
    assert outcomes.contacts.to_pylist() == [
        {"customer_id": "a", "action": "mail", "contacts": 2, "cost": 1.5, "costed": 1},
        {"customer_id": "d", "action": "call", "contacts": 1, "cost": 2.0, "costed": 1},
    ]
    assert (outcomes.days, outcomes.end, outcomes.has_cost) == (30, date(2024, 4, 20), True)
    assert outcomes.marks == {"events": 4, "customers": 3, "ticks": 1_170_000, "age_days": 31 + 30 + 1 + 29}
    early = outcomes_of(make(EVENTS), ASKED, date(2024, 3, 31), Window(30), CUTOFF)
    assert early.days == 20 and _by_customer(early)["a"] == (True, -2.0, 0.0, 50.0)


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_contracts_return_by_not_being_cancelled(
    request: pytest.FixtureRequest, make: Callable[..., Config], tmp_path: Path, kind: str
) -> None:
    if kind == "spark":
        request.getfixturevalue("spark")
    terms = [
        ("a", datetime(2023, 5, 1), datetime(2024, 3, 10), "left"),
        ("b", datetime(2023, 5, 1), datetime(2024, 3, 10), "died"),
        ("d", datetime(2023, 5, 1), datetime(2024, 4, 1), "left"),  # after the horizon
        ("e", datetime(2023, 5, 1), None, None),
    ]
    _write(tmp_path, "terms", ("who", "start", "end", "why"), terms)
    section = {"source": "terms.parquet", "customer": "who", "start": "start", "end": "end", "reason": "why",
               "cancelled": ["left"]}  # fmt: skip
    config = make(EVENTS, subscriptions=section, task={"churn": "cancelled"}, engine={"kind": kind})
    outcomes = outcomes_of(config, pa.chunked_array([["a", "b", "d", "e"]]), CUTOFF, Window(30), CUTOFF)
    assert (outcomes.contacts.num_rows, outcomes.marks["age_days"]) == (2, 91)
    by_customer = _by_customer(outcomes)
    assert {who: row[2] for who, row in by_customer.items()} == {"a": 1.0, "b": 0.0, "d": 0.0, "e": 0.0}
    assert {who: row[3] for who, row in by_customer.items()} == {"a": -2.0, "b": -4.0, "d": 0.0, "e": 0.0}
    assert by_customer["e"][0]  # under contract without an event


def test_a_log_that_ends_at_the_cutoff_is_refused(make: Callable[..., Config]) -> None:
    with pytest.raises(DataError, match="ends at 2024-04-20, and the plan is of 2024-04-20.*complete from 2024-05-20"):
        outcomes_of(make(EVENTS), ASKED, date(2024, 4, 20), Window(30), CUTOFF)
