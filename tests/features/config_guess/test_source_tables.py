"""The log may be a table of a database."""

from __future__ import annotations

import sqlite3
import tomllib
from pathlib import Path

import duckdb
import pytest

from features.config_guess import guess_config, write_guessed_config
from features.errors import DataError, UsageError


def _sqlite(folder: Path, *tables: str) -> str:
    with sqlite3.connect(folder / "shop.db") as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (kunde TEXT, datum TEXT, betrag REAL)")
            rows = [(f"k{n % 9}", f"2024-{n % 9 + 1:02d}-{n % 27 + 1:02d}", n / 4) for n in range(90)]
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
    connection.close()
    return "sqlite:///shop.db"


def test_the_only_table_of_a_database_is_read(tmp_path: Path) -> None:
    values = tomllib.loads(guess_config(_sqlite(tmp_path, "verkauf"), tmp_path).text)
    assert values["name"] == "verkauf"
    events = values["events"]
    assert (events["source"], events["table"]) == ("sqlite:///shop.db", "verkauf")
    assert (events["customer"], events["time"], events["amount"]) == ("kunde", "datum", "betrag")


def test_a_schema_of_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE SCHEMA sales")
        rows = "SELECT 'c' || (i % 7) AS customer_id, DATE '2024-01-01' + i::INT AS day FROM range(70) t(i)"
        connection.execute(f"CREATE TABLE sales.orders AS {rows}")
    values = tomllib.loads(guess_config("duckdb:///shop.duckdb", tmp_path).text)
    assert (values["name"], values["events"]["table"]) == ("orders", "sales.orders")


def test_several_tables_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    url = _sqlite(tmp_path, "people", "sales")
    with pytest.raises(UsageError, match="has 2 tables: 'people', 'sales'; choose the log with --table"):
        guess_config(url, tmp_path)
    with pytest.raises(UsageError, match="has no table 'sale'; did you mean 'sales'"):
        guess_config(url, tmp_path, "sale")
    assert tomllib.loads(guess_config(url, tmp_path, "sales").text)["events"]["table"] == "sales"


@pytest.mark.parametrize(
    ("source", "table", "words"),
    [
        ("postgresql://me:secret@db/shop", "", "must not contain a password"),
        ("mysql://db/shop", "", "not a supported database"),
        ("orders.csv", "t", "--table is only for the URL of a database"),
    ],
)
def test_what_cannot_be_read_is_refused_without_the_password(
    source: str, table: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        write_guessed_config(source, tmp_path / "regulars.toml", table)
    assert "secret" not in str(refused.value) and not list(tmp_path.iterdir())


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        write_guessed_config("sqlite:///none.db", tmp_path / "regulars.toml")
