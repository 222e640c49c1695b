"""How fast a table of PostgreSQL, DuckDB and SQLite is read into the engine, compared with Ibis for PostgreSQL.

The script starts its own PostgreSQL. The row of Ibis needs psycopg (`pip install 'psycopg[binary]'`).

    python benchmarks/databases.py [ROWS]
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa

from features.config.load import EngineConfig
from features.engines.duckdb import DuckDBEngine
from features.engines.open import open_engine
from features.sources.source import Source
from tests.postgres import Postgres, find_programs, serve

COLUMNS = ("customer", "time", "amount", "order", "kind")
MAKE = """
CREATE TABLE orders AS SELECT 'C' || i % 50000 AS customer,
    timestamp '2023-01-01' + i * interval '30 seconds' AS "time",
    CAST(i % 10007 / 7.0 AS {money}) AS amount, i AS "order", 'kind' || i % 37 AS kind, repeat('x', 80) AS note
FROM generate_series(1, {rows}) AS s (i)
"""


def fill_databases(server: Postgres, folder: Path, rows: int) -> None:
    """Creates the same table in all three databases."""
    server.execute(MAKE.format(rows=rows, money="numeric(12, 2)"))
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.execute(MAKE.format(rows=rows, money="decimal(12, 2)"))
        values = connection.execute("SELECT * REPLACE (time::VARCHAR AS time, amount::DOUBLE AS amount) FROM orders")
        target = sqlite3.connect(folder / "shop.db")
        target.execute('CREATE TABLE orders (customer TEXT, time TEXT, amount NUMERIC, "order", kind TEXT, note TEXT)')
        while chunk := values.fetchmany(100_000):
            target.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", chunk)
        target.commit()
        target.close()


def read_with_ibis(server: Postgres, engine: DuckDBEngine) -> None:
    """Reads from PostgreSQL as Ibis does it, in batches."""
    words = {"host": "127.0.0.1", "port": server.port, "user": server.user, "password": server.password}
    table = ibis.postgres.connect(**words, database="postgres").table("orders")[list(COLUMNS)]
    for batch in table.to_pyarrow_batches(chunk_size=100_000):
        engine.store_arrow("ibis", pa.Table.from_batches([batch]))


def main(rows: int) -> None:
    """Prints a Markdown table with the best time of three runs."""
    named = {name: name for name in COLUMNS}
    with tempfile.TemporaryDirectory() as name, serve(find_programs() or Path()) as server:
        folder = Path(name)
        fill_databases(server, folder, rows)
        os.environ["PGPASSWORD"] = server.password
        urls = {"PostgreSQL": server.url, "DuckDB": "duckdb:///shop.duckdb", "SQLite": "sqlite:///shop.db"}
        with open_engine(EngineConfig(), folder) as engine:

            def ours(url: str) -> Callable[[], object]:
                return lambda: engine.read_source(Source("events", url, table="orders"), folder, named)

            ways: dict[str, Callable[[], object]] = {f"{kind}, ours": ours(url) for kind, url in urls.items()}
            if find_spec("psycopg"):
                ways["PostgreSQL, Ibis to_pyarrow_batches"] = lambda: read_with_ibis(server, engine)
            print(f"{rows:,} rows, {len(COLUMNS)} of 6 columns\n\n| from | seconds | rows/s |\n|---|---:|---:|")
            for way, run in ways.items():
                best = min(_seconds(run) for _ in range(3))
                print(f"| {way} | {best:.2f} | {rows / best:,.0f} |")


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
