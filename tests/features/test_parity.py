"""Both engines agree: every feature and label of difficult logs, the audit, the commands, the leakage proof."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from features.audit import audit
from features.config.load import Config, load_config, parse_config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.intake import read_log
from features.snapshots import leakage
from features.snapshots.build import Snapshots, snapshots_from_tables
from features.snapshots.built_file import BUILD_MARKER
from features.task import Cohort, Window
from regulars import cli
from tests.contracts import make_contracts
from tests.features.snapshots.test_build import CUTOFFS, random_lines
from tests.shop import make_shop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spark"), pytest.mark.usefixtures("spark")]
Line = dict[str, Any]
TASK = {"horizon": "28d", "active_within": "400d", "windows": ["30d", "90d", "365d"], "timezone": "Australia/Adelaide"}
BLANK_IDS = {" ", "\t\n", "\u00a0"}
LAST = "2024-06-30 12:00"  # far enough behind the last cutoff for its labels to be mature


def buys(*times: str, **columns: Any) -> list[Line]:
    """Lines at times that are written as text: amounts 10, 11, ... unless given."""
    return [{"time": time, "amount": f"{10 + n}.25", "order": None, **columns} for n, time in enumerate(times)]


def each(*amounts: str) -> list[Line]:
    """A line an amount, as text."""
    return [{"time": "2024-02-09", "amount": amount, "order": None} for amount in amounts]


# The customers are the cases. Times without an offset are on London's clocks, and days begin in Adelaide; cutoffs lie
# at 2023-02-01, 2023-06-15, 2024-02-29 and 2024-05-01.
CASES: dict[str, list[Line]] = {
    "one event": buys("2023-05-20 10:00"),
    "nothing in the short windows": buys("2023-01-10 09:00", "2023-01-20 09:00", LAST),
    "on the eve and the morning of a cutoff": buys(
        "2023-06-14 23:59:59.999999", "2023-06-15 00:00", "2023-06-15T00:59:59", "2023-06-15T01:00:00", "2024-04-30"
    ),
    "ties": buys(*["2024-02-01 10:00"] * 3, "2024-02-01 10:00:00", what="a") + buys("2024-02-01 10:00", what="b"),
    "leap days": buys("2024-02-28 23:00", "2024-02-29 00:00", "2024-02-29 12:00", "2024-03-01 00:00"),
    "the hour that clocks show twice": buys("2023-10-29 00:30", "2023-10-29 01:30", "2023-10-29 02:30"),
    "the hour that clocks leave out": buys("2024-03-31 00:59", "2024-03-31 01:30", "2024-03-31 02:00"),
    "offsets": buys("2024-02-28T23:30:00-05:00", "2024-02-29T01:00:00+02", "2024-02-20T10:00:00Z", "2024/02/21 08:00"),
    "refunds only": buys("2024-01-05 10:00", "2024-02-05 10:00", amount="-7.5"),
    "free only": buys("2024-01-05 10:00", "2024-02-05 10:00", amount="0"),
    "nets to zero": buys("2024-01-05 10:00", amount="10", order="n")
    + buys("2024-01-06 10:00", amount="-10", order="n")
    + buys("2024-01-20 10:00"),
    "an order that straddles days and a cutoff": buys("2024-02-27 23:00", "2024-02-28 23:59", "2024-03-02", order="s"),
    "known late": buys("2024-02-01 10:00", known_at="2024-03-05T00:00:00Z")
    + buys("2024-02-02 10:00", known_at="2024-02-03T00:00:00Z")
    + buys("2024-02-03 10:00", known_at="soon"),
    "the same id twice": buys("2024-02-10 10:00", id="x") + buys("2024-02-10 10:00", id="x", amount="99"),
    "equal rows": buys("2024-02-11 10:00", id="y1") + buys("2024-02-11 10:00", id="y2"),
    "kinds": buys("2024-02-01", what="é 商品 ☂")
    + buys("2024-02-02", what="e\u0301 商品 ☂")
    + buys("2024-02-03", what="A")
    + buys("2024-02-04", what="a")
    + buys("2024-02-05", what=" a ")
    + buys("2024-02-06", what="")
    + buys("2024-02-07", what="'; \\n \" ` $")
    + buys("2024-02-08", what=None),
    "nulls": buys("2024-02-01", quantity=None) + buys("2024-02-02", quantity=3) + buys("2024-02-03", amount=None),
    "unreadable times": buys("2024", "2024-02-30", "10:00", "2023-02-29", "soon", "2024-02-01 24:00", "2024-02-01"),
    "unreadable amounts": each("1d", "1_000", "£5", "0x10", "1,5", "", "NaN", "-inf", "1e13", "1"),
    "amounts": each(" 5 ", "+5.", ".5", "1e2", "-1E-3", "0.00005", "-0.00005", "999999999999.9999", "1234567.89125"),
    "before 1970": buys("1969-07-20 20:17:40", "1968-02-29 00:00", "2024-02-01 00:00"),
    " ": buys("2024-02-01 10:00"),
    "\t\n": buys("2024-02-01 10:00"),
    "\u00a0": buys("2024-02-01 10:00"),
    "v": buys("2024-02-01 10:00"),
    "f": buys("2024-02-01 10:00"),
    "Ünïcode-客户": buys("2024-01-01 10:00", "2024-02-01 10:00", "2024-02-15 10:00", LAST),
}  # fmt: skip


def difficult_log() -> pa.Table:
    """All cases and fifty random customers, with columns whose names differ in case alone."""
    lines = [
        {"id": None, "what": "w", "quantity": 1, "known_at": None, **line, "customer": name}
        for name, case in CASES.items()
        for line in case
    ]
    for n, line in enumerate(random_lines(11, 50, True)):
        known = line["known_at"] and f"{line['known_at']:%Y-%m-%dT%H:%M:%SZ}"
        text = {"time": f"{line['time']:%Y-%m-%dT%H:%M:%S.%fZ}", "amount": repr(line["amount"]), "known_at": known}
        lines.append(
            {
                "customer": line["customer"],
                "order": line["order"],
                "quantity": line["quantity"],
                "what": line["kind_what"],
                "id": str(n),
                **text,
            }
        )
    kinds = {"quantity": pa.int64(), "Note": pa.int64()}
    columns = ("customer", "time", "amount", "order", "quantity", "known_at", "what", "id", "note", "Note")
    return pa.table({c: pa.array([line.get(c) for line in lines], kinds.get(c, pa.string())) for c in columns})


SIDES: dict[str, Any] = {
    "activities": {
        "visits": {"source": "visits.parquet", "customer": "who", "time": "at", "measure": "minutes", "kinds": ["page"]}
    },
    "contacts": {
        "source": "contacts.parquet",
        "customer": "who",
        "time": "at",
        "action": "action",
        "cost": "cost",
        "propensity": "share",
        "control": "none",
        "opened": "minutes",  # text, a date and a boolean: all may be the answer to a contact
        "clicked": "born",
        "converted": "member",
    },
    "subscriptions": {"source": "terms.parquet", "customer": "who", "start": "at", "end": "ends", "price": "cost"},
    "customers": {
        "source": "people.parquet",
        "customer": "who",
        "known_at": "at",
        "since": "joined",
        "attributes": ["age", "born", "town", "member"],
        "personal": ["name"],
    },
}


def write_side_tables(customers: Sequence[str], folder: Path) -> None:
    """Tables beside the events: random rows of most customers, at and around the cutoffs, with nulls and odd text."""
    rng = random.Random(5)  # noqa: S311
    rows = []
    for _ in range(400):
        at = rng.choice(CUTOFFS) - timedelta(days=rng.choice((-20, -1, 0, 1, 2, 29, 30, 31, 89, 91, 200, 370)))
        clock = rng.choice(("", "T00:00", " 23:59:59.999999", "T10:30:00Z", "T23:30:00-05:00"))
        rows.append(
            {
                "who": rng.choice([*customers, "nobody else", " "]),
                "at": rng.choice([f"{at}{clock}"] * 12 + ["soon", "2024"]),
                "ends": rng.choice([None, None, f"{at + timedelta(days=rng.choice((0, 1, 30, 400)))}"]),
                "minutes": rng.choice(["1", "2.5", " 3 ", "-1e1", "1_0", "", None, "0", "NaN"]),
                "page": rng.choice(["home", "é 商", "", None, "Home"]),
                "action": rng.choice(["none", "mail", "Mail", "call", None]),
                "cost": rng.choice(["0.5", "1", "0.00005", None]),
                "share": rng.choice([0.5, 0.25, 1.0, None]),
                "age": rng.choice([None, 18.5, 40.0, -1.0, math.nan, math.inf]),
                "born": rng.choice([None, date(1969, 2, 28), date(2000, 2, 29), date(2030, 1, 1)]),
                "joined": rng.choice([None, at, at - timedelta(days=500)]),
                "town": rng.choice([None, "Zürich", "zürich", " ", "東京", "a|b"]),
                "member": rng.choice([None, True, False]),
                "name": "secret",
            }
        )
    columns = {
        "visits": ("who", "at", "minutes", "page"),
        "contacts": ("who", "at", "action", "cost", "share", "minutes", "born", "member"),
        "terms": ("who", "at", "ends", "cost"),
        "people": ("who", "at", "joined", "age", "born", "town", "member", "name"),
    }
    for place, (name, kept) in enumerate(columns.items()):
        pq.write_table(pa.Table.from_pylist(rows[place * 100 :][:100]).select(kept), folder / f"{name}.parquet")


def difficult_config(folder: Path, kind: str, **events: Any) -> Config:
    log = {
        "source": "log.parquet",
        "timezone": "Europe/London",
        "max_unreadable": 0.5,
        "kinds": ["what"],
        **{role: role for role in ("customer", "time", "amount", "order", "quantity", "known_at", "id")},
    }
    each = {"timezone": "Europe/London", "max_unreadable": 0.5}
    tables: dict[str, Any] = {name: SIDES[name] | each for name in ("contacts", "subscriptions", "customers")}
    tables["activities"] = {"visits": SIDES["activities"]["visits"] | each}
    sections = {"events": {**log, **events}, "task": TASK, "engine": {"kind": kind, "threads": 2}, **tables}
    return parse_config({"config_version": 1, "name": "awkward", **sections}, folder / "regulars.toml")


def disagreements(one: pa.Table, other: pa.Table) -> list[str]:
    """Where two snapshots differ by more than 1e-9 (of a value, or at all), or in a null, a key or a column."""
    columns = [[(field.name, field.type) for field in t.schema] for t in (one, other)]
    if columns[0] != columns[1]:
        return [f"columns: {set(columns[0]) ^ set(columns[1])}"]
    keys = [list(zip(*(t[k].to_pylist() for k in ("cutoff", "customer_id")), strict=True)) for t in (one, other)]
    if keys[0] != keys[1]:
        return [f"customers: {sorted(set(keys[0]) ^ set(keys[1]))}"]
    differences = []
    for name in one.column_names:
        for key, a, b in zip(keys[0], one[name].to_pylist(), other[name].to_pylist(), strict=True):
            if a != b and not (
                isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
            ):
                differences.append(f"{name} of {key[1]!r} at {key[0]:%Y-%m-%d}: {a!r} and {b!r}")
    return differences


Built = tuple[read_log.Tables, Snapshots, dict[str, Any]]


def build_all(config: Config, cutoffs: Sequence[date]) -> Built:
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        tables = read_log.read_tables(config, engine)
        return (
            tables,
            snapshots_from_tables(tables, task, cutoffs, engine),
            audit.audit_tables(tables, task, engine).to_dict(),
        )


def build_lapsed(config: Config, cutoff: date) -> Snapshots:
    """Snapshots of the customers who are silent for 60 to 300 days."""
    lapsed = replace(config.task.to_task(), cohort=Cohort(Window(60))).lapsed_until(Window(300))
    with open_engine(config.engine, config.folder) as engine:
        tables = read_log.read_tables(config, engine)
        return snapshots_from_tables(audit.with_too_long_windows(tables, lapsed), lapsed, [cutoff], engine)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Snapshots and audit of the difficult log on each engine."""
    folder = write_difficult(tmp_path_factory.mktemp("awkward"))
    return {kind: build_all(difficult_config(folder, kind), CUTOFFS) for kind in ("duckdb", "spark")}


def write_difficult(folder: Path) -> Path:
    """Writes the difficult log and its side tables, and returns the folder."""
    log = difficult_log()
    pq.write_table(log, folder / "log.parquet")
    write_side_tables(sorted(set(log["customer"].to_pylist())), folder)
    return folder


def test_every_feature_and_label_is_the_same_on_both_engines(both: dict[str, Built]) -> None:
    (_, duckdb, *_), (_, spark, *_) = both.values()
    assert disagreements(duckdb.rows, spark.rows) == []
    assert duckdb.names == spark.names
    assert duckdb.rows.num_rows > 100 and set(duckdb.rows["churned"].to_pylist()) == {0, 1}
    customers = set(duckdb.rows["customer_id"].to_pylist())
    assert customers >= set(CASES) - {*BLANK_IDS, "refunds only", "free only"}
    assert BLANK_IDS & customers == set()


@pytest.mark.long
def test_lapsed_customers_are_the_same_on_both_engines(tmp_path: Path) -> None:
    folder = write_difficult(tmp_path)
    duckdb, spark = (build_lapsed(difficult_config(folder, kind), CUTOFFS[1]) for kind in ("duckdb", "spark"))
    assert disagreements(duckdb.rows, spark.rows) == []
    assert duckdb.rows.num_rows > 5 and set(duckdb.rows["churned"].to_pylist()) == {0, 1}


def test_the_audit_is_the_same_on_both_engines(both: dict[str, Built]) -> None:
    (_, _, duckdb), (_, _, spark) = both.values()
    assert {**duckdb, "fingerprint": ""} == {**spark, "fingerprint": ""}
    assert {row["reason"]: row["rows"] for row in spark["set_aside"]} == {
        "amount beyond 1e12": 1,
        "infinite amount": 1,
        "missing amount": 3,
        "missing customer": 3,
        "repeated event id": 1,
        "unreadable amount": 4,
        "unreadable known_at": 1,
        "unreadable time": 8,
    }
    assert duckdb["fingerprint"] != spark["fingerprint"]


@pytest.mark.parametrize(
    ("column", "change"), [("x", 1.0 + 2e-9), ("x", None), ("customer_id", "b"), ("cutoff", date(2024, 1, 2))]
)
def test_a_disagreement_is_found(column: str, change: object) -> None:
    row = {"customer_id": "a", "cutoff": date(2024, 1, 1), "x": 1.0}
    one, same, other = (
        pa.Table.from_pylist(
            [r], pa.schema([("customer_id", pa.string()), ("cutoff", pa.date32()), ("x", pa.float64())])
        )
        for r in (row, row | {"x": 1.0 + 1e-12}, row | {column: change})
    )
    assert disagreements(one, same) == []
    assert len(disagreements(one, other)) == 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The configs of a small shop, one an engine."""
    folder = tmp_path_factory.mktemp("small")
    make_shop(folder, customers=60)
    text = (folder / "regulars.toml").read_text()
    paths = {kind: folder / f"{kind}.toml" for kind in ("duckdb", "spark")}
    for kind, path in paths.items():
        path.write_text(f'{text}[engine]\nkind = "{kind}"\n[serving]\noutput = "out-{kind}"\n')
    return paths


@pytest.mark.long
def test_the_command_builds_the_same_rows_on_both_engines(small: dict[str, Path], tmp_path: Path) -> None:
    for kind, path in small.items():
        command = [
            "-c",
            str(path),
            "build",
            "--cutoff",
            "2023-06-01",
            "--cutoff",
            "2023-08-01",
            "--out",
            str(tmp_path / kind),
        ]
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "duckdb").is_file() and (tmp_path / "spark").is_dir()
    assert {path.suffix for path in (tmp_path / "spark").iterdir() if path.name != BUILD_MARKER} == {".parquet"}
    duckdb, spark = (
        pq.read_table(tmp_path / kind).sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])
        for kind in small
    )
    assert disagreements(duckdb, spark) == []
    assert duckdb.num_rows > 40


@pytest.mark.long
def test_check_prints_the_same_on_both_engines(small: dict[str, Path]) -> None:
    results = {kind: CliRunner().invoke(cli, ["-c", str(path), "check"]) for kind, path in small.items()}
    assert {done.exit_code for done in results.values()} == {0}
    tables = [done.output.partition("\nwritten")[0] for done in results.values()]
    assert tables[0] == tables[1]
    audits = [json.loads((path.parent / f"out-{kind}" / "audit.json").read_text()) for kind, path in small.items()]
    assert audits[0].pop("fingerprint") != audits[1].pop("fingerprint")
    assert audits[0].pop("checksum") != audits[1].pop("checksum")
    assert audits[0] == audits[1]


@pytest.mark.long
def test_spark_passes_the_leakage_proof(small: dict[str, Path]) -> None:
    trials = leakage.prove_no_leakage(load_config(small["spark"]), 1)
    assert [(trial.change, trial.leaks) for trial in trials] == [("deleted", ()), ("corrupted", ())]
    assert all(trial.changed_rows["events"] > 50 and trial.customers > 5 for trial in trials)


def test_the_fingerprint_of_a_log_depends_on_rows_not_on_their_order(
    each_engine: Engine, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    def fingerprint(rows: pa.Table) -> str:
        pq.write_table(rows, tmp_path / "log.parquet")
        return read_log.read_tables(make_config(amount="amount", kinds=["k"]), each_engine).fingerprint

    times = pa.array([date(2024, 1, 1), date(2024, 1, 2)], pa.date32())
    rows = pa.table({"customer": ["a", "b"], "time": times, "amount": [1.0, 2.0], "k": ["x", None]})
    swapped = rows.set_column(3, "k", pa.array([None, "x"], pa.string()))
    assert fingerprint(rows) == fingerprint(rows.take([1, 0]))
    assert fingerprint(rows) != fingerprint(swapped)


@pytest.mark.long
def test_contracts_are_the_same_on_both_engines(tmp_path: Path) -> None:
    config = make_contracts(tmp_path, customers=80)
    cutoffs = [date(2022, 10, 1), date(2023, 6, 1)]
    (_, duckdb, duckdb_audit), (_, spark, spark_audit) = (
        build_all(config.model_copy(update={"engine": config.engine.model_copy(update={"kind": kind})}), cutoffs)
        for kind in ("duckdb", "spark")
    )
    assert disagreements(duckdb.rows, spark.rows) == []
    assert duckdb.rows.num_rows > 60 and set(duckdb.rows["churned"].to_pylist()) == {0, 1}
    assert duckdb_audit["contracts"] == spark_audit["contracts"] and duckdb_audit["notes"] == spark_audit["notes"]
