"""The same log from files and databases gives identical features; errors are one message without the password."""

from __future__ import annotations

import contextlib
import logging
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import regulars
from features.audit import audit
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, RegularsError, UsageError
from features.intake import read_log
from features.snapshots import build, leakage
from features.sources import databases
from features.sources import postgres as driver
from features.sources.source import Source
from tests.postgres import Postgres, free_port

CUTOFFS = [date(2023, 6, 1), date(2023, 8, 1)]
KEYS = {"amount": "amount", "order": "order", "kinds": ["channel"]}
TASK = {"task": {"horizon": "30d", "every": "30d", "windows": ["30d", "90d"]}}
MANY = 400_000  # rows of a table that no buffer between server and reader holds
Make = Callable[..., Config]

CONFIG = """\
config_version = 1
name = "shop"
[events]
source = "{source}"
{more}
customer = "customer"
time = "time"
[task]
horizon = "30d"
windows = ["30d"]
"""


@pytest.fixture(scope="module")
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


def _source(url: str, **keys: str) -> Source:
    return Source("events", url, **keys)


def _read(source: Source, folder: Path, engine: DuckDBEngine, *columns: str) -> list[dict[str, Any]]:
    named = {name: name for name in columns}
    batches = list(databases.read_database(source, folder, named, (), engine.connection.con))
    return pa.Table.from_batches(batches).to_pylist()


# The same rows


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
        engine.count_rows(engine.read_source(_source(url, table="orders"), tmp_path))
        for url in (to_duckdb, to_sqlite) * 2
    ]
    assert len(set(counts)) == 1 and counts[0] > 500


# Types


TYPES = {
    "numeric(12,2)": ("12.30", Decimal("12.30")),
    "numeric(38,4)": ("1234567890123456789012345678901234.5678", Decimal("1234567890123456789012345678901234.5678")),
    "numeric": ("12345678901.2345", 12345678901.2345),
    "money": ("12.30", 12.3),
    "bigint": ("9007199254740993", 9007199254740993),
    "boolean": ("t", True),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "channel": ("web", "web"),
    "jsonb": ('{"x": 1}', '{"x": 1}'),
    "char(8)": ("abc", "abc"),
    "text": ("Zoë 商", "Zoë 商"),
    "inet": ("10.0.0.1", "10.0.0.1/32"),
    "int[]": ("{1,2}", "{1,2}"),
    "date": ("2024-02-29", date(2024, 2, 29)),
    "timestamp": ("2024-02-29 01:02:03.456789", datetime(2024, 2, 29, 1, 2, 3, 456789)),
    "timestamptz": ("2024-02-29 01:02:03+02", datetime(2024, 2, 28, 23, 2, 3, tzinfo=UTC)),
}


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("kind", TYPES)
def test_types_of_postgresql_arrive_right(kind: str, server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    text, expected = TYPES[kind]
    source = _source(server.url, query=f"SELECT CAST(t AS {kind}) AS x FROM (VALUES ('{text}'), (NULL)) AS v (t)")
    assert engine.to_arrow(engine.read_source(source, tmp_path).order_by("x")).to_pylist() == [
        {"x": expected},
        {"x": None},
    ]


@pytest.mark.usefixtures("password")
def test_infinite_numbers_and_dates_become_null(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    casts = (
        "'NaN'::numeric(9, 2) AS a, 'infinity'::date AS b, '-infinity'::timestamp AS c, 'infinity'::timestamptz AS d"
    )
    rows = _read(_source(server.url, query=f"SELECT {casts}, 'infinity'::numeric AS e"), tmp_path, engine)
    assert rows == [{"a": None, "b": None, "c": None, "d": None, "e": float("inf")}]


@pytest.mark.usefixtures("password")
def test_no_digit_of_an_id_is_lost(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    source = _source(server.url, query="SELECT 90071992547409931::numeric AS customer, 1.5::numeric AS amount")
    (row,) = engine.to_arrow(engine.read_source(source, tmp_path, ids=("customer",))).to_pylist()
    assert row == {"customer": "90071992547409931", "amount": 1.5}


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("kind", ["numeric(18, 4)", "numeric"])
def test_numeric_money_is_kept_to_the_last_tick(
    kind: str, server: Postgres, make_config: Make, engine: DuckDBEngine
) -> None:
    values = "unnest(ARRAY[12345678901.2345, 0.0001, -0.1]) AS x"
    sums = f"SELECT 'c' AS customer, now() AS time, CAST(x AS {kind}) AS amount FROM {values}"
    tables = read_log.read_tables(make_config(source=server.url, query=sums, amount="amount"), engine)
    ticks = engine.to_arrow(tables.events.select("amount"))["amount"].to_pylist()
    assert sorted(ticks) == [-1000, 1, 123456789012345]


def test_types_of_duckdb_arrive_right(engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    query = (
        "SELECT 'web'::channel AS a, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS b, sum(2::BIGINT) AS c, "
        "12.30::DECIMAL(12, 2) AS d, timestamptz '2024-01-01 12:00:00+02' AS e, '{\"x\":1}'::JSON AS f, true AS g, "
        "date '2024-01-01' AS h, '[1]'::JSON AS i, 9007199254740993 AS j"
    )
    (row,) = engine.to_arrow(engine.read_source(_source(to_duckdb, query=query), tmp_path)).to_pylist()
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
    rows = _read(_source(_sqlite(tmp_path, values), table="t"), tmp_path, engine)
    assert [row["x"] for row in rows] == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [([17, "C-1", "C-2"], "1 integer and 2 text"), ([b"x"], "1 blob"), ([1.5, b"x", "t"], "1 real")],
)
def test_columns_of_mixed_types_in_sqlite_are_reported(
    values: list, message: str, engine: DuckDBEngine, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"column 'x' holds {message}.*CAST"):
        _read(_source(_sqlite(tmp_path, values), table="t"), tmp_path, engine)


# What runs in the database


@pytest.mark.usefixtures("password")
def test_only_the_named_columns_are_read(server: Postgres, make_config: Make) -> None:
    server.execute("CREATE ROLE clerk LOGIN PASSWORD 'clerk'", "GRANT SELECT (customer, time) ON orders TO clerk")
    url = server.url.replace("keeper@", "clerk@")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", "clerk")
        rows = build.build_snapshots(make_config(TASK, source=url, table="orders"), CUTOFFS).rows
        assert rows.num_rows > 200
        with pytest.raises(DataError, match="permission denied.*grant this user SELECT"):
            build.build_snapshots(make_config(TASK, source=url, table="orders", amount="amount"), CUTOFFS)


@pytest.mark.usefixtures("password")
def test_the_query_is_run_by_the_server(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    query = "SELECT DISTINCT ON (customer) customer, amount FROM source ORDER BY customer, time -- the first"
    rows = _read(_source(server.url, table="orders", query=query), tmp_path, engine)
    expected = server.rows("SELECT count(DISTINCT customer) FROM orders")[0][0]
    assert len(rows) == expected and set(rows[0]) == {"customer", "amount"}


@pytest.mark.usefixtures("password")
def test_nothing_can_be_written(server: Postgres, engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    server.execute("CREATE SEQUENCE counter")
    with pytest.raises(DataError, match="read-only transaction"):
        _read(_source(server.url, query="SELECT nextval('counter') AS x"), tmp_path, engine)
    with pytest.raises(UsageError, match=r"\[events\] query"):
        _read(_source(server.url, query="SELECT 1) AS x; DROP TABLE orders; --"), tmp_path, engine)
    with pytest.raises(RegularsError):
        _read(_source(to_duckdb, query="SELECT 1) AS x; DROP TABLE orders; --"), tmp_path, engine)
    assert _read(_source(to_duckdb, table="orders", query="SELECT count(*) AS n FROM source"), tmp_path, engine)


@pytest.mark.usefixtures("password")
def test_rows_written_during_a_read_are_not_seen(
    server: Postgres, engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.execute("CREATE TABLE moving AS SELECT 1 AS x")
    look = driver.PostgresSession.columns

    def meanwhile(session: driver.PostgresSession, rows: str) -> dict[str, pa.Field]:
        server.execute("INSERT INTO moving VALUES (2)")
        return look(session, rows)

    monkeypatch.setattr(driver.PostgresSession, "columns", meanwhile)
    assert _read(_source(server.url, table="moving"), tmp_path, engine) == [{"x": 1}]
    assert server.rows("SELECT x FROM moving") == [(1,), (2,)]


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
    assert _read(_source(url, table="t"), tmp_path, engine) == [{"x": 1}]


@pytest.mark.usefixtures("password")
def test_sessions_are_in_utc(server: Postgres, engine: DuckDBEngine, tmp_path: Path, to_duckdb: str) -> None:
    server.execute("ALTER ROLE keeper SET timezone = 'Asia/Tokyo'")
    engine.connection.raw_sql("SET GLOBAL TimeZone = 'Asia/Tokyo'")
    query = "SELECT CAST(CAST('2024-01-01 20:00:00+00' AS timestamptz) AS date) AS day"
    for url in (server.url, to_duckdb):
        assert _read(_source(url, query=query), tmp_path, engine) == [{"day": date(2024, 1, 1)}]


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
            assert _read(_source(url, table=name), tmp_path, engine, column) == [{column: 7}]
        with pytest.raises(UsageError, match="has no table"):
            _read(_source(server.url, table="orders; DROP TABLE orders"), tmp_path, engine)
    assert server.rows("SELECT count(*) > 500 FROM orders") == [(True,)]


# Passwords, refusals and lost connections, at the front door


Run = Callable[..., Result]


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
            _nowhere(secret, result, caplog.text, tmp_path)
        return result

    return call


def _nowhere(secret: str, result: Result, log: str, folder: Path) -> None:
    """The password, plain or as in a URL, is in nothing that was said, raised, logged or written."""
    texts = [result.output, log]
    problem = result.exc_info[1] if result.exc_info else None
    while problem is not None:
        texts += [str(problem), repr(problem), *map(str, getattr(problem, "__notes__", ()))]
        problem = problem.__context__
    texts += [f.read_bytes().decode("latin-1") for f in folder.rglob("*") if f.is_file()]
    for form in (secret, quote(secret, safe=""), secret.encode().decode("latin-1")):
        assert not [text for text in texts if form in text]


def _refused(result: Result, code: int, folder: Path) -> str:
    """One message and the right exit code; nothing at --out or beside it, but what an earlier build kept."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    assert {f.name for f in folder.iterdir()} <= {"regulars.toml", "x.db", "shop.db", "shop.duckdb", "bad.db", "output"}
    (line,) = result.output.strip().splitlines()
    return line


def test_the_password_is_taken_from_the_environment_and_shown_nowhere(
    server: Postgres, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("SHOP_DB_PASSWORD", server.password)
    more = 'table = "orders"\npassword_env = "SHOP_DB_PASSWORD"'
    assert run(server.url, more, server.password).exit_code == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows > 100
    monkeypatch.delenv("SHOP_DB_PASSWORD")
    (tmp_path / "out.parquet").unlink()
    assert "environment variable it names is not set" in _refused(run(server.url, more), 2, tmp_path)


def test_pgpass_works(server: Postgres, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path.parent / f"{tmp_path.name}.pgpass"
    kept.write_text(f"127.0.0.1:{server.port}:*:{server.user}:{server.password.replace(':', chr(92) + ':')}\n")
    kept.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(kept))
    assert run(server.url, 'table = "orders"', server.password).exit_code == 0


def test_a_missing_password_is_reported(server: Postgres, run: Run, tmp_path: Path) -> None:
    message = _refused(run(server.url, 'table = "orders"'), 3, tmp_path)
    assert "no password supplied; set PGPASSWORD" in message and server.url in message


def test_a_wrong_password_is_reported_and_not_repeated(
    server: Postgres, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong/canary:é")
    message = _refused(run(server.url, 'table = "orders"', "wrong/canary:é"), 3, tmp_path)
    assert 'password authentication failed for user "keeper"; check the user' in message


def test_a_password_in_the_file_is_refused(server: Postgres, run: Run, tmp_path: Path) -> None:
    result = run(server.url.replace("keeper@", "keeper:in-the-file@"), 'table = "orders"')
    assert "in-the-file" not in _refused(result, 2, tmp_path) and "PGPASSWORD" in result.output


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("change", "more", "code", "expected"),
    [
        (("/postgres", "/nowhere"), 'table = "orders"', 3, 'database "nowhere" does not exist'),
        (("@127.0.0.1", "@no-such-host.invalid"), 'table = "orders"', 3, "check the host in the URL"),
        (("", ""), 'table = "order"', 2, "no table 'order'; did you mean 'orders'? it has"),
        (("", ""), 'table = "sales.line"', 2, "did you mean 'sales.lines'?"),
        (("", ""), 'table = "orders"\namount = "amuont"', 2, "[events] amount: the source has no column 'amuont'; did"),
        (
            ("", ""),
            'table = "orders"\nquery = "SELECT , 1"',
            2,
            "[events] query is not understood by postgresql://keeper@",
        ),
        (("", ""), 'query = "SELECT * FROM nix"', 2, 'relation "nix" does not exist'),
        (("", ""), """query = "SELECT 'Ada'::int AS customer, now() AS time" """, 3, "type integer: (a value)"),
        (
            ("/postgres", "/postgres?options=-c%20statement_timeout%3D300"),
            """query = "SELECT 'c' AS customer, now() AS time, pg_sleep(5)" """,
            3,
            "statement timeout; let the query read less",
        ),
        (("/postgres", "/postgres?nix=1"), 'table = "orders"', 3, 'invalid URI query parameter: "nix"'),
    ],
)
def test_errors_of_a_database_are_one_message(
    change: tuple[str, str], more: str, code: int, expected: str, server: Postgres, run: Run, tmp_path: Path
) -> None:
    message = _refused(run(server.url.replace(*change), more, server.password), code, tmp_path)
    assert expected in message and "Ada" not in message


def test_a_refused_connection_is_reported(run: Run, tmp_path: Path) -> None:
    message = _refused(run(f"postgresql://me@127.0.0.1:{free_port()}/shop", 'table = "orders"'), 3, tmp_path)
    assert "Connection refused; check host and port" in message


@pytest.mark.parametrize("limit", ["url", "environment"])
def test_a_server_that_never_answers_is_given_up(
    limit: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit == "environment":
        monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = (
            f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/shop{'?connect_timeout=2' if limit == 'url' else ''}"
        )
        start = time.monotonic()
        message = _refused(run(url, 'table = "orders"'), 3, tmp_path)
    assert "timeout expired; check host, port and firewall" in message and time.monotonic() - start < 8


def test_connecting_has_a_limit_of_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    assert "&connect_timeout=10" in driver._url_with_options("postgresql://me@db/shop", "")
    assert driver._url_with_options("postgresql://me@db/shop?connect_timeout=3", "").count("connect_timeout") == 1


@contextlib.contextmanager
def _dropping(port: int, after: int) -> Iterator[int]:
    """A way to the server that breaks once so many bytes have come back; yields its port."""

    def forward(source: socket.socket, target: socket.socket, left: float) -> None:
        with contextlib.suppress(OSError):
            while left > 0 and (data := source.recv(65536)):
                target.sendall(data)
                left -= len(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for pair in ((client, server, float("inf")), (server, client, after)):
                    threading.Thread(target=forward, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("after", [3_000, 1_000_000, 8_000_000])
def test_a_lost_connection_leaves_nothing(after: int, server: Postgres, run: Run, tmp_path: Path) -> None:
    with _dropping(server.port, after) as port:
        url = server.url.replace(str(server.port), str(port))
        message = _refused(run(url, 'table = "many"\namount = "amount"', server.password), 3, tmp_path)
    assert "cannot be read: the connection was lost in mid-read" in message and "run the command again" in message


@pytest.mark.usefixtures("password")
def test_a_session_ended_by_the_server_is_reported(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    query = "SELECT a.*, repeat('x', 100) AS note FROM source AS a, generate_series(1, 20)"
    source = _source(server.url, table="many", query=query)
    batches = databases.read_database(source, tmp_path, {}, (), engine.connection.con)
    assert next(batches).num_rows + next(batches).num_rows > 0
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'regulars'")
    with pytest.raises(DataError, match="lost in mid-read") as caught:
        list(batches)
    assert server.password not in str(caught.value)


def test_an_abandoned_read_leaves_no_session(
    server: Postgres, engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", server.password)
    with contextlib.closing(
        databases.read_database(_source(server.url, table="many"), tmp_path, {}, (), engine.connection.con)
    ) as batches:
        next(batches)
    end = time.monotonic() + 10
    while server.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'regulars'") != [(0,)]:
        assert time.monotonic() < end
        time.sleep(0.05)


# Files that are no databases


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_files_that_cannot_be_opened_are_reported(kind: str, run: Run, tmp_path: Path) -> None:
    assert "no such file" in _refused(run(f"{kind}:///gone.db", 'table = "t"'), 3, tmp_path)
    (tmp_path / "bad.db").write_bytes(b"not a database " * 1000)
    message = _refused(run(f"{kind}:///bad.db", 'table = "t"\nquery = "FROM source"'), 3, tmp_path)
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
    message = _refused(run({"duckdb": to_duckdb, "sqlite": to_sqlite}[kind], more), 2, tmp_path)
    assert expected in message


@pytest.mark.parametrize("more", ['table = "t"', 'table = "t"\nquery = "SELECT * FROM source"'])
def test_a_file_that_is_being_written_is_reported(
    more: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_TIMEOUT", 100)
    _sqlite(tmp_path, [1])
    with _writing(tmp_path / "x.db"):
        message = _refused(run("sqlite:///x.db", more), 3, tmp_path)
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
