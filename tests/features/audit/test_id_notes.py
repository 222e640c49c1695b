"""Odd ids are named: placeholders, ids with many rows, order numbers, shared orders, scientific notation."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.config.load import Config, parse_config

AT = datetime(2024, 1, 5)


def business(folder: Path, ids: Sequence[str], orders: Sequence[str] | None = None, **sections: Any) -> Config:
    """A log with one row an id, a day apart; each row is an order of its own unless orders are given."""
    names = orders or [f"o{place}" for place in range(len(ids))]
    times = [AT + timedelta(days=place % 200) for place in range(len(ids))]
    pq.write_table(
        pa.table({"who": ids, "at": times, "order": names, "paid": [1.0] * len(ids)}), folder / "log.parquet"
    )
    events = {"source": "log.parquet", "customer": "who", "time": "at", "order": "order", "amount": "paid"}
    values = {"config_version": 1, "name": "t", "events": events, "task": {"horizon": "30d"}, **sections}
    return parse_config(values, folder / "regulars.toml")


def notes(config: Config) -> str:
    """What `check` notes."""
    return "\n".join(check_log(config)[0].notes)


REGULAR = [f"C-{place % 25}" for place in range(200)]


def test_an_ordinary_log_has_no_note_on_its_ids(tmp_path: Path) -> None:
    text = notes(business(tmp_path, REGULAR))
    assert not any(word in text for word in ("placeholder", "one id", "one order", "shared", "scientific"))


def test_placeholders_are_named_with_their_share_in_any_case(tmp_path: Path) -> None:
    config = business(tmp_path, [*REGULAR, *["NaN"] * 20, "NULL", "(None)", "Guest", "0", "-1", "N/A", "未知"])
    report, _ = check_log(config)
    (text,) = (note for note in report.notes if note.startswith("placeholders"))
    assert text.startswith("placeholders are read as customers: 'NaN' (8.8%), ") and "together 11.9%" in text
    assert {item["customer"] for item in report.ids["placeholders"]} == {
        "NaN", "NULL", "(None)", "Guest", "0", "-1", "N/A", "未知",
    }  # fmt: skip
    query = tomllib.loads("query" + text.partition("[events] query")[2])["query"]
    left = business(tmp_path, [*REGULAR, *["NaN"] * 20], events={**config.events.model_dump(exclude_defaults=True)})
    events = left.events.model_copy(update={"query": query})
    assert "placeholders" not in notes(left.model_copy(update={"events": events}))


def test_words_that_are_codes_too_are_placeholders_only_with_many_rows(tmp_path: Path) -> None:
    assert "placeholder" not in notes(business(tmp_path, [*REGULAR, *["cash"] * 9, "Test", "NA"]))
    text = notes(business(tmp_path, [*REGULAR, *["cash"] * 40, "Test", "NA"]))
    assert "placeholders are read as customers: 'cash' (16.5%), together 16.5%" in text


def test_ids_that_differ_only_in_case_are_noted(tmp_path: Path) -> None:
    text = notes(business(tmp_path, [*REGULAR, "c-3", "c-7"]))
    assert "2 customer ids differ from another one only in upper and lower case" in text
    assert "upper and lower case" not in notes(business(tmp_path, REGULAR))


def test_hashed_placeholders_are_named_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", "0123456789abcdef0123456789abcdef")
    text = notes(business(tmp_path, [*REGULAR, *["nan"] * 9, "GUEST"], privacy={"hash_ids": True}))
    assert "placeholders are read as customers: " in text and "'nan'" not in text and "GUEST" not in text


def test_an_id_with_many_rows_is_named(tmp_path: Path) -> None:
    text = notes(business(tmp_path, [*REGULAR, *["T-1"] * 40]))
    assert "one id holds much of the log: 'T-1' (16.7%). Is it a customer" in text


def test_customer_ids_that_are_order_numbers_are_recognised(tmp_path: Path) -> None:
    text = notes(
        business(tmp_path, [f"{1000 + place // 2}" for place in range(200)], [str(p // 2) for p in range(200)])
    )
    assert "100.0% of the 100 customer ids occur in one order only: are they numbers of orders" in text


def test_orders_of_several_customers_are_recognised(tmp_path: Path) -> None:
    text = notes(business(tmp_path, REGULAR, [f"o{place // 2}" for place in range(200)]))
    assert "100.0% of the order ids are shared by several customers (such as 'o0'," in text


def test_ids_in_scientific_notation_are_named(tmp_path: Path) -> None:
    text = notes(business(tmp_path, [*REGULAR, "1.23457E+12", "12E4", "1.001e3"]))
    assert "2 customer ids are numbers in scientific notation (such as '1.001e3')" in text


def test_a_table_that_matches_almost_nobody_is_noted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [f"K{p}" for p in range(40)], "plan": ["a"] * 40}), tmp_path / "people.parquet")
    pq.write_table(pa.table({"id": [f"V{p}" for p in range(40)], "at": [AT] * 40}), tmp_path / "visits.parquet")
    tables = {
        "customers": {"source": "people.parquet", "customer": "id", "attributes": ["plan"], "constant": ["plan"]},
        "activities": {"visits": {"source": "visits.parquet", "customer": "id", "time": "at"}},
    }
    text = notes(business(tmp_path, REGULAR, **tables))
    assert (
        "[customers] matches almost nobody: 0 of its 40 customers are in the events (it has 'K0', 'K1', 'K10'" in text
    )
    assert "[activities.visits] matches almost nobody: 0 of its 40 customers" in text and "such as 'C-0')" in text
