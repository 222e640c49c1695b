"""PostgreSQL as a source: its types, its errors and lost connections as one message, and the password nowhere."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engines.duckdb import DuckDBEngine
from features.errors import DataError
from features.intake import read_log
from features.snapshots import build
from features.sources import databases
from features.sources import postgres as driver
from tests.database_sources import CUTOFFS, TASK, Make, Run, database_source, read_rows, refused_message
from tests.postgres import Postgres, free_port

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
    source = database_source(
        server.url, query=f"SELECT CAST(t AS {kind}) AS x FROM (VALUES ('{text}'), (NULL)) AS v (t)"
    )
    assert engine.to_arrow(engine.read_source(source, tmp_path).order_by("x")).to_pylist() == [
        {"x": expected},
        {"x": None},
    ]


@pytest.mark.usefixtures("password")
def test_infinite_numbers_and_dates_become_null(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    casts = (
        "'NaN'::numeric(9, 2) AS a, 'infinity'::date AS b, '-infinity'::timestamp AS c, 'infinity'::timestamptz AS d"
    )
    rows = read_rows(database_source(server.url, query=f"SELECT {casts}, 'infinity'::numeric AS e"), tmp_path, engine)
    assert rows == [{"a": None, "b": None, "c": None, "d": None, "e": float("inf")}]


@pytest.mark.usefixtures("password")
def test_no_digit_of_an_id_is_lost(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    source = database_source(server.url, query="SELECT 90071992547409931::numeric AS customer, 1.5::numeric AS amount")
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
    rows = read_rows(database_source(server.url, table="orders", query=query), tmp_path, engine)
    expected = server.rows("SELECT count(DISTINCT customer) FROM orders")[0][0]
    assert len(rows) == expected and set(rows[0]) == {"customer", "amount"}


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
    assert read_rows(database_source(server.url, table="moving"), tmp_path, engine) == [{"x": 1}]
    assert server.rows("SELECT x FROM moving") == [(1,), (2,)]


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
    assert "environment variable it names is not set" in refused_message(run(server.url, more), 2, tmp_path)


def test_pgpass_works(server: Postgres, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path.parent / f"{tmp_path.name}.pgpass"
    kept.write_text(f"127.0.0.1:{server.port}:*:{server.user}:{server.password.replace(':', chr(92) + ':')}\n")
    kept.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(kept))
    assert run(server.url, 'table = "orders"', server.password).exit_code == 0


def test_a_missing_password_is_reported(server: Postgres, run: Run, tmp_path: Path) -> None:
    message = refused_message(run(server.url, 'table = "orders"'), 3, tmp_path)
    assert "no password supplied; set PGPASSWORD" in message and server.url in message


def test_a_wrong_password_is_reported_and_not_repeated(
    server: Postgres, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong/canary:é")
    message = refused_message(run(server.url, 'table = "orders"', "wrong/canary:é"), 3, tmp_path)
    assert 'password authentication failed for user "keeper"; check the user' in message


def test_a_password_in_the_file_is_refused(server: Postgres, run: Run, tmp_path: Path) -> None:
    result = run(server.url.replace("keeper@", "keeper:in-the-file@"), 'table = "orders"')
    assert "in-the-file" not in refused_message(result, 2, tmp_path) and "PGPASSWORD" in result.output


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
    message = refused_message(run(server.url.replace(*change), more, server.password), code, tmp_path)
    assert expected in message and "Ada" not in message


def test_a_refused_connection_is_reported(run: Run, tmp_path: Path) -> None:
    message = refused_message(run(f"postgresql://me@127.0.0.1:{free_port()}/shop", 'table = "orders"'), 3, tmp_path)
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
        message = refused_message(run(url, 'table = "orders"'), 3, tmp_path)
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
        message = refused_message(run(url, 'table = "many"\namount = "amount"', server.password), 3, tmp_path)
    assert "cannot be read: the connection was lost in mid-read" in message and "run the command again" in message


@pytest.mark.usefixtures("password")
def test_a_session_ended_by_the_server_is_reported(server: Postgres, engine: DuckDBEngine, tmp_path: Path) -> None:
    query = "SELECT a.*, repeat('x', 100) AS note FROM source AS a, generate_series(1, 20)"
    source = database_source(server.url, table="many", query=query)
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
        databases.read_database(database_source(server.url, table="many"), tmp_path, {}, (), engine.connection.con)
    ) as batches:
        next(batches)
    end = time.monotonic() + 10
    while server.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'regulars'") != [(0,)]:
        assert time.monotonic() < end
        time.sleep(0.05)
