"""Ids are read as text by one rule: the expression and its twin in Python agree, and all spellings of an id are one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, parse_config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.intake.identifiers import as_identifier, earlier_identifier, identifier_text
from features.intake.read_log import read_tables
from tests.features.intake.column_values import compute_values

LETTERS = "0123456789.. \t\n\u00a0\u3000\ufeff\u200b\u202a'-=+@eEabCZ_\x1f\x85é中"
FLOATS: list[Any] = [
    0.0,
    -0.0,
    1001.0,
    2.5,
    -3.0,
    1e15,
    2.0**53 + 2,
    1e16,
    1.5e18,
    -1e17,
    0.1,
    float("nan"),
    float("inf"),
    None,
]


def config_in(folder: Path, events: dict[str, str]) -> Config:
    """A config of events alone."""
    return parse_config({"config_version": 1, "name": "t", "events": events}, folder / "t.toml")


def texts(count: int, seed: int) -> list[str]:
    """Made-up texts: of any characters, and numbers as tables write them."""
    draw = np.random.default_rng(seed)
    endings, blanks = ("", ".0", ".00", ".", ".5", ".10"), ("", " ", "\t\t", "\u00a0", "\u3000", "\r\n")
    anything = ["".join(draw.choice(list(LETTERS), draw.integers(10))) for _ in range(count)]
    numbers = [f"{draw.integers(10**18) // 10 ** draw.integers(18):0{draw.integers(1, 6)}}" for _ in range(count // 4)]
    return anything + [f"{draw.choice(blanks)}{text}{draw.choice(endings)}{draw.choice(blanks)}" for text in numbers]


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ([17850.0, 2.5, None], ["17850", "2.5", None]),
        ([17850], ["17850"]),
        (["C-1", " "], ["C-1", None]),
        (["1001", " 1001 ", "1001.0", "1001.00", "\u00a01001\u3000", "\ufeff1001", "1001\r\n"], ["1001"] * 7),
        (["00042", "42", "00042.0"], ["00042", "42", "00042"]),
        (["12345678901234567890", "12345678901234567890.0"], ["12345678901234567890"] * 2),
        (["1.001e3", "1E5", "1001.5", "a b", "WEB.0"], ["1.001e3", "1E5", "1001.5", "a b", "WEB.0"]),
        (["'+49170", "'-5", "'tis", "''-5"], ["+49170", "-5", "'tis", "''-5"]),
        ([Decimal("1001.00"), Decimal("12345678901234567890.00")], ["1001", "12345678901234567890"]),
        ([2**62, -7], ["4611686018427387904", "-7"]),
    ],
)
def test_ids(engine: DuckDBEngine, values: list[Any], ids: list[Any]) -> None:
    assert compute_values(engine, values, as_identifier) == ids
    assert [identifier_text(value) for value in values] == ids


def test_the_expression_and_its_twin_agree_and_the_rule_changes_nothing_twice(engine: DuckDBEngine) -> None:
    for values in (texts(8000, seed=1), FLOATS):
        ids = [identifier_text(value) for value in values]
        assert compute_values(engine, values, as_identifier) == ids
        assert [identifier_text(text) for text in ids] == ids


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_the_rule_is_the_same_on_spark(spark: Engine) -> None:
    for values in (texts(2000, seed=2), FLOATS):
        rows = spark.store_arrow("ids", pa.table({"n": range(len(values)), "x": values}))
        read = spark.to_arrow(rows.select("n", id=as_identifier(rows.x)).order_by("n"))["id"].to_pylist()
        assert read == [identifier_text(value) for value in values]


def test_numbers_too_large_for_integers_are_ids_too(engine: DuckDBEngine) -> None:
    assert compute_values(engine, [1e22, 1.0], as_identifier) == ["1e+22", "1"]
    assert compute_values(engine, [1e22, 1.0], earlier_identifier) == ["1e+22", "1"]


def test_the_earlier_rule_kept_text_as_it_was(engine: DuckDBEngine) -> None:
    assert compute_values(engine, [" 1 ", "1.0", " "], earlier_identifier) == [" 1 ", "1.0", None]


@pytest.mark.parametrize("query", ["", "SELECT *, 2 * paid AS twice FROM source"])
def test_ids_of_a_csv_file_keep_leading_zeros_and_all_digits(tmp_path: Path, engine: DuckDBEngine, query: str) -> None:
    (tmp_path / "log.csv").write_text(
        "who,day,paid,order\n00042,2024-01-05,1,007\n42,2024-01-06,2,7\n 42.0 ,2024-01-07,3,7.0\n"
        "12345678901234567890,2024-01-08,4,8\n"
    )
    events = {"source": "log.csv", "customer": "who", "time": "day", "amount": "paid", "order": "order", "query": query}
    tables = read_tables(
        parse_config({"config_version": 1, "name": "t", "events": events}, tmp_path / "t.toml"), engine
    )
    rows = engine.to_arrow(tables.events.order_by("day")).to_pylist()
    assert [row["customer_id"] for row in rows] == ["00042", "42", "42", "12345678901234567890"]
    assert [row["order_id"] for row in rows] == ["007", "7", "7", "8"]


def test_ids_that_numbers_keep_stay_numbers_for_a_query(tmp_path: Path, engine: DuckDBEngine) -> None:
    (tmp_path / "log.csv").write_text("who,day,paid\n42,2024-01-05,1\n7,2024-01-06,2\n")
    query = "SELECT *, who + 1 AS next FROM source WHERE who > 7"
    events = {"source": "log.csv", "customer": "next", "time": "day", "amount": "paid", "query": query}
    tables = read_tables(
        parse_config({"config_version": 1, "name": "t", "events": events}, tmp_path / "t.toml"), engine
    )
    assert engine.to_arrow(tables.events)["customer_id"].to_pylist() == ["43"]


def test_a_column_that_is_an_id_and_a_day_stays_a_day(tmp_path: Path, engine: DuckDBEngine) -> None:
    (tmp_path / "log.csv").write_text("who,day,paid\n007,20240105,1\n7,20240106,2\n")
    events = {"source": "log.csv", "customer": "who", "time": "day", "amount": "paid", "order": "day"}
    tables = read_tables(
        parse_config({"config_version": 1, "name": "t", "events": events}, tmp_path / "t.toml"), engine
    )
    assert engine.to_arrow(tables.events.order_by("day"))["order_id"].to_pylist() == ["20240105", "20240106"]


def test_all_sources_name_a_customer_alike(tmp_path: Path, engine: DuckDBEngine) -> None:
    (tmp_path / "log.csv").write_text("who,day\n1001.0,2024-01-05\nWEB-39,2024-01-06\n")
    (tmp_path / "people.csv").write_text("id,plan\n1001,basic\n")
    pq.write_table(pa.table({"id": [" 1001 ", "WEB-39\u00a0"], "at": ["2024-01-05"] * 2}), tmp_path / "visits.parquet")
    config = parse_config(
        {
            "config_version": 1,
            "name": "t",
            "events": {"source": "log.csv", "customer": "who", "time": "day"},
            "customers": {"source": "people.csv", "customer": "id", "attributes": ["plan"], "constant": ["plan"]},
            "activities": {"visits": {"source": "visits.parquet", "customer": "id", "time": "at"}},
        },
        tmp_path / "t.toml",
    )
    tables = read_tables(config, engine)
    ids = {name: engine.to_arrow(side.rows)["customer_id"].to_pylist() for name, side in tables.sides.items()}
    assert {name: sorted(found) for name, found in ids.items()} == {
        "customers": ["1001"],
        "activities.visits": ["1001", "WEB-39"],
    }
    assert sorted(engine.to_arrow(tables.events)["customer_id"].to_pylist()) == ["1001", "WEB-39"]
