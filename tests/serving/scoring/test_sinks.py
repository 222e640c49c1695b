"""Scores as CSV and in PostgreSQL: no cell runs as a formula, one transaction for a cutoff, no secret in a message."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import DataError, UsageError
from features.outputs.manifests import ScoreManifest
from serving.scoring import sinks
from serving.scoring.columns import SCORE_SCHEMA
from serving.scoring.score_tables import Scores, write_score_parts
from tests.postgres import CANARY, Postgres

CUTOFF = date(2024, 3, 1)
NASTY = ["=cmd|' /C calc'!A0", "+1+1", "-2+A1", "@SUM(A1)", "\t=1", "\r=1", "-7", 'C-8, "x"', "Ünï 客户"]


def scores(folder: Path, run: str = "one", cutoff: date = CUTOFF, ids: list[str] = NASTY) -> Scores:
    """Invented scores in two parts: a negative value, reasons that begin like a formula, and no interval."""
    n = len(ids)
    reason = {"feature": "x", "phrase": "p", "reading": "=A1", "contribution": -0.031}
    columns = {
        "customer_id": ids,
        "cutoff": [datetime(cutoff.year, cutoff.month, cutoff.day)] * n,
        "churn_probability": [0.25] * n,
        "value": [-1.5] * n,
        "lifecycle": ["active"] * n,
        "tier": ["low"] * n,
        "segment": ["maintain"] * n,
        "churn_reasons": [[reason, {**reason, "reading": "two", "contribution": 0.5}]] * n,
        "value_reasons": [[]] * n,
        "churn_model": ["shop-churn/1"] * n,
    }
    table = pa.table({f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in SCORE_SCHEMA}, schema=SCORE_SCHEMA)
    folder.mkdir(parents=True, exist_ok=True)
    parts = write_score_parts(table, folder, max(n - 4, 1))
    facts = {
        "format": 1,
        "name": "shop",
        "cutoff": str(cutoff),
        "code": "abc",
        "run": run,
        "customers": n,
        "parts": parts,
    }
    return Scores(folder, cutoff, ScoreManifest.model_validate(facts))


def test_a_spreadsheet_runs_no_cell_and_numbers_stay_numbers(tmp_path: Path) -> None:
    assert sinks.write_scores_csv(scores(tmp_path / "scores"), tmp_path / "csv")
    with (tmp_path / "csv" / "scores.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == SCORE_SCHEMA.names and len(rows) == len(NASTY)
    assert [row["customer_id"] for row in rows] == ["'" + text for text in NASTY[:6]] + NASTY[6:]
    assert {(row["value"], row["churn_probability"], row["cutoff"]) for row in rows} == {("-1.5", "0.25", "2024-03-01")}
    assert rows[0]["churn_reasons"] == "'=A1 (-3.1 points); two (+50.0 points)" and rows[0]["value_low"] == ""
    assert pd.read_csv(tmp_path / "csv" / "scores.csv")["value"].dtype == float


@pytest.mark.parametrize("name", ["tier", "segment", "churn_probability"])
def test_scores_with_gaps_where_every_customer_has_a_value_are_refused(tmp_path: Path, name: str) -> None:
    before = scores(tmp_path / "scores")
    rows = before.table()
    at = rows.column_names.index(name)
    rows = rows.set_column(at, rows.schema.field(at), pa.nulls(rows.num_rows, rows.schema.field(at).type))
    parts = write_score_parts(rows, before.folder, 100)
    forged = replace(before, manifest=before.manifest.model_copy(update={"parts": parts}))
    for read in (forged.table, lambda: forged.read_columns([name])):
        with pytest.raises(DataError, match=f"some rows have no {name}; "):
            read()


def test_csv_is_written_once_a_run_and_again_where_it_was_changed(tmp_path: Path) -> None:
    first_run, folder = scores(tmp_path / "scores"), tmp_path / "csv"
    assert [sinks.write_scores_csv(first_run, folder) for _ in range(2)] == [True, False]
    (folder / "scores.csv").write_text("mine")
    assert sinks.write_scores_csv(first_run, folder)
    assert sinks.write_scores_csv(
        replace(first_run, manifest=first_run.manifest.model_copy(update={"run": "two"})), folder
    )
    assert json.loads((folder / "_manifest.json").read_text())["run"] == "two"


@pytest.fixture
def target(
    postgres: Postgres, make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> tuple[Config, str]:
    """A config whose scores go to an empty database, and the database's name."""
    database = postgres.new()
    monkeypatch.setenv("SCORES_PASSWORD", CANARY)
    serving = {"database": postgres.url_of(database), "table": "sales.scores", "password_env": "SCORES_PASSWORD"}
    postgres.execute("CREATE SCHEMA sales", database=database)
    return make_config({"serving": serving}), database


def test_a_cutoff_is_replaced_in_one_transaction(
    postgres: Postgres, target: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, database = target
    query = "SELECT cutoff::date::text, run, count(*) FROM sales.scores GROUP BY 1, 2 ORDER BY 1, 2"
    first, other = scores(tmp_path / "a"), scores(tmp_path / "b", "other", date(2024, 4, 1), ["x", "y"])
    assert sinks.deliver_scores(config, first) == [f"written: table sales.scores of {config.serving.database}"]
    assert sinks.write_scores_table(config, other) and not sinks.write_scores_table(config, first)
    assert postgres.rows(query, database) == [("2024-03-01", "one", 9), ("2024-04-01", "other", 2)]
    row = postgres.rows("SELECT churn_reasons->0->>'reading', value, value_low FROM sales.scores LIMIT 1", database)
    assert row == [("=A1", -1.5, None)]
    ids = postgres.rows("SELECT customer_id FROM sales.scores WHERE run = 'one'", database)
    assert sorted(name for (name,) in ids) == sorted(NASTY)

    again = scores(tmp_path / "c", "two", ids=["x", "y", "z", "w", "v"])
    (again.folder / "part-00001.parquet").write_bytes(b"not a part")
    with pytest.raises(DataError, match="is not the file that was written"):
        sinks.write_scores_table(config, again)
    assert postgres.rows(query, database)[0] == ("2024-03-01", "one", 9)
    assert sinks.write_scores_table(config, scores(tmp_path / "c", "two", ids=["x"]))
    assert postgres.rows(query, database) == [("2024-03-01", "two", 1), ("2024-04-01", "other", 2)]


def test_what_the_database_refuses_is_one_message_without_a_password_or_a_row(
    postgres: Postgres, target: tuple[Config, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, database = target
    first_run = scores(tmp_path / "a", ids=["secret-customer"])
    sinks.write_scores_table(config, first_run)
    changed = replace(first_run, manifest=first_run.manifest.model_copy(update={"run": "two"}))
    postgres.execute("ALTER TABLE sales.scores DROP COLUMN tier", database=database)
    with pytest.raises(
        UsageError, match=r'no column tier; run ALTER TABLE "sales"."scores" ADD COLUMN "tier" text; or'
    ):
        sinks.write_scores_table(config, changed)
    postgres.execute(
        "ALTER TABLE sales.scores ADD COLUMN tier text, ADD CHECK (tier <> 'low') NOT VALID", database=database
    )
    with pytest.raises(DataError, match="violates check constraint") as refused:
        sinks.write_scores_table(config, changed)
    assert "secret-customer" not in str(refused.value) and "the same command again" in str(refused.value)
    assert postgres.rows("SELECT run FROM sales.scores", database) == [("one",)]
    monkeypatch.setenv("SCORES_PASSWORD", "wrong-canary")
    with pytest.raises(DataError, match="password authentication failed") as refused:
        sinks.write_scores_table(config, changed)
    assert "wrong-canary" not in str(refused.value) and CANARY not in str(refused.value)


def test_a_customers_rows_go_from_all_cutoffs_and_nobody_elses(target: tuple[Config, str], tmp_path: Path) -> None:
    config, _ = target
    assert sinks.delete_customer_rows(config, {"x"}, really=True) == 0  # there is no table yet
    for day in (1, 2):
        sinks.write_scores_table(
            config, scores(tmp_path / str(day), "r", date(2024, 3, day), ["O'Neil", "O", "x", "y", "z"])
        )
    counts = [sinks.delete_customer_rows(config, {"O'Neil", "hash"}, really) for really in (False, False, True, True)]
    assert counts == [2, 2, 2, 0]
    assert [sinks.delete_customer_rows(config, {who}, really=False) for who in ("O", "x")] == [2, 2]


@pytest.mark.parametrize(
    ("serving", "why"),
    [
        ({"database": "sqlite:///shop.db"}, "database is not PostgreSQL"),
        ({"database": "postgresql://me:canary@db/shop"}, "database must not contain a password"),
        ({"database": "postgresql://me@db/shop", "table": ""}, "table must not be empty"),
        ({"password_env": "X"}, "database, which is not set"),
    ],
)
def test_a_wrong_sink_is_told_by_its_key(make_config: Callable[..., Config], serving: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        make_config({"serving": serving})
    assert "canary" not in str(refused.value)
