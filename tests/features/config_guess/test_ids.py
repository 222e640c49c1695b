"""Which columns hold ids of customers and of orders, in exports of shops whose names do not say so."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.config_guess import guess_config

START = datetime(2024, 1, 1, 9, 30)  # noqa: DTZ001 (as shops write it)
ROWS = range(240)


def guessed_text(columns: dict[str, list[Any]], folder: Path) -> str:
    pq.write_table(pa.table(columns), folder / "log.parquet")
    return guess_config("log.parquet", folder).text


def payments(currency: list[str | None]) -> dict[str, list[Any]]:
    """A payment provider's export: an address, and a clock that comes back as customers do."""
    return {
        "Date": [(START + timedelta(days=n)).strftime("%m/%d/%Y") for n in ROWS],
        "Time": [f"{n % 24:02d}:{n % 60:02d}:10" for n in ROWS],
        "From Email Address": [f"customer{n % 40}@example.com" for n in ROWS],
        "Gross": [10.5 + n for n in ROWS],
        "Currency": currency,
    }


def test_an_address_is_the_customer_where_there_is_no_other_id(tmp_path: Path) -> None:
    text = guessed_text(payments(["USD"] * len(ROWS)), tmp_path)
    events = tomllib.loads(text)["events"]
    assert (events["customer"], events["time"]) == ("From Email Address", "Date")
    assert "hash_ids" in text and events["currency"] == "Currency"
    assert "From Email Address" not in events.get("personal", [])


def test_an_id_comes_before_an_address(tmp_path: Path) -> None:
    columns = payments(["USD"] * len(ROWS)) | {"Customer ID": [f"cus_{n % 40}" for n in ROWS]}
    events = tomllib.loads(guessed_text(columns, tmp_path))["events"]
    assert (events["customer"], events["personal"]) == ("Customer ID", ["From Email Address"])


def test_a_clock_is_no_customer(tmp_path: Path) -> None:
    columns = payments(["USD"] * len(ROWS))
    del columns["From Email Address"]
    assert tomllib.loads(guessed_text(columns, tmp_path))["events"]["customer"] != "Time"


def test_a_currency_that_most_lines_lack_is_not_named(tmp_path: Path) -> None:
    """Shops write it in the first line of an order only."""
    currency = ["USD" if n % 2 else None for n in ROWS]
    assert "currency" not in tomllib.loads(guessed_text(payments(currency), tmp_path))["events"]
