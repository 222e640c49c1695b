"""Who was contacted before a cutoff, and how attributes stood: nothing later is seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns.contact_history import read_attributes, read_earlier_contacts, summarise_log
from features.config.load import Config
from features.errors import UsageError
from features.intake.log import opened
from features.task import Window

CUTOFF = date(2024, 3, 1)
CONTACTS = {
    "source": "contacts.parquet", "customer": "id", "time": "at", "action": "action", "control": "none",
    "known_at": "known",
}  # fmt: skip
PEOPLE = {"source": "people.parquet", "customer": "id", "attributes": ["consent", "grade", "city"]}


@pytest.fixture(autouse=True)
def _events(tmp_path: Path) -> None:
    """A log of one event, since a log is read whole."""
    row = {"customer": "a", "time": datetime(2023, 5, 1), "order": "1", "amount": 1.0}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "log.parquet")


def test_contacts_before_the_cutoff_count_the_control_and_later_ones_do_not(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    rows = [
        ("a", datetime(2024, 2, 29, 23), "mail", datetime(2024, 2, 29)),
        ("a", datetime(2024, 2, 1), "mail", datetime(2024, 2, 1)),
        ("a", datetime(2024, 1, 31), "mail", datetime(2024, 1, 31)),
        ("a", datetime(2024, 3, 1), "mail", datetime(2024, 3, 1)),  # at the cutoff
        ("b", datetime(2024, 2, 20), "none", datetime(2024, 2, 20)),  # held out
        ("c", datetime(2024, 2, 20), "mail", datetime(2024, 3, 5)),  # known later
        ("d", datetime(2023, 6, 1), "call", datetime(2023, 6, 1)),
    ]
    table = pa.Table.from_pylist([dict(zip(("id", "at", "action", "known"), row, strict=True)) for row in rows])
    pq.write_table(table, tmp_path / "contacts.parquet")
    config = make_config({"contacts": CONTACTS})
    with opened(config) as log:
        contacts = read_earlier_contacts(log, CUTOFF, Window(29))
    assert contacts.customers.to_pylist() == ["a", "d"]
    assert contacts.days_since.to_pylist() == [1, 274]
    assert contacts.recent.to_pylist() == [2, 0]


def _people(tmp_path: Path) -> None:
    rows = [
        {"id": 1.0, "consent": True, "grade": 2.0, "city": "Bonn", "known": datetime(2024, 1, 1)},
        {"id": 1.0, "consent": False, "grade": 3.5, "city": " ", "known": datetime(2024, 2, 1)},
        {"id": 1.0, "consent": True, "grade": 4.0, "city": "Köln", "known": datetime(2024, 3, 2)},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "people.parquet")


def test_attributes_are_text_as_known_before_the_cutoff(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    _people(tmp_path)
    config = make_config({"customers": {**PEOPLE, "known_at": "known"}})
    assert config.customers is not None
    with opened(config) as log:
        attributes = read_attributes(log, config.customers, CUTOFF, ["consent", "grade", "city"])
    assert attributes.to_pylist() == [{"customer_id": "1", "consent": "no", "grade": "3.5", "city": None}]


def test_without_known_at_attributes_are_those_of_today(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    rows = [{"id": "a", "consent": False, "grade": 2.0, "city": "Bonn"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "people.parquet")
    config = make_config({"customers": PEOPLE})
    assert config.customers is not None
    with opened(config) as log:
        attributes = read_attributes(log, config.customers, CUTOFF, ["grade", "consent"])
    assert attributes.to_pylist() == [{"customer_id": "a", "grade": "2", "consent": "no"}]


def test_a_column_that_is_not_there_is_named(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    _people(tmp_path)
    config = make_config({"customers": {**PEOPLE, "attributes": ["consnt"]}})
    assert config.customers is not None
    with opened(config) as log, pytest.raises(UsageError, match="consent"):
        read_attributes(log, config.customers, CUTOFF, ["consnt"])


def test_the_spread_is_of_buyers_in_the_window_before_the_cutoff(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    rows = [
        ("a", "1", datetime(2024, 2, 10), 10.0),
        ("a", "2", datetime(2024, 2, 20), 6.0),
        ("a", "2", datetime(2024, 2, 25), -1.0),  # a refund of a part
        ("b", "3", datetime(2024, 2, 29), 45.0),
        ("c", "4", datetime(2024, 2, 11), -3.0),  # a refund alone is no purchase
        ("d", "5", datetime(2024, 1, 30), 900.0),  # before the window
        ("d", "6", datetime(2024, 3, 1), 900.0),  # at the cutoff
    ]
    table = pa.Table.from_pylist([dict(zip(("customer", "order", "time", "amount"), r, strict=True)) for r in rows])
    pq.write_table(table, tmp_path / "log.parquet")
    config = make_config(amount="amount", order="order")
    with opened(config) as log:
        summary = summarise_log(log, CUTOFF, Window(30))
        two_days = summarise_log(log, date(2024, 2, 15), Window(2))
    assert summary.spread == pytest.approx(450.0 / 30.0**2)  # 15 and 45
    assert summary.marks == {"events": 6, "customers": 4, "ticks": 9_570_000, "age_days": 20 + 10 + 5 + 1 + 19 + 31}
    assert two_days.spread is None
