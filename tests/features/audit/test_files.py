"""What `check` says of files: each is counted by itself, and those with much set aside are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.audit.audit import Audit, audit_text, check_log
from features.config.load import Config
from features.errors import DataError

HEADER = "customer,time,amount\n"
Check = Callable[..., Audit]


def rows(first: int, count: int = 100, month: str = "01") -> str:
    """Lines of orders, of as many customers."""
    return "".join(f"c{n},2024-{month}-{n % 28 + 1:02d},{n + 1}\n" for n in range(first, first + count))


@pytest.fixture
def check(tmp_path: Path, make_config: Callable[..., Config]) -> Check:
    """From the contents of files in `in/`, and sections of the config, to the audit."""

    def call(files: Mapping[str, str], sections: Mapping[str, Any] | None = None, **events: Any) -> Audit:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name, content in files.items():
            (tmp_path / "in" / name).write_text(content)
        base = {"task": {"horizon": "14d", "windows": ["14d"]}, **(sections or {})}
        return check_log(make_config(base, **{"source": "in", "amount": "amount", **events}))[0]

    return call


def test_a_file_with_much_set_aside_is_named_though_the_limit_is_kept(check: Check, tmp_path: Path) -> None:
    days_first = "".join(f"c{n},{n + 1:02d}.01.2024,5\n" for n in range(20))
    report = check({"jan.csv": HEADER + rows(0, 500), "feb.csv": HEADER + rows(0, 80, "02") + days_first})
    (note,) = [note for note in report.notes if "set aside" in note]
    assert note == "[events] more than 3% of the rows were set aside from in/feb.csv (20 of 100: unreadable time 20)"
    (facts,) = report.files
    assert (facts["files"], facts["rows"], facts["named"][0]["reasons"]) == (2, 600, {"unreadable time": 20})
    assert json.loads((tmp_path / "output" / "audit.json").read_text())["files"][0]["named"][0]["file"] == "in/feb.csv"


def test_what_the_limit_is_for_each_file_is_a_key(check: Check) -> None:
    files = {"a.csv": HEADER + rows(0) + "c,2024-01-01\n", "b.csv": HEADER + rows(0)}
    assert not [note for note in check(files).notes if "set aside" in note]
    report = check(files, max_unreadable_per_file=0)
    assert "[events] more than 0% of the rows were set aside from in/a.csv (1 of 101: malformed line 1)" in report.notes
    assert "files          [events] in: 2 files, 200 rows; malformed: in/a.csv (1 of 101, line 102)" in audit_text(
        report
    )


def test_a_query_keeps_the_file_of_a_row_or_it_is_unknown(check: Check) -> None:
    bad = "".join(f"c{n},nonsense,5\n" for n in range(10))
    files = {"a.csv": HEADER + rows(0, 300), "b.csv": HEADER + rows(0, 90) + bad}
    report = check(files, query="SELECT *, amount * 2 AS twice FROM source")
    assert any("in/b.csv (10 of 100: unreadable time 10)" in note for note in report.notes)
    for query in ("SELECT customer, time, amount FROM source", "FROM source UNION ALL SELECT 'x', '2024-01-01', 1"):
        assert not any("set aside from" in note for note in check(files, query=query).notes)


def test_every_section_has_its_files(check: Check, tmp_path: Path) -> None:
    for name in ("calls", "people", "terms", "mails"):
        (tmp_path / name).mkdir()
    (tmp_path / "calls" / "a.csv").write_text(
        "Calls of January\n\nwho;when\n" + "c1;2024-01-05\n" * 40 + "c1;2024-01-05;x\n"
    )
    (tmp_path / "calls" / "b.csv").write_text("")
    (tmp_path / "people" / "a.csv").write_text("id,town,\n" + "".join(f"c{n},Bath,\n" for n in range(50)) + ",,\n")
    (tmp_path / "people" / "more.xlsx").write_bytes(b"PK")
    (tmp_path / "terms" / "a.csv").write_text("who,start\n" + "c1,2024-01-05\n" * 30 + "c1\n")
    (tmp_path / "mails" / "a.csv").write_text("who,when,what\n" + "c1,2024-01-05,call\n" * 30)
    sections = {
        "activities": {"phone calls": {"source": "calls", "customer": "who", "time": "when"}},
        "customers": {"source": "people", "customer": "id", "attributes": ["town"], "constant": ["town"]},
        "contacts": {"source": "mails", "customer": "who", "time": "when", "action": "what"},
        "subscriptions": {"source": "terms", "customer": "who", "start": "start"},
    }
    report = check({"a.csv": HEADER + rows(0)}, sections)
    facts = {table["section"]: table for table in report.files}
    assert list(facts) == ["events", "activities.phone calls", "contacts", "subscriptions", "customers"]
    assert facts["activities.phone calls"]["malformed_in"] == "calls/a.csv (1 of 41, line 44)"
    assert (facts["subscriptions"]["malformed"], facts["customers"]["empty_rows"]) == (1, 1)
    text = audit_text(report)
    for line in (
        "note: [activities.phone calls] calls/b.csv is empty and not read",
        "note: [activities.phone calls] 1 line above the header left out: calls/a.csv",
        "note: [customers] more.xlsx in people: not read, since it is neither CSV nor Parquet",
        "note: [subscriptions] more than 3% of the rows were set aside from terms/a.csv (1 of 31: malformed line 1)",
        "[customers] people: 1 file, 50 rows; 1 empty rows and 1 empty columns ignored",
    ):
        assert line in text


def test_too_many_malformed_lines_are_refused_with_their_files(check: Check) -> None:
    with pytest.raises(
        DataError, match=r"in: 9 of 109 lines do not .*: in/b.csv \(9 of 9, the first is line 2\); repair"
    ):
        check({"a.csv": HEADER + rows(0), "b.csv": HEADER + "c1,2024\n" * 9})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_without_a_named_column_is_refused_unless_a_query_allows_it(
    suffix: str, check: Check, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name, columns in (("a", ("customer", "time", "amount")), ("b", ("customer", "time"))):
        table = pa.table(
            {"customer": ["x"] * 60, "time": [f"2024-{n % 6 + 1:02d}-05" for n in range(60)], "amount": [5] * 60}
        )
        if suffix == "parquet":
            pq.write_table(table.select(columns), tmp_path / "in" / f"{name}.parquet")
        else:
            table.select(columns).to_pandas().to_csv(tmp_path / "in" / f"{name}.csv", index=False)
    with pytest.raises(
        DataError, match=rf"in: in/b.{suffix} of 2 files: no column 'amount' \(\[events\] amount\), which"
    ):
        check({})
    report = check({}, query="SELECT * FROM source", max_unreadable=0.5)
    assert f"[events] 'in/b.{suffix}' of 2 files: no column 'amount', so it is null in their rows" in report.notes


def test_a_database_has_no_files(check: Check, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as base:
        days = (
            "SELECT 'c' || i % 9 AS customer, DATE '2024-01-01' + i::INT AS time, 1 AS amount FROM range(60) AS t (i)"
        )
        base.execute(f"CREATE TABLE log AS {days}")
    assert check({}, source="duckdb:///shop.duckdb", table="log").files == ()
