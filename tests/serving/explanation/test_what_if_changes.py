"""The list of changes: what is tried, in which order, and that a change is one of rows."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from features.config.data_contract import ActivityColumns, DataContract
from features.task import Cohort, Task, Window
from serving.explanation.what_if_changes import UsualValues, hypothetical_changes
from serving.language.messages import get_language

CUTOFF = date(2024, 3, 1)
TASK = Task(Window(30), Cohort(Window(365)), Window(30), (Window(30), Window(90)))
CONTRACT = DataContract(
    has_discount=True, activities=(ActivityColumns("visits", "minutes"),), has_contacts=True, has_subscriptions=True
)
WORDS, NUMBER, DAY, TIME = pa.string(), pa.int64(), pa.date32(), pa.timestamp("us")
KEYS = {"customer_id": WORDS, "day": DAY, "seen": DAY}
SCHEMAS = {
    "events": {**KEYS, "order_id": WORDS, "time": TIME, "amount": NUMBER, "quantity": NUMBER, "discount": NUMBER},
    "activities.visits": {**KEYS, "time": TIME, "measure": NUMBER},
    "contacts": {
        **KEYS,
        "time": TIME,
        "action": WORDS,
        "held_out": pa.bool_(),
        "cost": NUMBER,
        "propensity": pa.float64(),
    },  # fmt: skip
    "subscriptions": {**KEYS, "term": NUMBER, "part": WORDS, "price": NUMBER, "cause": WORDS, "cancelled": pa.bool_()},
}


def row(days: int, **columns: Any) -> dict[str, Any]:
    """A row of so many days before the cutoff."""
    day = CUTOFF - timedelta(days)
    return {"customer_id": "c", "day": day, "seen": day, "time": datetime(day.year, day.month, day.day, 9), **columns}


def order(days: int, name: str, *amounts: int) -> list[dict[str, Any]]:
    """An order of some lines, in money."""
    return [row(days, order_id=name, amount=a * 10_000, quantity=10_000, discount=0) for a in amounts]


def past(**tables: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """The rows of a customer."""
    names = {name.replace(".", "_"): name for name in SCHEMAS}
    given = {names[name]: rows for name, rows in tables.items()}
    return {name: pa.Table.from_pylist(given.get(name, []), schema=pa.schema(s)) for name, s in SCHEMAS.items()}


FULL = past(
    events=[*order(200, "a", 10, 5), *order(60, "b", 30), *order(40, "c", 20), *order(35, "refund", -5)],
    activities_visits=[row(100, measure=50_000), row(3, measure=70_000)],
    contacts=[row(20, action="email", held_out=False, cost=10), row(2, action="none", held_out=True)],
    subscriptions=[row(90, term=0, part="start", price=100_000)],
)
USUAL = UsualValues((("email", 10),), {"activities.visits": (20_000, 70_000)})


def by_kind(rows: dict[str, pa.Table], contract: DataContract = CONTRACT) -> dict[str, list[Any]]:
    """The changes by their kind."""
    changes: dict[str, list[Any]] = {}
    for change in hypothetical_changes(rows, contract, TASK, CUTOFF, USUAL):
        changes.setdefault(change.kind, []).append(change)
    return changes


def test_steps_go_up_and_nothing_else_changes() -> None:
    changes = hypothetical_changes(FULL, CONTRACT, TASK, CUTOFF, USUAL)
    assert [change.step for change in changes] == sorted(change.step for change in changes)
    assert len({change.words for change in changes}) == len(changes)
    for change in changes:
        different = [name for name in FULL if not change.rows[name].equals(FULL[name])]
        assert len(different) == 1, change.words
        assert all(seen < CUTOFF for seen in change.rows[different[0]]["seen"].to_pylist())
        assert change.rows[different[0]].schema == FULL[different[0]].schema


def test_the_usual_order_is_the_one_of_median_amount() -> None:
    more = by_kind(FULL)["more orders"]
    assert more[0].words == "one more order like their usual one (20.00), 30 days before"
    assert more[-1].words == "3 more orders like their usual one (20.00), 30 and 14 and 7 days before"
    added = more[-1].rows["events"].to_pylist()[FULL["events"].num_rows :]
    assert [(r["amount"], (CUTOFF - r["day"]).days, r["time"].hour) for r in added] == [
        (200_000, 30, 9), (200_000, 14, 9), (200_000, 7, 9),
    ]  # fmt: skip
    assert len({r["order_id"] for r in more[-1].rows["events"].to_pylist()}) == 7


def test_the_last_order_moves_grows_and_gets_cheaper_with_all_its_lines() -> None:
    rows = past(events=[*order(60, "a", 10), *order(20, "b", 10, 4)])
    changes = by_kind(rows)
    assert [c.words for c in changes["last order later"]] == [
        f"their last order {days} before instead of 20 days" for days in ("14 days", "7 days", "1 day")
    ]
    assert [(CUTOFF - r["day"]).days for r in changes["last order later"][0].rows["events"].to_pylist()] == [60, 14, 14]
    larger, off = (changes[kind][0].rows["events"].to_pylist() for kind in ("larger order", "discount"))
    assert [r["amount"] for r in larger] == [100_000, 150_000, 60_000]
    assert [(r["amount"], r["discount"]) for r in off] == [(100_000, 0), (90_000, 10_000), (36_000, 4_000)]


def test_a_customer_who_ordered_yesterday_gets_no_later_order() -> None:
    changes = by_kind(past(events=order(1, "a", 10)))
    assert "last order later" not in changes
    assert [c.words for c in changes["more orders"]] == ["one more order like their usual one (10.00), 1 day before"]


def test_activities_are_added_taken_away_and_measured_otherwise() -> None:
    changes = by_kind(FULL)
    assert [c.rows["activities.visits"].num_rows for c in changes["more visits"]] == [3, 5]
    assert [c.rows["activities.visits"].num_rows for c in changes["fewer visits"]] == [
        1
    ]  # the last 90 days hold no more
    (measured,) = changes["minutes of visits"]
    assert measured.words == "minutes of the last of their visits 2.0 instead of 7.0"
    assert measured.rows["activities.visits"]["measure"].to_pylist() == [50_000, 20_000]


def test_contacts_are_given_and_taken_and_what_was_held_out_stays() -> None:
    changes = by_kind(FULL)
    (contact,) = changes["contact email"]
    assert contact.rows["contacts"].to_pylist()[-1] == {
        **row(7, action="email", held_out=False, cost=10, propensity=None),
        "time": datetime(2024, 2, 23, 12),
    }
    (without,) = changes["no contact"]
    assert without.rows["contacts"]["action"].to_pylist() == ["none"]


def test_a_running_term_gets_cheaper_or_is_renewed_and_one_that_ended_is_not() -> None:
    changes = by_kind(FULL)
    assert changes["cheaper term"][0].words == "the running term for 9.00 instead of 10.00 (10% less)"
    assert changes["cheaper term"][2].rows["subscriptions"]["price"].to_pylist() == [70_000]
    renewed = changes["renewal"][0].rows["subscriptions"].select(["term", "part", "price"]).to_pylist()
    assert [tuple(r.values()) for r in renewed] == [(0, "start", 100_000), (0, "end", None), (1, "start", 100_000)]
    ended = [row(90, term=0, part="start", price=100_000), row(10, term=0, part="end", cancelled=True)]
    assert set(by_kind(past(subscriptions=ended))) == {"contact email"}


@pytest.mark.parametrize(
    ("contract", "kinds"), [(DataContract(only_subscriptions=True), set()), (DataContract(), {"more orders"})]
)
def test_starts_of_terms_are_no_orders(contract: DataContract, kinds: set[str]) -> None:
    rows = {"events": past(events=order(1, "a", 10))["events"]}
    assert set(by_kind(rows, contract)) - {"larger order"} == kinds


def test_changes_are_said_in_another_language_with_the_same_numbers() -> None:
    english = hypothetical_changes(FULL, CONTRACT, TASK, CUTOFF, USUAL)
    chinese = hypothetical_changes(FULL, CONTRACT, TASK, CUTOFF, USUAL, get_language("zh"))
    assert [change.kind for change in chinese] == [change.kind for change in english]
    for before, after in zip(english, chinese, strict=True):
        left = set(re.findall(r"[A-Za-z]+", after.words)) - {"email", "visits", "minutes"}
        assert re.search(r"[\u4e00-\u9fff]", after.words) and not left, after.words
        changes = [set(re.findall(r"[\d.,]*\d", text)) for text in (before.words, after.words)]
        assert changes[0] <= changes[1], (before.words, after.words)
