"""Ids are hashed alike in every table and on each engine; the key is stored nowhere; forgotten customers stay out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import check_log
from features.campaigns.contact_history import read_attributes
from features.config.load import Config, parse_config
from features.engines.base import Engine
from features.engines.duckdb import DuckDBEngine
from features.errors import UsageError
from features.intake.customer_ids import (
    FORGOTTEN_FILE,
    IDS_FILE,
    DamagedFileError,
    forgotten_list,
    id_hashing_record,
    known_names,
    read_forgotten,
    stored_id,
    stored_ids,
)
from features.intake.log import open_log
from features.intake.read_log import read_customer_events, read_tables
from features.keyed_hash import hash_text

KEY = "0123456789abcdef0123456789abcdef"
AT = datetime(2024, 1, 5)
WHO = [17850.0, 17850.0, 2.0, None]
SECTIONS: dict[str, Any] = {
    "customers": {"source": "people.parquet", "customer": "id", "attributes": ["plan"], "constant": ["plan"]},
    "contacts": {"source": "contacts.parquet", "customer": "id", "time": "at", "action": "what"},
    "subscriptions": {"source": "terms.parquet", "customer": "id", "start": "at"},
    "activities": {"visits": {"source": "visits.parquet", "customer": "id", "time": "at"}},
    "privacy": {"hash_ids": True},
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Five tables that name the same customers: as floats, as whole numbers, and as text."""
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    return write_tables(tmp_path)


def write_tables(folder: Path, sections: Mapping[str, Any] = SECTIONS) -> Config:
    """Writes the tables and returns their config."""
    log = pa.table({"id": WHO, "at": [AT, datetime(2024, 3, 1), AT, AT], "amount": [1.0, 2.0, 3.0, 4.0]})
    pq.write_table(log, folder / "log.parquet")
    for name, ids in (("people", [17850, 2]), ("contacts", ["17850", "2"]), ("terms", [2, 17850]), ("visits", [2, 2])):
        table = pa.table({"id": ids, "at": [AT] * 2, "what": ["mail"] * 2, "plan": ["a", "b"]})
        pq.write_table(table, folder / f"{name}.parquet")
    events = {"source": "log.parquet", "customer": "id", "time": "at", "amount": "amount"}
    return parse_config({"config_version": 1, "name": "t", "events": events, **sections}, folder / "regulars.toml")


def add_to_forgotten(config: Config, customer_id: str) -> None:
    """As `regulars forget` does."""
    config.output.mkdir(exist_ok=True)
    path, text = forgotten_list(config, customer_id)
    path.write_text(text)


def customers_by_table(config: Config, engine: Engine) -> dict[str, set[str]]:
    """The customers of each table."""
    tables = read_tables(config, engine)
    tables_by_name = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    return {
        name: set(engine.to_arrow(table.select("customer_id"))["customer_id"].to_pylist())
        for name, table in tables_by_name.items()
    }


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_all_tables_name_a_customer_alike_on_each_engine(config: Config, each_engine: Engine) -> None:
    both = {hash_text("17850", KEY.encode()), hash_text("2", KEY.encode())}
    customers = customers_by_table(config, each_engine)
    assert customers.pop("activities.visits") == {hash_text("2", KEY.encode())}
    assert set(map(frozenset, customers.values())) == {frozenset(both)}
    assert set(customers) == {"events", "customers", "contacts", "subscriptions"}
    assert stored_id(config, "17850") in both


def test_without_hashing_ids_are_as_they_were(tmp_path: Path, engine: DuckDBEngine) -> None:
    config = write_tables(tmp_path, {})
    assert customers_by_table(config, engine) == {"events": {"17850", "2"}}
    assert (stored_id(config, "2"), id_hashing_record(config), (config.output / IDS_FILE).exists()) == (
        "2",
        None,
        False,
    )


def test_a_plans_attributes_are_of_the_hashed_customers(config: Config) -> None:
    assert config.customers is not None
    with open_log(config) as log:
        plans = read_attributes(log, config.customers, AT.date(), ["plan"])
    assert dict(zip(*(plans[name].to_pylist() for name in ("customer_id", "plan")), strict=True)) == {
        stored_id(config, "17850"): "a",
        stored_id(config, "2"): "b",
    }


def test_ids_of_a_database_are_hashed_too(config: Config, tmp_path: Path, engine: DuckDBEngine) -> None:
    with closing(duckdb.connect(str(tmp_path / "shop.duckdb"))) as base:
        base.execute(f"CREATE TABLE log AS FROM '{tmp_path / 'log.parquet'}'")
    events = config.events.model_copy(update={"source": "duckdb:///shop.duckdb", "table": "log"})
    assert customers_by_table(config.model_copy(update={"events": events}), engine) == customers_by_table(
        config, engine
    )


def test_the_key_is_in_no_plan_and_no_file(config: Config, engine: DuckDBEngine, tmp_path: Path) -> None:
    engine.connection.con.execute("SET enable_logging = true")
    rows = engine.store_arrow("some", pa.table({"customer_id": ["17850"]}))
    asked = rows.mutate(known=engine.hash_texts(rows.customer_id, KEY.encode()))
    sql = engine.connection.compile(asked)
    texts = [sql, str(engine.connection.con.execute(f"EXPLAIN ANALYZE {sql}").fetchall())]
    customers_by_table(config, engine)
    texts.append(str(engine.connection.con.execute("SELECT message FROM duckdb_logs").fetchall()))
    assert "keyed_" in texts[2].casefold()
    assert KEY not in "".join(texts) and KEY.encode().hex() not in "".join(texts)
    for file in (f for f in tmp_path.rglob("*") if f.is_file()):
        assert KEY.encode() not in file.read_bytes()


def test_the_audit_names_hashed_customers_only(config: Config) -> None:
    late = pa.table({"id": [17850.0] * 40 + [99.0], "at": ["2024-01-05"] * 40 + ["soon"], "amount": [1.0] * 41})
    pq.write_table(late, config.folder / "log.parquet")
    report, target = check_log(config)
    assert report.set_aside[0]["customers"] == (stored_id(config, "99"),)
    assert '"99"' not in target.read_text() and '"17850"' not in target.read_text()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "needs a key, but the variable REGULARS_ID_KEY holds none; create one with `openssl rand"),
        (KEY[:31], "the variable REGULARS_ID_KEY holds 31 characters; expected 32 or more"),
    ],
)
def test_a_missing_or_short_key_is_one_message(
    key: str, message: str, config: Config, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", key)
    with pytest.raises(UsageError, match=message) as problem:
        read_tables(config, engine)
    assert not key or key not in str(problem.value)


def test_another_key_is_refused_by_its_check_value(
    config: Config, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_tables(config, engine)
    assert KEY not in (config.output / IDS_FILE).read_text()
    monkeypatch.setenv("REGULARS_ID_KEY", KEY[::-1])
    with pytest.raises(UsageError, match="is not the key with which .*output was made"):
        read_tables(config, engine)


def test_hashing_is_neither_begun_nor_ended_in_an_output_that_has_ids(config: Config, engine: DuckDBEngine) -> None:
    read_tables(config, engine)
    plain = config.model_copy(update={"privacy": config.privacy.model_copy(update={"hash_ids": False})})
    with pytest.raises(UsageError, match="was made with hashed ids, and .* is off"):
        read_tables(plain, engine)
    (config.output / IDS_FILE).unlink()
    (config.output / "scores" / "cutoff=2024-01-01").mkdir(parents=True)
    with pytest.raises(UsageError, match="was made with plain ids"):
        read_tables(config, engine)


def test_a_key_may_lie_in_a_file_that_nobody_else_reads(config: Config, engine: DuckDBEngine, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o640)
    privacy = config.privacy.model_copy(update={"key_file": "key"})
    with pytest.raises(UsageError, match="others can read .*key; run chmod 600"):
        read_tables(config.model_copy(update={"privacy": privacy}), engine)
    file.chmod(0o600)
    assert stored_id(config.model_copy(update={"privacy": privacy}), "2") == stored_id(config, "2")
    file.unlink()
    with pytest.raises(UsageError, match="key_file: .* cannot be read: No such file"):
        read_tables(config.model_copy(update={"privacy": privacy}), engine)


def test_a_key_in_the_config_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="key_env must be the name of an environment variable") as problem:
        write_tables(tmp_path, {"privacy": {"hash_ids": True, "key_env": "s3cret-" + KEY}})
    assert "s3cret" not in str(problem.value)


@pytest.mark.parametrize("hashes", [True, False])
def test_rows_of_the_forgotten_are_set_aside_everywhere_and_name_nobody(
    hashes: bool, config: Config, engine: DuckDBEngine
) -> None:
    config = config.model_copy(update={"privacy": config.privacy.model_copy(update={"hash_ids": hashes})})
    add_to_forgotten(config, stored_id(config, "17850"))
    tables = read_tables(config, engine)
    (gone, *_) = (aside for aside in tables.set_aside if aside.reason == "forgotten")
    assert (gone.rows, gone.customers) == (2, ())
    assert set().union(*customers_by_table(config, engine).values()) == {stored_id(config, "2")}
    listed = json.loads((config.output / FORGOTTEN_FILE).read_text())
    assert len(listed["customers"]) == 1 and "17850" not in json.dumps(listed)


def test_a_list_that_was_tampered_with_stops_everything(config: Config, engine: DuckDBEngine) -> None:
    add_to_forgotten(config, "17850")
    listed = json.loads((config.output / FORGOTTEN_FILE).read_text())
    changed = {**listed, "customers": ["0" * 32]}
    for text in ("{}", "[", json.dumps(changed), json.dumps({"salt": "a", "customers": "b"})):
        (config.output / FORGOTTEN_FILE).write_text(text)
        with pytest.raises(DamagedFileError, match="forgotten.json is not as regulars wrote it"):
            read_tables(config, engine)


def test_beside_a_damaged_list_another_one_is_kept_and_both_count(config: Config) -> None:
    add_to_forgotten(config, "17850")
    first = (config.output / FORGOTTEN_FILE).read_text()
    (config.output / FORGOTTEN_FILE).write_text(first[:40])
    add_to_forgotten(config, "2")
    with pytest.raises(DamagedFileError):
        read_forgotten(config)
    (config.output / FORGOTTEN_FILE).write_text(first)
    assert [read_forgotten(config).has(customer) for customer in ("17850", "2", "3")] == [True, True, False]


def test_every_spelling_of_an_id_is_stored_alike(config: Config, tmp_path: Path) -> None:
    plain = config.model_copy(update={"privacy": config.privacy.model_copy(update={"hash_ids": False})})
    for business in (config, plain.model_copy(update={"folder": tmp_path / "plain"})):
        assert len({stored_id(business, text) for text in ("2", " 2 ", "2.0", "\u00a02.00\u3000")}) == 1
    with pytest.raises(UsageError, match="'  ' is no customer's id: expected one as your tables have it"):
        stored_id(config, "  ")
    name = stored_id(config, "2")
    assert known_names(config, "2.0") == (name, "2") and known_names(config, name)[0] == name


def earlier_list(config: Config, *earlier_ids: str) -> None:
    """The list of forgotten customers as it was written before ids were read by one rule."""
    config.output.mkdir(exist_ok=True)
    key = KEY.encode() if config.privacy.hash_ids else b""
    stored = [hash_text(text, key) if key else text for text in earlier_ids]
    content = {"salt": "5a17", "customers": sorted(hash_text(text, b"5a17") for text in stored)}
    (config.output / FORGOTTEN_FILE).write_text(json.dumps(content))


def texts_config(folder: Path, ids: list[str], sections: Mapping[str, Any], suffix: str = "parquet") -> Config:
    """A log whose ids are text, in Parquet or CSV."""
    if suffix == "csv":
        (folder / "log.csv").write_text("id,at\n" + "".join(f"{text},2024-01-05\n" for text in ids))
    else:
        pq.write_table(pa.table({"id": ids, "at": [AT] * len(ids)}), folder / "log.parquet")
    events = {"source": f"log.{suffix}", "customer": "id", "time": "at"}
    return parse_config({"config_version": 1, "name": "t", "events": events, **sections}, folder / "regulars.toml")


@pytest.mark.parametrize("hashes", [True, False])
def test_nobody_forgotten_by_the_earlier_rule_returns(
    hashes: bool, tmp_path: Path, engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ID_KEY", KEY)
    config = texts_config(tmp_path, ["1001.0", " 7 ", "C-5", "8"], {"privacy": {"hash_ids": hashes}})
    earlier_list(config, "1001.0", " 7 ")
    assert customers_by_table(config, engine) == {"events": set(stored_ids(config, ["C-5", "8"]))}
    add_to_forgotten(config, stored_id(config, "8"))
    assert customers_by_table(config, engine) == {"events": {stored_id(config, "C-5")}}
    (only,) = read_forgotten(config).lists
    assert (len(only.customers), len(only.earlier)) == (3, 2)


def test_what_was_a_number_in_a_csv_file_stays_forgotten(tmp_path: Path, engine: DuckDBEngine) -> None:
    config = texts_config(tmp_path, ["1e5", "+7", "43"], {}, "csv")
    earlier_list(config, "100000", "7")
    assert customers_by_table(config, engine) == {"events": {"43"}}
    config = texts_config(tmp_path, ["1e5", "100000", "WEB-1"], {}, "csv")
    assert customers_by_table(config, engine) == {"events": {"1e5", "WEB-1"}}


def test_a_list_of_the_present_rule_names_one_customer_only(tmp_path: Path, engine: DuckDBEngine) -> None:
    config = texts_config(tmp_path, ["00042", "42", "43"], {}, "csv")
    add_to_forgotten(config, stored_id(config, "42.0"))
    assert customers_by_table(config, engine) == {"events": {"00042", "43"}}


def test_the_rows_of_a_customer_are_found_by_the_stored_id_and_not_if_forgotten(
    config: Config, engine: DuckDBEngine
) -> None:
    name = stored_id(config, "17850.0")
    assert engine.count_rows(read_customer_events(config, engine, [name])) == 2
    add_to_forgotten(config, name)
    assert engine.count_rows(read_customer_events(config, engine, [name])) == 0
