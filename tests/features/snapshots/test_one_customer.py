"""One customer's rows equal those read from the complete log, as known at the cutoff."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.money import TICKS
from features.snapshots.one_customer import read_customer_history

ROWS = [
    {
        "id": 1,
        "customer": 7.0,
        "time": datetime(2024, 1, 5, 9),
        "known": datetime(2024, 1, 5),
        "order": "a",
        "amount": 10.25,
    },
    {
        "id": 2,
        "customer": 7.0,
        "time": datetime(2024, 1, 5, 9),
        "known": datetime(2024, 1, 5),
        "order": "a",
        "amount": 4.75,
    },
    {
        "id": 2,
        "customer": 7.0,
        "time": datetime(2024, 1, 5, 9),
        "known": datetime(2024, 1, 6),
        "order": "a",
        "amount": 4.75,
    },
    {
        "id": 3,
        "customer": 7.0,
        "time": datetime(2024, 1, 20),
        "known": datetime(2024, 3, 1),
        "order": "b",
        "amount": 5.0,
    },
    {
        "id": 4,
        "customer": 7.0,
        "time": datetime(2024, 2, 10),
        "known": datetime(2024, 2, 10),
        "order": "c",
        "amount": -3.0,
    },
    {
        "id": 5,
        "customer": 8.0,
        "time": datetime(2024, 1, 5),
        "known": datetime(2024, 1, 5),
        "order": "d",
        "amount": 99.0,
    },
    {
        "id": 6,
        "customer": None,
        "time": datetime(2024, 1, 5),
        "known": datetime(2024, 1, 5),
        "order": "e",
        "amount": 1.0,
    },
]
CONTACTS = [
    {"who": "7", "at": datetime(2024, 1, 9), "what": "mail", "cost": 0.5},
    {"who": "7", "at": datetime(2024, 1, 8), "what": "none", "cost": None},
    {"who": "7", "at": datetime(2024, 2, 9), "what": "mail", "cost": 0.5},
    {"who": "8", "at": datetime(2024, 1, 9), "what": "mail", "cost": 0.5},
]


@pytest.fixture
def config(tmp_path: Path, make_config: Callable[..., Config]) -> Config:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "log.parquet")
    pq.write_table(pa.Table.from_pylist(CONTACTS), tmp_path / "contacts.parquet")
    contacts = {
        "source": "contacts.parquet",
        "customer": "who",
        "time": "at",
        "action": "what",
        "cost": "cost",
        "control": "none",
    }
    return make_config({"contacts": contacts}, amount="amount", order="order", known_at="known", id="id")


@pytest.mark.parametrize("cutoff", [date(2024, 1, 5), date(2024, 2, 1), date(2024, 4, 1)])
@pytest.mark.parametrize("customer", ["7", "8", "9"])
def test_orders_are_those_of_the_whole_log(config: Config, customer: str, cutoff: date) -> None:
    with open_engine(config.engine, config.folder) as engine:
        rows = engine.to_arrow(read_tables(config, engine).events).to_pylist()
    expected: dict[tuple[date, str], float] = defaultdict(float)
    for row in rows:
        if row["customer_id"] == customer and row["seen"] < cutoff:
            expected[row["day"], row["order_id"]] += row["amount"] / TICKS
    orders = read_customer_history(config, customer, cutoff).orders
    assert {(row["day"], row["order_id"]): row["amount"] for row in orders} == expected
    assert [row["day"] for row in orders] == sorted((row["day"] for row in orders), reverse=True)


def test_contacts_say_who_was_held_out(config: Config) -> None:
    contacts = read_customer_history(config, "7", date(2024, 2, 1)).contacts
    assert [(row["day"].day, row["action"], row["held_out"], row["cost"]) for row in contacts] == [
        (9, "mail", False, 0.5),
        (8, "none", True, None),
    ]


def test_rows_that_are_equal_are_dropped_where_the_config_says_so(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    row = {"customer": "x", "time": datetime(2024, 1, 5), "amount": 2.0}
    pq.write_table(pa.Table.from_pylist([row, row, {**row, "amount": 3.0}]), tmp_path / "log.parquet")
    for duplicates, amount in (("drop", 5.0), ("keep", 7.0)):
        config = make_config(amount="amount", duplicates=duplicates)
        (order,) = read_customer_history(config, "x", date(2024, 2, 1)).orders
        assert order["amount"] == amount
