"""Contacts that were not randomised: one trial a day, in which both groups' clocks start together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.campaigns import sequential_trials as room
from features.campaigns.sequential_trials import SequentialTrials, sequential_trials
from features.campaigns.uplift_dataset import build_uplift_dataset
from features.config.load import Config
from features.errors import RefusedError
from features.task import Window

LATEST = date(2024, 4, 30)
CONTACTS = [
    ("ann", "2024-03-01T09:00", "email"),
    ("ann", "2024-03-01T15:00", "call"),  # the first of the day counts
    ("ann", "2024-03-05T09:00", "email"),  # within 7 days
    ("ann", "2024-03-12T09:00", "email"),  # 7 days after the one before
    ("ann", "2024-03-20T09:00", "email"),
    ("bob", "2024-03-05T09:00", "email"),
    ("bob", "2024-03-20T09:00", "none"),  # no contact
    ("cat", "2024-03-05T09:00", "email"),
    ("cat", "2024-03-05T09:00", "call"),  # both at once
    ("dan", "2024-05-02T09:00", "email"),  # no outcome yet
]


def trials(contacts: Sequence[tuple[str, str, str]] = CONTACTS) -> SequentialTrials:
    rows = [
        {"customer_id": who, "day": date.fromisoformat(time[:10]), "time": pd.Timestamp(time), "action": action}
        for who, time, action in contacts
    ]
    return sequential_trials(pd.DataFrame(rows), "none", Window(7), LATEST)


def test_the_first_contact_of_a_day_counts_unless_another_came_shortly_before() -> None:
    made = trials()
    treated = made.contacts[["customer_id", "round", "action"]].to_numpy().tolist()
    assert sorted(treated) == [
        ["ann", "2024-03-01", "email"],
        ["ann", "2024-03-20", "email"],
        ["bob", "2024-03-05", "email"],
        ["dan", "2024-05-02", "email"],
    ]
    assert made.left_out == {
        "several actions at one moment": 1,
        "after the first of the day": 2,
        "within 7d after another": 1,
        "on other days than the 52 with most contacts": 1,  # 12 March has nobody else
    }


def test_whoever_rests_or_got_two_actions_is_in_no_group() -> None:
    excluded = trials().excluded
    pairs = sorted((who, str(cutoff.date())) for who, cutoff in excluded.itertuples(index=False))
    assert ("cat", "2024-03-05") in pairs and ("ann", "2024-03-05") in pairs
    assert [pair for pair in pairs if pair[1] == "2024-03-20"] == []  # eight days after the last contact


def test_of_many_days_those_with_most_contacts_are_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_TRIALS", 1)
    made = trials([("a", "2024-01-01", "x"), ("b", "2024-02-01", "x"), ("c", "2024-02-01", "x")])
    assert made.contacts["round"].unique().tolist() == ["2024-02-01"]
    assert made.left_out["on other days than the 1 with most contacts"] == 1


def test_the_control_alone_makes_no_trial() -> None:
    assert trials([("a", "2024-01-01", "none")]).contacts.empty


Make = Callable[[Sequence[tuple[str, str]], Sequence[tuple[str, str]]], Config]


@pytest.fixture
def make(tmp_path: Path, make_config: Callable[..., Config]) -> Make:
    """From purchases and e-mails (customer, time) to a config that accepts them."""

    def make_one(purchases: Sequence[tuple[str, str]], emails: Sequence[tuple[str, str]]) -> Config:
        def rows(pairs: Sequence[tuple[str, str]], **more: Any) -> pa.Table:
            times = [datetime.fromisoformat(time).replace(tzinfo=UTC) for _, time in pairs]
            return pa.Table.from_pylist(
                [{"customer": who, "time": time, **more} for (who, _), time in zip(pairs, times, strict=True)]
            )

        pq.write_table(rows(purchases, amount=5.0), tmp_path / "log.parquet")
        pq.write_table(rows(emails, action="email"), tmp_path / "contacts.parquet")
        contacts = {"source": "contacts.parquet", "customer": "customer", "time": "time", "action": "action"}
        task = {"horizon": "30d", "windows": ["30d"], "active_within": "60d"}
        sections = {"contacts": contacts, "task": task, "uplift": {"observational": True}}
        return make_config(sections, amount="amount", until="2024-06-01")

    return make_one


def test_both_clocks_start_on_the_day_of_the_contact(make: Make) -> None:
    """Who bought before the second e-mail's day is a control of that day with what came after it."""
    everybody = [(who, "2024-02-20T10:00") for who in ("one", "two", "three")]
    later = [("two", "2024-03-02T10:00"), ("two", "2024-04-02T10:00"), ("three", "2024-03-04T10:00")]
    dataset = build_uplift_dataset(
        make([*everybody, *later], [("one", "2024-03-01T12:00"), ("three", "2024-03-05T12:00")])
    )
    rows = {(row["customer_id"], row["round"]): row for row in dataset.rows.to_pylist()}
    assert {key: (row["action"], row["returned"]) for key, row in rows.items()} == {
        ("one", "2024-03-01"): ("email", 0),
        ("two", "2024-03-01"): ("none", 1),
        ("three", "2024-03-01"): ("none", 1),  # contacted later: still its control
        ("two", "2024-03-05"): ("none", 1),
        ("three", "2024-03-05"): ("email", 0),  # the purchase of the day before is history
    }
    assert [rows[who, "2024-03-05"]["recency_days"] for who in ("two", "three")] == [3, 1]


def test_contacts_that_follow_events_of_the_same_day_are_refused(make: Make) -> None:
    buyers, others = [f"b{n}" for n in range(8)], [f"o{n}" for n in range(12)]
    history = [(who, "2024-02-20T10:00") for who in (*buyers, *others)]
    receipts = [(who, f"2024-03-0{1 + n}T10:00") for n, who in enumerate(buyers)]
    thanks = [(who, f"2024-03-0{1 + n}T10:01") for n, who in enumerate(buyers)]
    why = r"8 of 8 contacts \(100%\) came after an event of the same day.* on [2-4].\d% of the days.*hold some"
    with pytest.raises(RefusedError, match=why):
        build_uplift_dataset(make([*history, *receipts], thanks))
    earlier = [(who, str(datetime.fromisoformat(time) - timedelta(hours=2))) for who, time in thanks]
    assert build_uplift_dataset(make([*history, *receipts], earlier)).rows.num_rows > 100
