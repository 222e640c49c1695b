"""The same log from files and databases gives identical features; files that are no databases are refused."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from features.audit import audit
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, RegularsError, UsageError
from features.intake import read_log
from features.snapshots import build, leakage
from features.sources import databases
from tests.database_sources import CUTOFFS, TASK, Make, Run, database_source, read_rows, refused_message
from tests.postgres import Postgres

KEYS = {"amount": "amount", "order": "order", "kinds": ["channel"]}


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("kind", ["postgresql", "schema", "duckdb", "sqlite", "query"])
def test_a_database_gives_the_same_bits_as_a_file(
    kind: str, server: Postgres, shop: Config, to_duckdb: str, to_sqlite: str, make_config: Make
) -> None:
    keys = {
        "postgresql": {"source": server.url, "table": "orders"},
        "schema": {"source": server.url, "table": "sales.lines"},
        "duckdb": {"source": to_duckdb, "table": "orders"},
        "sqlite": {"source": to_sqlite, "table": "orders"},
        "query": {"source": server.url, "table": "orders", "query": "WITH a AS (TABLE source) SELECT * FROM a; "},
    }[kind]
    expected = build.build_snapshots(make_config(TASK, source=str(shop.folder / "log.parquet"), **KEYS), CUTOFFS)
    snapshots = build.build_snapshots(make_config(TASK, **keys, **KEYS), CUTOFFS)
    assert expected.rows.num_rows > 200 and expected.rows["churned"].null_count == 0
    assert snapshots.rows.equals(expected.rows)
    assert snapshots.data_fingerprint == expected.data_fingerprint


def test_the_engine_reads_one_database_after_another(
    engine: DuckDBEngine, tmp_path: Path, to_duckdb: str, to_sqlite: str
) -> None:
    counts = [
        engine.count_rows(engine.read_source(database_source(url, table="orders"), tmp_path))
        for url in (to_duckdb, to_sqlite) * 2
    ]
    assert len(set(counts)) == 1 and counts[0] > 500


def test_types_of_duckdb_arrive_right(engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    query = (
        "SELECT 'web'::channel AS a, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS b, sum(2::BIGINT) AS c, "
        "12.30::DECIMAL(12, 2) AS d, timestamptz '2024-01-01 12:00:00+02' AS e, '{\"x\":1}'::JSON AS f, true AS g, "
        "date '2024-01-01' AS h, '[1]'::JSON AS i, 9007199254740993 AS j"
    )
    (row,) = engine.to_arrow(engine.read_source(database_source(to_duckdb, query=query), tmp_path)).to_pylist()
    assert row == {
        "a": "web",
        "b": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "c": 2,
        "d": Decimal("12.30"),
        "e": datetime(2024, 1, 1, 10, tzinfo=UTC),
        "f": '{"x":1}',
        "g": True,
        "h": date(2024, 1, 1),
        "i": "[1]",
        "j": 9007199254740993,
    }


def _sqlite(folder: Path, values: list[Any]) -> str:
    with contextlib.closing(sqlite3.connect(folder / "x.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(v,) for v in values])
        connection.commit()
    return "sqlite:///x.db"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([None] * 200_000 + ["late"], [None] * 200_000 + ["late"]),
        ([None] * 200_000 + [1.5], [None] * 200_000 + [1.5]),
        ([20240102, 9007199254740993], [20240102, 9007199254740993]),
        (["2024-01-02", "00123"], ["2024-01-02", "00123"]),
        ([None, None], [None, None]),
        ([], []),
    ],
    ids=["int and real", "late text", "late real", "int", "text", "nothing", "empty"],
)
def test_loose_types_of_sqlite(values: list, expected: list, engine: DuckDBEngine, tmp_path: Path) -> None:
    rows = read_rows(database_source(_sqlite(tmp_path, values), table="t"), tmp_path, engine)
    assert [row["x"] for row in rows] == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [([17, "C-1", "C-2"], "1 integer and 2 text"), ([b"x"], "1 blob"), ([1.5, b"x", "t"], "1 real")],
)
def test_columns_of_mixed_types_in_sqlite_are_reported(
    values: list, message: str, engine: DuckDBEngine, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"column 'x' holds {message}.*CAST"):
        read_rows(database_source(_sqlite(tmp_path, values), table="t"), tmp_path, engine)


@pytest.mark.usefixtures("password")
def test_nothing_can_be_written(server: Postgres, engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    server.execute("CREATE SEQUENCE counter")
    with pytest.raises(DataError, match="read-only transaction"):
        read_rows(database_source(server.url, query="SELECT nextval('counter') AS x"), tmp_path, engine)
    with pytest.raises(UsageError, match=r"\[events\] query"):
        read_rows(database_source(server.url, query="SELECT 1) AS x; DROP TABLE orders; --"), tmp_path, engine)
    with pytest.raises(RegularsError):
        read_rows(database_source(to_duckdb, query="SELECT 1) AS x; DROP TABLE orders; --"), tmp_path, engine)
    assert read_rows(
        database_source(to_duckdb, table="orders", query="SELECT count(*) AS n FROM source"), tmp_path, engine
    )


def test_rows_written_to_sqlite_during_a_read_are_not_seen(
    engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, count = _sqlite(tmp_path, [1]), databases._SQLiteSession._kinds
    _elsewhere(tmp_path, "PRAGMA journal_mode = WAL")

    def meanwhile(session: databases._SQLiteSession, rows: str, columns: list[str]) -> dict[str, str]:
        types = count(session, rows, columns)
        _elsewhere(tmp_path, "INSERT INTO t VALUES ('text')")
        return types

    monkeypatch.setattr(databases._SQLiteSession, "_kinds", meanwhile)
    assert read_rows(database_source(url, table="t"), tmp_path, engine) == [{"x": 1}]


@pytest.mark.usefixtures("password")
def test_sessions_are_in_utc(server: Postgres, engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    server.execute("ALTER ROLE keeper SET timezone = 'Asia/Tokyo'")
    engine.connection.raw_sql("SET GLOBAL TimeZone = 'Asia/Tokyo'")
    query = "SELECT CAST(CAST('2024-01-01 20:00:00+00' AS timestamptz) AS date) AS day"
    for url in (server.url, to_duckdb):
        assert read_rows(database_source(url, query=query), tmp_path, engine) == [{"day": date(2024, 1, 1)}]


@pytest.mark.usefixtures("password")
def test_check_compares_whole_rows(server: Postgres, make_config: Make, engine: DuckDBEngine) -> None:
    rows = "SELECT 'c' AS customer, now() AS time, x AS note FROM generate_series(1, 3) AS x"
    config = make_config(source=server.url, query=rows)
    assert read_log.read_tables(config, engine).source.columns == ("customer", "time")
    assert read_log.read_tables(config, engine, all_columns=True).source.columns == ("customer", "time", "note")
    dropped = read_log.read_tables(make_config(source=server.url, query=rows, duplicates="drop"), engine)
    assert (dropped.rows, dropped.duplicates_dropped) == (3, 0)
    assert audit.check_log(config)[0].duplicate_rows == 0


@pytest.mark.usefixtures("password")
def test_the_leakage_proof_reads_a_changing_table_once(server: Postgres, make_config: Make) -> None:
    moving = "SELECT customer, time, amount * (1 + random()) AS amount FROM orders"
    config = make_config(TASK, source=server.url, query=moving, amount="amount")
    trials = leakage.prove_no_leakage(config, count=1)
    assert [trial.leaks for trial in trials] == [(), ()] and trials[0].changed_rows["events"] > 0


def test_names_cannot_carry_sql(server: Postgres, tmp_path: Path, engine: DuckDBEngine) -> None:
    name, column = 'x"; DROP TABLE orders; --', 'a" FROM orders; --'
    quoted = [part.replace('"', '""') for part in (name, column)]
    make = f'CREATE TABLE "{quoted[0]}" ("{quoted[1]}" int); INSERT INTO "{quoted[0]}" VALUES (7);'
    server.execute(*make.split(";", 0), f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {server.user}")
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute(make)
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.executescript(make)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", server.password)
        for url in (server.url, "duckdb:///x.duckdb", "sqlite:///x.db"):
            assert read_rows(database_source(url, table=name), tmp_path, engine, column) == [{column: 7}]
        with pytest.raises(UsageError, match="has no table"):
            read_rows(database_source(server.url, table="orders; DROP TABLE orders"), tmp_path, engine)
    assert server.rows("SELECT count(*) > 500 FROM orders") == [(True,)]


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_files_that_cannot_be_opened_are_reported(kind: str, run: Run, tmp_path: Path) -> None:
    assert "no such file" in refused_message(run(f"{kind}:///gone.db", 'table = "t"'), 3, tmp_path)
    (tmp_path / "bad.db").write_bytes(b"not a database " * 1000)
    message = refused_message(run(f"{kind}:///bad.db", 'table = "t"\nquery = "FROM source"'), 3, tmp_path)
    assert f"{kind}:///bad.db: cannot be read: " in message and "not a" in message


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('table = "order"', "did you mean 'orders'?"),
        ('table = "orders"\namount = "amuont"', "no column 'amuont'; did you mean 'amount'?"),
        ('table = "orders"\nquery = "SELECT ,"', "[events] query is not understood by "),
        ('query = "SELECT * FROM nix"', "nix"),
    ],
)
def test_missing_names_in_files_are_reported(
    kind: str, more: str, expected: str, run: Run, tmp_path: Path, to_duckdb: str, to_sqlite: str
) -> None:
    message = refused_message(run({"duckdb": to_duckdb, "sqlite": to_sqlite}[kind], more), 2, tmp_path)
    assert expected in message


@pytest.mark.parametrize("more", ['table = "t"', 'table = "t"\nquery = "SELECT * FROM source"'])
def test_a_file_that_is_being_written_is_reported(
    more: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_TIMEOUT", 100)
    _sqlite(tmp_path, [1])
    with _writing(tmp_path / "x.db"):
        message = refused_message(run("sqlite:///x.db", more), 3, tmp_path)
    assert "sqlite:///x.db: cannot be read: the database is in use by another process" in message


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Another process that holds the file; in this one, locks of two copies of SQLite do not see each other."""
    lock = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{lock}; input()", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "1\n"
        yield
        process.communicate("\n")


def _elsewhere(folder: Path, statement: str) -> None:
    """Runs SQL on the SQLite file in another process."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit(); c.close()"
    subprocess.run([sys.executable, "-c", code, folder / "x.db", statement], check=True)
