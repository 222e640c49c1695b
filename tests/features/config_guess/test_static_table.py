"""Tables with one row a customer are no logs, and init says what they are and what to do."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config_guess import GuessedConfig, guess_config

ROWS = range(60)
TELCO: dict[str, list[Any]] = {
    "customerID": [f"{n:04d}-ABCDE" for n in ROWS],
    "gender": [("Female", "Male")[n % 2] for n in ROWS],
    "tenure": [n % 40 for n in ROWS],
    "Contract": [("Month-to-month", "Two year")[n % 2] for n in ROWS],
    "TotalCharges": [" " if n == 5 else f"{20 + n * 7 / 4:.2f}" for n in ROWS],
    "Churn": [("No", "No", "Yes")[n % 3] for n in ROWS],
}


def _guess(columns: dict[str, list[Any]], folder: Path) -> GuessedConfig:
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return guess_config("table.parquet", folder)


def test_a_snapshot_with_a_label_is_named_as_such_with_what_to_do(tmp_path: Path) -> None:
    guess = _guess(TELCO, tmp_path)
    assert not guess.complete
    (note,) = guess.notes
    assert "this is a snapshot, not a log: 60 rows, and no value of 'customerID' occurs twice" in note
    assert "'Churn' looks like a label" in note and "get the rows behind this table" in note
    values = tomllib.loads(guess.text)
    assert values["events"] == {"source": "", "customer": "", "time": ""}
    assert values["customers"] == {
        "source": "table.parquet",
        "customer": "customerID",
        "attributes": ["tenure", "Contract", "TotalCharges"],
        "constant": [],
        "personal": ["gender"],
    }
    assert "0005-ABCDE" not in guess.text and "Month" not in guess.text.replace("month", "")


@pytest.mark.parametrize(
    ("label", "values"),
    [("Exited", [0, 1]), ("是否流失", ["是", "否"]), ("Attrition_Flag", [True, False]), ("gekuendigt", ["ja", "nein"])],
)
def test_labels_of_other_names(label: str, values: list[Any], tmp_path: Path) -> None:
    columns = {
        "user_id": list(ROWS),
        "last_login": [date(2024, 1, 1) + timedelta(n) for n in ROWS],
        "plan": ["a", "b"] * 30,
    }
    guess = _guess({**columns, label: [values[n % 2] for n in ROWS]}, tmp_path)
    assert f"{label!r} looks like a label" in guess.notes[0]


def test_a_table_of_customers_without_a_label(tmp_path: Path) -> None:
    columns = {"customer_id": list(ROWS), "signup_date": [date(2024, 1, 1)] * 60, "country": ["a", "b"] * 30}
    assert "this is a snapshot, not a log" in _guess(columns, tmp_path).notes[0]
    without_ids = {"recency": [n % 12 for n in ROWS], "segment": ["a", "b", "c"] * 20, "spend": [n / 4 for n in ROWS]}
    assert "no column of customers or times" in _guess(without_ids, tmp_path).notes[0]


def test_a_log_of_customers_who_bought_once_is_a_log(tmp_path: Path) -> None:
    columns = {"customer_id": list(ROWS), "order_date": [date(2024, 1, 1) + timedelta(n) for n in ROWS]}
    guess = _guess({**columns, "amount": [n / 4 for n in ROWS]}, tmp_path)
    assert guess.complete and tomllib.loads(guess.text)["events"]["customer"] == "customer_id"


def test_a_log_with_a_column_named_like_a_label_is_a_log(tmp_path: Path) -> None:
    columns = {
        "customer": [f"c{n % 6}" for n in ROWS],
        "time": [date(2024, 1, 1) + timedelta(n) for n in ROWS],
        "churn": [n % 2 for n in ROWS],
    }
    assert _guess(columns, tmp_path).complete
