"""Contacts as trials: which count, what was known before, what came after; and every bad one by its own message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns import uplift_dataset
from features.config.load import Config
from features.errors import DataError, RefusedError, UsageError
from features.task import Window

ContactRow = tuple[str, str, str, float | None]  # customer, time, action, propensity
EVENTS = [
    *((who, "2024-01-10", 5.0) for who in ("one", "two", "three", "four", "gone", "late")),
    *((who, "2024-02-20", 5.0) for who in ("one", "two", "three", "four")),
    ("one", "2024-03-01", 10.0),  # on the day of the contact: after it
    ("one", "2024-03-30", 20.0),
    ("one", "2024-03-31", 40.0),  # 30 days later: beyond the horizon
    ("two", "2024-03-02", 80.0),  # after the round began, before the contact
    ("two", "2024-04-01", -3.0),
    ("early", "2024-04-10", 5.0),
    ("three", "2024-05-30", 5.0),
]
CONTACTS: list[ContactRow] = [
    ("one", "2024-03-01T15:00", "email", 0.5),
    ("two", "2024-03-03", "none", 0.5),
    ("three", "2024-03-02", "email", 0.5),
    ("three", "2024-03-04", "none", 0.5),
    ("four", "2024-03-02", "email", 0.5),
    ("four", "2024-03-02", "none", 0.5),
    ("gone", "2024-03-02", "none", 0.5),
    ("one", "2024-05-20", "none", 0.5),
]
Make = Callable[..., Config]


@pytest.fixture
def make(tmp_path: Path, make_config: Callable[..., Config]) -> Make:
    """A config whose contacts are given; keys of [contacts] and of [uplift] may be changed."""

    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    def make_one(
        contacts: Sequence[ContactRow] = CONTACTS, uplift: dict[str, Any] | None = None, **keys: Any
    ) -> Config:
        events = [{"customer": who, "time": at(day), "amount": amount} for who, day, amount in EVENTS]
        rows = [{"customer": w, "time": at(t), "action": a, "propensity": p} for w, t, a, p in contacts]
        pq.write_table(pa.Table.from_pylist(events), tmp_path / "log.parquet")
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "contacts.parquet")
        section = {"source": "contacts.parquet", "customer": "customer", "time": "time", "action": "action",
                   "propensity": "propensity", "control": "none", "max_unreadable": 0.5}  # fmt: skip
        task = {"horizon": "30d", "windows": ["30d"], "active_within": "50d"}
        sections = {"contacts": section | keys, "task": task, "uplift": uplift or {}}
        return make_config(sections, amount="amount", until="2024-06-01")

    return make_one


def test_features_are_from_before_a_contact_and_outcomes_from_after_it(make: Make) -> None:
    dataset = uplift_dataset.build_uplift_dataset(make())
    rows = {row["customer_id"]: row for row in dataset.rows.to_pylist()}
    assert sorted(rows) == ["one", "three", "two"]
    assert dataset.rounds == (date(2024, 3, 1),) and dataset.control == "none"
    assert [rows[who]["action"] for who in ("one", "two", "three")] == ["email", "none", "email"]
    assert [rows[who]["returned"] for who in ("one", "two", "three")] == [1, 0, 0]
    assert [rows[who]["value"] for who in ("one", "two", "three")] == [30, -3, 0]
    assert {row["orders_count_ever"] for row in rows.values()} == {2}
    assert {row["contacts_count_ever"] for row in rows.values()} == {0}
    assert dataset.left_out == {
        "of unknown customers": 0,
        "before the customer's first event": 0,
        "several actions at one moment": 2,
        "after the first of the round": 1,
        "immature": 1,
        "not active at the time": 1,
    }


def test_without_propensities_customers_without_contact_are_the_control(make: Make) -> None:
    contacts: list[ContactRow] = [("one", "2024-03-01", "email", None), ("x", "2024-03-01", "email", None)]
    dataset = uplift_dataset.build_uplift_dataset(make(contacts, {"observational": True}, propensity="", control=""))
    assert dataset.left_out["of unknown customers"] == 1
    rows = {row["customer_id"]: row for row in dataset.rows.to_pylist()}
    assert {who: row["action"] for who, row in rows.items()} == {
        "one": "email", "two": "none", "three": "none", "four": "none",
    }  # fmt: skip
    assert (rows["one"]["value"], rows["two"]["value"]) == (30, 80)


BAD: dict[str, tuple[list[ContactRow], dict[str, Any], str]] = {
    "unknown customers": (
        [("who", "2024-03-01", "email", 0.5), ("one", "2024-03-01", "none", 0.5)], {"max_unreadable": 0.05},
        r"1 of 2 contacts are of customers who are not in the events \(such as 'who'\)",
    ),
    "before the first event": (
        [("early", "2024-03-01", "email", 0.5), ("one", "2024-03-01", "none", 0.5)], {"max_unreadable": 0.05},
        r"1 of 2 contacts are of customers who had no event yet \(such as 'early'\)",
    ),
    "nobody known": ([("who", "2024-03-01", "email", 0.5)], {"max_unreadable": 1.0}, "no contact is of a customer"),
    "propensity": (
        [("one", "2024-03-01", "email", 1.5), ("two", "2024-03-01", "none", 0.5)], {},
        r"1 contacts have a propensity outside \(0, 1\)",
    ),
    "an empty arm": ([("one", "2024-03-01", "email", 0.5)], {}, "arm 'none' has no customers in .*found: 'email'"),
    "only the control": ([("one", "2024-03-01", "none", 0.5)], {}, "has only the control"),
    "no outcomes yet": (
        [("one", "2024-05-20", "email", 0.5), ("two", "2024-03-01", "none", 0.5)], {},
        "arm 'email' has no outcomes yet: its first contact was on 2024-05-20.*wait until 2024-06-19",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_contacts_have_one_message_each(make: Make, case: str) -> None:
    contacts, keys, why = BAD[case]
    with pytest.raises(DataError, match=why):
        uplift_dataset.build_uplift_dataset(make(contacts, **keys))


def test_an_action_that_the_config_lacks_is_named(make: Make) -> None:
    with pytest.raises(DataError, match=r"action 'email', which is not in \[uplift\] actions; did you mean 'emails'\?"):
        uplift_dataset.build_uplift_dataset(make(uplift={"actions": ["emails"]}))
    with pytest.raises(UsageError, match="names the control 'none'"):
        uplift_dataset.build_uplift_dataset(make(uplift={"actions": ["email", "none"]}))


def test_contacts_without_propensity_or_control_are_refused(make: Make, make_config: Callable[..., Config]) -> None:
    with pytest.raises(RefusedError, match=r"\[contacts\] propensity is not set.*assigned at random"):
        uplift_dataset.build_uplift_dataset(make(propensity=""))
    with pytest.raises(UsageError, match=r"\[contacts\] control is not set"):
        uplift_dataset.build_uplift_dataset(make(control=""))
    with pytest.raises(UsageError, match=r"there is no \[contacts\]"):
        uplift_dataset.build_uplift_dataset(make_config())


def test_rounds_begin_anew_after_their_length() -> None:
    days = [date(2024, 1, day) for day in (1, 7, 8, 14, 15, 31)]
    starts = uplift_dataset.round_starts(days, Window(7)).values()
    assert [start.day for start in starts] == [1, 1, 8, 8, 15, 31]
