"""Tables of contracts become [subscriptions]."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import EngineConfig, parse_config
from features.config_guess import guess_config
from features.engines.open import open_engine
from features.intake.read_log import read_tables

START = date(2022, 1, 3)


def _terms(rows: int = 200) -> dict[str, list[Any]]:
    starts = [START + timedelta(n * 3 % 400) for n in range(rows)]
    return {
        "account_id": [f"a{n % 160}" for n in range(rows)],
        "start": starts,
        "end": [None if n % 3 == 0 else starts[n] + timedelta(40 + n % 90) for n in range(rows)],
        "mrr": [20.0 + n % 5 * 10 for n in range(rows)],
        "plan": [("basic", "pro")[n % 2] for n in range(rows)],
    }


def _guess(columns: dict[str, list[Any]], folder: Path) -> tuple[str, dict[str, Any]]:
    pq.write_table(pa.table(columns), folder / "terms.parquet")
    guess = guess_config("terms.parquet", folder)
    assert guess.notes == () and guess.complete
    values = tomllib.loads(guess.text)
    if "subscriptions" in values:
        config = parse_config(values, folder / "regulars.toml")
        with open_engine(EngineConfig(), folder) as engine:
            assert read_tables(config, engine).rows == len(next(iter(columns.values())))
    return guess.text, values


def test_a_start_an_end_and_a_recurring_price_are_contracts(tmp_path: Path) -> None:
    text, values = _guess(_terms(), tmp_path)
    assert "events" not in values
    assert values["subscriptions"] == {
        "source": "terms.parquet",
        "customer": "account_id",
        "start": "start",
        "end": "end",
        "price": "mrr",
        "price_every": "30d",
        "until": "2023-05-01",
    }
    assert (values["task"]["churn"], values["task"]["horizon"]) == ("cancelled", "28d")
    assert "timezone" not in text


def test_reasons_by_choice_are_cancellations(tmp_path: Path) -> None:
    columns = _terms()
    columns["end_cause"] = [
        None if end is None else ("surrender", "death")[n % 2] for n, end in enumerate(columns["end"])
    ]
    columns["policy_id"] = [f"p{n}" for n in range(200)]
    del columns["account_id"], columns["mrr"]
    text, values = _guess(columns, tmp_path)
    terms = values["subscriptions"]
    assert (terms["customer"], terms["reason"], terms["cancelled"]) == ("policy_id", "end_cause", ["surrender"])
    assert 'other ends do not: "death"' in text and "each contract then counts as a customer" in text
    columns["end_cause"] = [None if end is None else ("x", "y")[n % 2] for n, end in enumerate(columns["end"])]
    text, values = _guess(columns, tmp_path)
    assert "reason" not in values["subscriptions"] and '# cancelled = ["x", "y"]' in text


def test_other_languages_and_ends_that_are_plans(tmp_path: Path) -> None:
    terms = _terms()
    columns = {
        "客户编号": terms["account_id"],
        "开始日期": terms["start"],
        "到期日期": [start + timedelta(365) for start in terms["start"]],
        "月费": terms["mrr"],
    }
    text, values = _guess(columns, tmp_path)
    found = values["subscriptions"]
    assert (found["customer"], found["start"], found["end"]) == ("客户编号", "开始日期", "到期日期")
    assert (found["price"], found["price_every"]) == ("月费", "30d")
    assert "until" not in found and '# until = "2023-02-07"' in text


@pytest.mark.parametrize(
    "change",
    [
        {"end": [START - timedelta(30)] * 200},  # before the start
        {"end": [START + timedelta(n * 3 % 400) for n in range(200)]},  # calls that end on the same day
        {"order_id": [f"o{n}" for n in range(200)], "end": [START + timedelta(500)] * 200},  # orders with a delivery
    ],
)
def test_other_pairs_of_days_are_no_contracts(change: dict[str, list[Any]], tmp_path: Path) -> None:
    columns = _terms() | change
    pq.write_table(pa.table(columns), tmp_path / "terms.parquet")
    assert "subscriptions" not in tomllib.loads(guess_config("terms.parquet", tmp_path).text)
