"""The customer table: column types, rows set aside, refused tables, personal columns, and what the audit reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import audit_tables, audit_text, check_log, require_no_breach
from features.catalog import customer_attributes
from features.config.data_contract import CustomerAttribute
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.point_in_time.history import KEYS, Past, newest_rows
from features.snapshots import leakage
from features.snapshots.build import snapshots_from_tables

Make = Callable[..., Any]
CANARY = "Ms Canary Personal"
CSV = """\
id,name,plan,age,vip,birth,signup
a,Ms Canary Personal,gold,34,true,1990-02-03,2023-12-01
b,Ms Canary Personal,basic,28.5,false,1995-07-08,2023-12-02
c,Ms Canary Personal, ,,,,
,Ms Canary Personal,gold,1,true,1990-01-01,2023-01-01
"""
FACTS = ("plan", "age", "vip", "birth")


@pytest.fixture
def make(tmp_path: Path, make_config: Make) -> Callable[..., Config]:
    """From a customer table (text of a CSV, rows or a table) and keys of [customers] to a config."""

    def from_(people: Any, section: dict[str, Any] | None = None, **events: Any) -> Config:
        moments = (datetime(2024, 1, 10, 9), datetime(2024, 3, 20, 9))
        log = [{"customer": c, "time": t, "amount": 5.0} for c in "abcd" for t in moments]
        pq.write_table(pa.Table.from_pylist(log), tmp_path / "log.parquet")
        if isinstance(people, str):
            (tmp_path / "people.csv").write_text(people, encoding="utf-8")
        else:
            table = people if isinstance(people, pa.Table) else pa.Table.from_pylist(people)
            pq.write_table(table, tmp_path / "people.parquet")
        source = "people.csv" if isinstance(people, str) else "people.parquet"
        keys = {"source": source, "customer": "id", "max_unreadable": 0.5, **(section or {})}
        small = {"horizon": "14d", "every": "7d", "windows": ["30d"]}
        return make_config({"customers": keys, "task": small}, amount="amount", **events)

    return from_


def _rows(tables: Tables, engine: DuckDBEngine) -> dict[str, dict[str, Any]]:
    rows = engine.to_arrow(tables.sides["customers"].rows).to_pylist()
    return {row["customer_id"]: {n.removeprefix("attribute:"): v for n, v in row.items()} for row in rows}


def test_columns_of_a_csv_become_numbers_dates_and_levels(make: Make, engine: DuckDBEngine) -> None:
    tables = read_tables(make(CSV, {"attributes": FACTS, "constant": FACTS, "since": "signup"}), engine)
    assert tables.contract.attributes == (
        CustomerAttribute("plan", "level", constant=True),
        CustomerAttribute("age", "number", constant=True),
        CustomerAttribute("vip", "level", constant=True),
        CustomerAttribute("birth", "date", constant=True),
    )
    rows = _rows(tables, engine)
    columns = ("plan", "age", "vip", "birth", "since")
    assert [rows["a"][n] for n in columns] == ["gold", 34.0, "yes", date(1990, 2, 3), date(2023, 12, 1)]
    assert [rows["b"][n] for n in columns] == ["basic", 28.5, "no", date(1995, 7, 8), date(2023, 12, 2)]
    assert [rows["c"][n] for n in columns] == [None] * 5
    assert {row["seen"] for row in rows.values()} == {date(1900, 1, 1)}
    assert [(a.reason, a.rows) for a in tables.sides["customers"].set_aside] == [("missing customer", 1)]


def test_columns_of_parquet_keep_their_types(make: Make, engine: DuckDBEngine) -> None:
    people = pa.table(
        {
            "id": pa.array([7.0, 8.0]),
            "integer": pa.array([1, None], pa.int32()),
            "money": pa.array([Decimal("1.50"), Decimal("2.25")]),
            "real": pa.array([float("nan"), float("inf")]),
            "moment": pa.array([datetime(2024, 1, 1, 23), None], pa.timestamp("us", "UTC")),
            "words": pa.array(["2024", "gold"]).dictionary_encode(),
        }
    )
    names = [name for name in people.column_names if name != "id"]
    tables = read_tables(make(people, {"attributes": names, "constant": names}), engine)
    assert [a.value_type for a in tables.contract.attributes] == ["number", "number", "number", "date", "level"]
    rows = _rows(tables, engine)
    assert [rows["7"][n] for n in names] == [1.0, 1.5, None, date(2024, 1, 1), "2024"]
    assert [rows["8"][n] for n in names] == [None, 2.25, None, None, "gold"]


def test_a_column_that_is_none_of_these_is_refused(make: Make, engine: DuckDBEngine) -> None:
    people = pa.table({"id": ["a"], "tags": pa.array([["x"]])})
    with pytest.raises(UsageError, match=r"column 'tags' holds array<string>; expected numbers"):
        read_tables(make(people, {"attributes": ["tags"], "constant": ["tags"]}), engine)


def test_text_in_another_layout_is_read_by_time_format(make: Make, engine: DuckDBEngine) -> None:
    people = [{"id": "a", "birth": "03/02/1990", "signup": "31/12/2023"}, {"id": "b", "birth": "?", "signup": ""}]
    keys = {"attributes": ["birth"], "constant": ["birth"], "since": "signup", "time_format": "%d/%m/%Y"}
    rows = _rows(read_tables(make(people, keys), engine), engine)
    assert (rows["a"]["birth"], rows["a"]["since"]) == (date(1990, 2, 3), date(2023, 12, 31))
    assert (rows["b"]["birth"], rows["b"]["since"]) == (None, None)


def test_without_known_at_only_what_never_changes_is_used_and_the_rest_is_told(
    make: Make, engine: DuckDBEngine, make_task: Make
) -> None:
    config = make(CSV, {"attributes": ["age", "plan", "birth"], "constant": ["birth"]})
    tables = read_tables(config, engine)
    assert [a.name for a in tables.contract.attributes] == ["birth"]
    assert set(_rows(tables, engine)["a"]) == {"customer_id", "day", "seen", "time", "since", "birth"}
    names = snapshots_from_tables(tables, make_task(), [date(2024, 2, 1)], engine, with_labels=False).names
    assert "birth" in names and not {"age", "plan", "signup_age_days"} & set(names)
    line = (
        "as of today: age, plan (no known_at, so their values at past cutoffs are unknown): left out; "
        "name them in [customers] constant if they never change"
    )
    report, written = check_log(config)
    assert f"note: {line}" in audit_text(report).splitlines()
    assert line in json.loads(written.read_text())["notes"]


def test_with_known_at_nothing_is_left_out(make: Make, engine: DuckDBEngine, make_task: Make) -> None:
    people = [{"id": "a", "plan": p, "at": datetime(2024, 1, d)} for p, d in (("gold", 1), ("basic", 5))]
    tables = read_tables(make(people, {"attributes": ["plan"], "known_at": "at"}), engine)
    assert [a.name for a in tables.contract.attributes] == ["plan"]
    report = audit_tables(tables, make_task(14, every=7), engine)
    assert not [text for text in (*report.notes, *report.breaches) if "today" in text or "customers]" in text]


def test_the_audit_counts_rows_and_who_is_missing(make: Make, engine: DuckDBEngine) -> None:
    people = CSV + "z,nobody who buys,gold,1,true,2000-01-01,2020-01-01\na," + CSV.splitlines()[1][2:] + "\n"
    report, written = check_log(make(people, {"attributes": FACTS, "constant": FACTS}))
    facts = json.loads(written.read_text())["customer_table"]
    assert {key: value for key, value in facts.items() if key not in ("attributes", "set_aside")} == {
        "rows_read": 6,
        "rows": 4,
        "customers": 4,
        "without_row": 1,
        "without_events": 1,
        "strangers": ["z"],
        "known_customer": "a",
        "as_of_today": [],
    }
    assert facts["set_aside"] == [{"reason": "missing customer", "rows": 1, "customers": []}]
    assert facts["attributes"][0] == {"name": "plan", "sort": "level", "levels": 2}
    lines = audit_text(report).splitlines()
    assert "customer table 4 usable of 6 read, 4 customers" in lines
    assert f"{'':<15}1 customers of the log have no row in it, 1 of its customers no event" in lines
    assert f"{'':<15}set aside, missing customer: 1" in lines
    assert f"{'':<15}attributes: plan (level, 2 levels), age (number), vip (level, 2 levels), birth (date)" in lines


def test_a_log_without_a_customer_table_is_audited_as_before(make_config: Make, make: Make) -> None:
    config = make(CSV).model_copy(update={"customers": None})
    report, _ = check_log(config)
    assert report.customer_table is None
    assert "customer table" not in audit_text(report)


def test_several_rows_a_customer_without_known_at_are_a_breach(
    make: Make, engine: DuckDBEngine, make_task: Make
) -> None:
    people = [{"id": c, "plan": p} for c, p in (("a", "x"), ("a", "y"), ("b", "x"), ("b", "x"), ("c", "x"))]
    tables = read_tables(make(people, {"attributes": ["plan"], "constant": ["plan"]}), engine)
    with pytest.raises(DataError, match=r"2 rows for 1 customers \(such as 'a'\) that differ.*known_at"):
        require_no_breach(tables, make_task(14, every=7), engine)
    (breach,) = audit_tables(tables, make_task(14, every=7), engine).breaches
    assert "'b'" not in breach


def test_unreadable_times_set_a_row_aside_and_too_many_refuse_the_table(make: Make, engine: DuckDBEngine) -> None:
    people = [{"id": str(i), "plan": "x", "at": "2024-01-01", "joined": "2024-01-01"} for i in range(10)]
    people[0] |= {"at": None}
    people[1] |= {"at": "soon"}
    people[2] |= {"joined": "once"}
    keys = {"attributes": ["plan"], "known_at": "at", "since": "joined"}
    aside = read_tables(make(people, {**keys, "max_unreadable": 0.2}), engine).sides["customers"].set_aside
    assert {(a.reason, a.rows, a.customers) for a in aside} == {
        ("missing known_at", 1, ("0",)),
        ("unreadable known_at", 1, ("1",)),
        ("unreadable since", 1, ("2",)),
    }
    with pytest.raises(DataError, match=r"1 of 10 rows have no usable since in column 'joined'.*now 0.05"):
        read_tables(make(people, {**keys, "max_unreadable": 0.05}), engine)


def test_times_of_mixed_zones_are_refused(make: Make, engine: DuckDBEngine) -> None:
    people = [{"id": "a", "at": "2024-01-01 10:00:00+02:00"}, {"id": "b", "at": "2024-01-01 10:00:00"}]
    with pytest.raises(DataError, match=r"\[customers\] known_at: column 'at' mixes 1 times with an offset"):
        read_tables(make(people, {"known_at": "at"}), engine)


def test_an_empty_table_is_refused(make: Make, engine: DuckDBEngine) -> None:
    with pytest.raises(DataError, match="no rows; expected one row a customer"):
        read_tables(make("id,plan\n"), engine)


@pytest.mark.parametrize("name", ["value", "Cutoff", "customer id", "churned", "base", "total"])
def test_names_of_other_columns_are_refused(name: str, make: Make, engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=rf"no feature can be called .*{name!r} another name"):
        read_tables(make([{"id": "a", name: 1}], {"attributes": [name], "constant": [name]}), engine)


def test_columns_that_are_not_there_are_named(make: Make, engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=r"\[customers\] attributes \(plam\).*did you mean 'plan'"):
        read_tables(make(CSV, {"attributes": ["plam"]}), engine)
    with pytest.raises(
        UsageError, match=r"\[customers\] personal: the source has no column 'names'; did you mean 'name'"
    ):
        read_tables(make(CSV, {"personal": ["names"]}), engine)


@pytest.mark.parametrize("role", ["customer", "known_at", "since"])
def test_a_personal_column_cannot_play_a_role(role: str, make: Make) -> None:
    with pytest.raises(UsageError, match="signup is personal and cannot be used as well"):
        make(CSV, {role: "signup", "personal": ["signup"]})


def test_what_is_personal_is_in_no_table_and_in_nothing_written(
    make: Make, engine: DuckDBEngine, make_task: Make
) -> None:
    """Not even the copies that the engine keeps of lines with a stray comma."""
    people = CSV + f"d,{CANARY},gold,1,true,1990-01-01,2023-01-01,{CANARY},{CANARY}\n"
    query = "SELECT *, upper(plan) AS shouted FROM source"
    keys = {"attributes": [*FACTS, "shouted"], "constant": [*FACTS, "shouted"], "personal": ["name"], "query": query}
    config = make(people, keys)
    tables = read_tables(config, engine)
    assert ("malformed line", 1) in [(a.reason, a.rows) for a in tables.sides["customers"].set_aside]
    snapshots = snapshots_from_tables(tables, make_task(), [date(2024, 2, 1)], engine, with_labels=False)
    report, written = check_log(config)
    outputs = [snapshots.rows.to_pylist(), audit_text(report), written.read_text()]
    stored = engine.connection.con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    assert "customers" in {name for (name,) in stored}
    outputs += [engine.connection.con.table(name).fetchall() for (name,) in stored if '"' not in name]
    assert "GOLD" in str(outputs)
    assert "Canary" not in str(outputs)


def test_a_query_cannot_read_what_is_personal(make: Make, engine: DuckDBEngine) -> None:
    with pytest.raises(UsageError, match=r"\[customers\] query"):
        read_tables(make(CSV, {"query": "SELECT *, name AS plan2 FROM source", "personal": ["name"]}), engine)


def test_both_queries_read_their_own_source(make: Make, engine: DuckDBEngine, make_task: Make) -> None:
    keys = {
        "attributes": ["plan"],
        "constant": ["plan"],
        "query": "SELECT * FROM source WHERE id <> 'b' -- and no more",
    }
    tables = read_tables(make(CSV, keys, query="SELECT * FROM source WHERE customer <> 'a'"), engine)
    assert set(_rows(tables, engine)) == {"a", "c"}
    assert tables.customers == 3
    assert audit_tables(tables, make_task(14, every=7), engine).rows_read == 6


def test_the_fingerprint_sees_the_customers(make: Make, engine: DuckDBEngine) -> None:
    def fingerprint(people: str) -> str:
        return read_tables(make(people, {"attributes": ["plan"], "constant": ["plan"]}), engine).fingerprint

    assert fingerprint(CSV) == fingerprint(CSV.replace("34", "35"))
    assert fingerprint(CSV) != fingerprint(CSV.replace("a,Ms Canary Personal,gold", "a,Ms Canary Personal,silver"))


def test_the_proof_finds_no_leak_in_versions_and_one_where_they_are_read_too_early(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = [datetime(2024, 1, 5), datetime(2024, 2, 10), datetime(2024, 2, 20, 12)]
    people = [{"id": c, "plan": f"{c}{i}", "at": t, "on": t.date()} for c in "abc" for i, t in enumerate(at)]
    config = make(people, {"attributes": ["plan"], "known_at": "at", "since": "on"})
    assert [trial.leaks for trial in leakage.prove_no_leakage(config, 3)] == [()] * 6

    def too_early(past: Past) -> ibis.Table:
        rows = past.tables.sides["customers"].rows
        aged = rows.cross_join(past.moments).mutate(age=ibis.literal(0, "int64"))
        return newest_rows(aged, rows.columns).select(
            *KEYS, **{"attribute:plan": ibis._["attribute:plan"], "signup:age": 9}
        )

    monkeypatch.setattr(customer_attributes, "attribute_measures", too_early)
    assert any("plan" in dict(trial.leaks) for trial in leakage.prove_no_leakage(config, 3))


def test_text_is_a_number_if_it_has_gaps_or_decimals_and_a_code_otherwise(make: Make, engine: DuckDBEngine) -> None:
    names = ("charges", "price", "share", "code", "zip", "grade", "born")
    people = pa.table(
        {
            "id": list("abcd"),
            "charges": ["29.5", " ", "36", "n/a"],
            "price": ["1.234,50", "12,00", "7", "8"],
            "share": ["45%", "10%", "0.5 %", None],
            "code": ["1", "2", "3", "4"],
            "zip": ["01234", "56789", " ", "11111"],
            "grade": ["a", "b", "", "2"],
            "born": ["31/12/1955", "01/02/1960", "", "05/06/2000"],
        }
    )
    tables = read_tables(make(people, {"attributes": names, "constant": names}), engine)
    types = {attribute.name: attribute.value_type for attribute in tables.contract.attributes}
    assert types == {**dict.fromkeys(("charges", "price", "share"), "number"), "code": "level", "zip": "level"} | {
        "grade": "level",
        "born": "date",
    }
    rows = _rows(tables, engine)
    assert [rows["a"][name] for name in ("charges", "price", "share", "zip")] == [29.5, 1234.5, 0.45, "01234"]
    assert [rows["b"][name] for name in ("charges", "born")] == [None, date(1960, 2, 1)]


def test_values_that_an_attribute_loses_are_counted_and_the_rows_stay(make: Make, engine: DuckDBEngine) -> None:
    people = [{"id": str(n), "charges": "many" if n == 3 else f"{n}.5", "born": "1990-01-01"} for n in range(9)]
    people.append({"id": "9", "charges": "1.5", "born": "9999-12-31"})
    keys = {"attributes": ["charges", "born"], "constant": ["charges", "born"], "max_unreadable": 0.1}
    side = read_tables(make(people, keys), engine).sides["customers"]
    assert {aside.reason: aside.rows for aside in side.set_aside} == {
        "unreadable charges (left empty, the row is kept)": 1,
        "unreadable born (left empty, the row is kept)": 1,
    }
    assert engine.count_rows(side.rows) == 10
