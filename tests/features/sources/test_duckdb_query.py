"""Queries in DuckDB's SQL: files relative to the config, keys of one type, nothing but reading."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.sources.duckdb_query import parse_query
from features.sources.source import Source

Run = Callable[..., list[dict[str, Any]]]
ORDERS = "order_id,customer,day,sku\n1,17,2024-01-01,A1\n2,A-9,2024-01-02,7\n3,18,2024-01-05,8\n"


@pytest.fixture
def run(tmp_path: Path, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch) -> Run:
    """From a query over orders, with files of products, people and lines beside it, to its rows."""
    folder = tmp_path / "shop"
    (folder / "more é").mkdir(parents=True)
    (folder / "orders.csv").write_text(ORDERS)
    (folder / "products.csv").write_text("Title line\nsku;price\n7;12.5\n8;13\n8;1;2\n")
    (folder / "more é" / "people.csv").write_text("id,email,town\n17.0,ann@x,Bath\n18.0,bob@x,York\n")
    (folder / "lines.jsonl").write_text('{"order_id": "1", "n": 2}\n{"order_id": "3", "n": 5}\n')
    pq.write_table(pa.table({"sku": [7, 8], "kind": ["tea", "milk"]}), folder / "kinds.parquet")
    for name in ("products.csv", "lines.jsonl"):  # where the command is started
        (tmp_path / name).write_text("sku,order_id\nwrong,wrong\n")
    monkeypatch.chdir(tmp_path)

    def call(query: str, **source: Any) -> list[dict[str, Any]]:
        return engine.to_arrow(
            engine.read_source(Source("events", "orders.csv", query=query, **source), folder)
        ).to_pylist()

    return call


@pytest.mark.parametrize(
    "query",
    [
        "SELECT order_id, price FROM source JOIN 'products.csv' USING (sku)",
        'SELECT order_id, products.price FROM source AS s JOIN "products.csv" ON s.sku = products.sku;',
        "SELECT order_id, read_csv.price FROM source s JOIN read_csv ( 'products.csv' ) ON s.sku = read_csv.sku",
        "SELECT order_id, price FROM source NATURAL JOIN 'products.csv'",
        "SELECT order_id, price FROM source s, 'products*.csv' p WHERE p.sku IS NOT DISTINCT FROM s.sku",
        "WITH p AS (SELECT * FROM 'products.csv') SELECT order_id, price FROM source JOIN p USING (sku)",
    ],
)
def test_a_file_is_read_as_source_is_and_joined_by_keys_of_its_type(run: Run, query: str, engine: DuckDBEngine) -> None:
    """The key is text in the orders and a number in the products."""
    assert sorted(tuple(row.values()) for row in run(query)) == [(2, 12.5), (3, 13.0)]
    assert [read.malformed for read in engine.files_read] == [0, 1]


def test_keys_of_other_names_and_forms(run: Run) -> None:
    joined = "SELECT town FROM source s JOIN 'more é/people.csv' p ON p.id = s.customer ORDER BY order_id"
    assert [row["town"] for row in run(joined)] == ["Bath", "York"]
    strangers = "SELECT customer FROM source WHERE customer NOT IN (SELECT id FROM 'more é/people.csv')"
    assert run(strangers) == [{"customer": "A-9"}]
    kinds = "SELECT kind FROM source LEFT JOIN 'kinds.parquet' USING (sku) ORDER BY order_id"
    assert [row["kind"] for row in run(kinds)] == [None, "tea", "milk"]


@pytest.mark.parametrize(
    "rows",
    [
        "'lines.jsonl'",
        "read_json('lines.jsonl', columns={order_id: 'VARCHAR', n: 'INT'})",
        "read_ndjson(['lines.jsonl'])",
    ],
)
def test_json_lines_and_functions_with_options(run: Run, rows: str) -> None:
    query = f"SELECT order_id, n FROM source JOIN {rows} AS l USING (order_id) ORDER BY n"
    assert run(query) == [{"order_id": "1", "n": 2}, {"order_id": "3", "n": 5}]


def test_personal_columns_of_the_files_cannot_be_selected(run: Run) -> None:
    query = "SELECT s.*, p.* FROM source s JOIN 'more é/people.csv' p ON s.customer = p.id"
    assert "email" in run(query)[0]
    with pytest.raises(UsageError, match=r"\[events\] query is not understood.*email"):
        run(query.replace("p.*", "p.email"), personal=("email",))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM 'https://host/a.csv'", "https:// cannot be read, since a query opens no network"),
        ("SELECT * FROM read_parquet(['s3://bucket/a.parquet'])", "s3:// cannot be read"),
        ("SELECT * FROM checkpoint()", r"checkpoint\(\) cannot be used"),
        ("SELECT * FROM query('SELECT 1')", r"query\(\) cannot be used"),
        ("SELECT * FROM enable_logging()", r"enable_logging\(\) cannot be used"),
        ("SELECT write_log('x')", r"write_log\(\) cannot be used"),
        ("SELECT * FROM sqlite_scan('a.db', 't')", r"sqlite_scan\(\) cannot be used"),
        ("COPY source TO 'out.csv'", "found COPY"),
        ("PIVOT source ON sku USING count(*)", "found CREATE"),
        ("SELECT * FROM tmp_path", "tmp_path does not exist"),  # a variable of Python
        ("SELECT nothing FROM source", "is not understood: .*nothing"),
        ("SELECT", "is not understood"),
    ],
)
def test_a_query_only_reads_and_only_here(run: Run, query: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"\[events\] query.*{says}"):
        run(query)
    assert not list(tmp_path.rglob("out.csv"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM 'nothing.csv'", "nothing.csv: no such file"),
        ("SELECT CAST(sku AS INT) AS n FROM source", r"while reading the data: .*\(a value\).*try_cast"),
    ],
)
def test_what_fails_later_names_the_query_too(run: Run, query: str, says: str) -> None:
    with pytest.raises(DataError, match=rf"^\[events\] query: {says}"):
        run(query)


def test_without_keys_the_types_stay(run: Run) -> None:
    assert run("SELECT count(*) AS n, sum(price) AS total FROM source, 'products.csv'") == [{"n": 6, "total": 76.5}]
    assert run("SELECT unnest([1, 2]) AS n FROM range(1)") == [{"n": 1}, {"n": 2}]


def test_all_tables_of_a_query_are_found_at_their_places(engine: DuckDBEngine, tmp_path: Path) -> None:
    sql = (
        "SELECT 'é' AS x FROM 'a.csv' JOIN read_csv('b.csv', delim=')') b USING (id) WHERE y IN (SELECT z FROM 'c.pq')"
    )
    query = parse_query(sql + ";", "events", tmp_path, engine.connection.con)
    assert [(table.path, table.alias) for table in query.tables] == [("a.csv", "a"), ("", ""), ("c.pq", "c")]
    assert query.tables[1].call == f"read_csv('{tmp_path}/b.csv', delim=')')"
    assert query.with_views(["one", "two", "three"]) == (
        'SELECT \'é\' AS x FROM one AS "a" JOIN two b USING (id) WHERE y IN (SELECT z FROM three AS "c")'
    )
    assert sorted(map(sorted, query.equal)) == [["id"], ["y", "z"]] and not query.natural
    assert json.dumps(query.sql) == json.dumps(sql)


def test_a_file_that_is_named_twice_is_read_once(run: Run, engine: DuckDBEngine) -> None:
    joined = "JOIN 'orders.csv' b USING (sku) JOIN 'products.csv' USING (sku) JOIN 'products.csv' p USING (sku)"
    query = f"SELECT a.order_id FROM source a {joined}"
    assert len(run(query)) == 2
    assert [(read.source, read.malformed) for read in engine.files_read] == [("orders.csv", 0), ("products.csv", 1)]
