"""The shop's log in three databases, and `regulars build` on any of them."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import regulars
from features.config.load import Config
from tests.database_sources import CONFIG, Run, assert_secret_is_nowhere
from tests.postgres import Postgres

MANY = 400_000  # rows of a table that no buffer between server and reader holds


@pytest.fixture(scope="session")
def server(postgres: Postgres, shop: Config) -> Postgres:
    """The server with the shop's log as `orders`, in the types that shops use, and a long table `many`."""
    postgres.load("log", pq.read_table(shop.folder / "log.parquet"))
    postgres.execute(
        "CREATE SCHEMA sales",
        "CREATE TYPE channel AS ENUM ('web', 'shop', 'app')",
        'CREATE TABLE orders AS SELECT customer::varchar(40), "time", amount::numeric(12, 2), "order", '
        "channel::channel, repeat('x', 50) AS note FROM log ORDER BY md5(\"order\")",
        "CREATE TABLE sales.lines AS SELECT * FROM orders",
        f"CREATE TABLE many AS SELECT 'C' || i % 999 AS customer, timestamp '2023-01-01' + i * interval '1 minute' "
        f'AS "time", i::numeric(12, 2) AS amount FROM generate_series(1, {MANY}) AS i',
    )
    return postgres


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    """The password, where libpq looks for it."""
    monkeypatch.setenv("PGPASSWORD", postgres.password)


@pytest.fixture
def to_duckdb(tmp_path: Path, shop: Config) -> str:
    """A DuckDB file with the shop's log."""
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TYPE channel AS ENUM ('web', 'shop', 'app')")
        connection.execute(
            "CREATE TABLE orders AS SELECT * REPLACE (CAST(amount AS DECIMAL(12, 2)) AS amount, "
            f"CAST(channel AS channel) AS channel) FROM '{shop.folder}/log.parquet' ORDER BY hash(\"order\")"
        )
    return "duckdb:///shop.duckdb"


@pytest.fixture
def to_sqlite(tmp_path: Path, shop: Config) -> str:
    """A SQLite file with the shop's log: text times, amounts that are whole numbers or not."""
    rows = pq.read_table(shop.folder / "log.parquet").to_pylist()
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute('CREATE TABLE orders (customer, time DATETIME, amount NUMERIC, "order" TEXT, channel TEXT)')
        values = [(r["customer"], str(r["time"]), r["amount"], r["order"], r["channel"]) for r in rows]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", values)
        connection.commit()
    return "sqlite:///shop.db"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Run:
    """Runs `regulars build` on a source; the password must be nowhere afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    caplog.set_level(logging.DEBUG)

    def call(source: str, more: str, secret: str = "", cutoff: str = "2023-06-01") -> Result:
        (tmp_path / "regulars.toml").write_text(CONFIG.format(source=source, more=more), encoding="utf-8")
        result = CliRunner().invoke(regulars.cli, ["build", "--cutoff", cutoff, "--out", "out.parquet"])
        if secret:
            assert_secret_is_nowhere(secret, result, caplog.text, tmp_path)
        return result

    return call
