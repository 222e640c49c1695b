"""The tables beside the events: rows read and set aside, every feature against the oracle, and no look-ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.read_log import read_tables
from features.intake.side_tables import is_yes
from features.intake.tables import Tables
from features.money import TICKS
from features.snapshots import build
from features.snapshots.leakage import change_tables, count_later_rows, delete_after
from features.task import Task
from tests.features import beside, oracle, oracle_sides
from tests.features.snapshots.test_build import ACTIVE, ALL, CUTOFFS, HORIZON, WINDOWS, close, random_lines, table

Sides = Mapping[str, Sequence[Mapping[str, Any]]]
Make = Callable[..., Any]
KINDS = {"what": "what", "where_id": "Where Id"}
PREFIXES = ("visits_", "tickets_", "contacts_", "subscription_")
moment = datetime.fromisoformat


@pytest.fixture
def task(make_task: Callable[..., Task]) -> Task:
    return make_task(horizon=HORIZON, active=ACTIVE, windows=WINDOWS)


@pytest.fixture
def make_config_beside(tmp_path: Path, make_config: Callable[..., Config]) -> Callable[..., Config]:
    """From lines of events, rows of the tables beside them and sections to files and a config."""

    def make(lines: Sequence[Any], sides: Sides, sections: Mapping[str, Any] = beside.SECTIONS) -> Config:
        return beside.config(make_config, tmp_path, table(list(lines), ALL), sides, sections)

    return make


@pytest.fixture
def log() -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """A random log with everything beside it."""
    return random_log(1, 60)


def random_log(seed: int, customers: int) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    lines = random_lines(seed, customers, True)
    times: dict[str, list[datetime]] = {}
    for line in lines:
        times.setdefault(line["customer"], []).append(line["time"])
    return lines, beside.random_rows(seed, sorted(times)[::2], CUTOFFS, times)


def expected(lines: Sequence[Any], sides: Sides, customer: str, cutoff: date) -> dict[str, Any]:
    """All features of the tables beside the events, by the oracle."""
    setting, lines = oracle.Setting(WINDOWS, HORIZON, ACTIVE, has_quantity=True), oracle.with_uses(lines)
    own = {name: oracle_sides.visible(rows, customer, cutoff) for name, rows in sides.items()}
    member_for = oracle_sides.tenure(lines, customer, cutoff, setting)
    bought = oracle_sides.visible(lines, customer, cutoff)
    return {
        **oracle_sides.activity(own["visits"], "visits", cutoff, WINDOWS, member_for, True, KINDS),
        **oracle_sides.activity(own["tickets"], "tickets", cutoff, WINDOWS, member_for, False, {}),
        **oracle_sides.contacts(own["contacts"], bought, cutoff, setting, member_for, "none"),
        **oracle_sides.subscriptions(own["subscriptions"], cutoff, True, True),
    }


# Against the oracle


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_every_feature_agrees_with_the_oracle(
    seed: int, make_config_beside: Callable[..., Config], engine: DuckDBEngine, task: Task
) -> None:
    lines, sides = random_log(seed, 100)
    built = build.snapshots_from_tables(
        read_tables(make_config_beside(lines, sides), engine), task, CUTOFFS, engine, with_labels=False
    )
    names = {name for name in built.names if name.startswith(PREFIXES)}
    rows = built.rows.to_pylist()
    assert len(rows) > 100
    seen: dict[str, set[Any]] = {name: set() for name in names}
    for row in rows:
        values = expected(lines, sides, row["customer_id"], row["cutoff"].date())
        assert set(values) == names
        for name, value in values.items():
            wanted = value if isinstance(value, str) else close(value)
            assert row[name] == wanted, f"{name} of {row['customer_id']} at {row['cutoff']}"
            seen[name].add(value)
    assert {name for name, values in seen.items() if len(values) < 2} == set()  # no feature is idle


def test_a_log_without_rows_beside_it_has_zeros_and_nulls(
    make_config_beside: Callable[..., Config], engine: DuckDBEngine, task: Task
) -> None:
    lines = random_lines(4, 5, True)
    built = build.snapshots_from_tables(read_tables(make_config_beside(lines, {}), engine), task, CUTOFFS[1:2], engine)
    for row in built.rows.to_pylist():
        values = expected(lines, {name: [] for name in beside.SCHEMAS}, row["customer_id"], CUTOFFS[1])
        assert {name: row[name] for name in values} == values


# What is read


@pytest.fixture
def read(make_config_beside: Callable[..., Config], engine: DuckDBEngine) -> Callable[..., Tables]:
    """From rows of one table, and changes to its section, to the tables."""

    def make(name: str, rows: Sequence[Any], **keys: Any) -> Tables:
        section = {**(beside.SECTIONS["activities"] | beside.SECTIONS)[name], **keys}
        sections = {name: section} if name in beside.SECTIONS else {"activities": {name: section}}
        return read_tables(make_config_beside(random_lines(1, 3, True), {name: rows}, sections), engine)

    return make


def rows_of(tables: Tables, key: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = tables.sides[key].rows.to_pyarrow().to_pylist()
    return sorted((tuple(row[c] for c in columns) for row in rows), key=str)


def aside(tables: Tables, key: str) -> dict[str, int]:
    return {rejected.reason: rejected.rows for rejected in tables.sides[key].set_aside}


def test_an_activity_in_the_types_of_the_contract(read: Make) -> None:
    row = {"customer": "a", "time": moment("2024-01-01T23:30:00+00:00"), "measure": 1.25, "what": "é 商"}
    tables = read("visits", [row, {**row, "known_at": moment("2024-01-03T00:00:00+00:00"), "measure": None}])
    assert set(tables.sides) == {"activities.visits"}
    assert rows_of(tables, "activities.visits", "customer_id", "day", "seen", "measure", "kind_what") == [
        ("a", date(2024, 1, 1), date(2024, 1, 1), 12_500, "é 商"),
        ("a", date(2024, 1, 1), date(2024, 1, 3), None, "é 商"),
    ]
    assert (tables.sides["activities.visits"].rows_read, aside(tables, "activities.visits")) == (2, {})


def test_a_contact_in_the_types_of_the_contract(read: Make) -> None:
    at = moment("2024-01-01T10:00:00+00:00")
    rows = [
        {"customer": "a", "time": at, "action": "email", "cost": 0.15, "propensity": 0.5},
        {"customer": "b", "time": at, "action": "none"},
    ]
    columns = ("customer_id", "seen", "action", "held_out", "cost", "propensity")
    assert rows_of(read("contacts", rows), "contacts", *columns) == [
        ("a", date(2024, 1, 1), "email", False, 1_500, 0.5),
        ("b", date(2024, 1, 1), "none", True, None, None),
    ]
    without = read("contacts", rows, control="")
    assert rows_of(without, "contacts", "customer_id", "held_out") == [("a", False), ("b", False)]
    assert not without.contract.has_control


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("boolean", [True, False, None], [True, False, False]),
        ("int64", [2, 0, None], [True, False, False]),
        ("float64", [1.0, 0.0, math.nan, None], [True, False, False, False]),
        ("string", ["yes", " No ", "2024-01-05 10:00", "0", "FALSE", None], [True, False, True, False, False, False]),
        ("timestamp", [datetime(2024, 1, 5), None], [True, False]),  # noqa: DTZ001
    ],
)
def test_what_counts_as_a_yes(kind: str, values: list[Any], expected: list[bool], engine: DuckDBEngine) -> None:
    arrow = {"boolean": "bool_", "timestamp": "timestamp"}.get(kind, kind)
    column = pa.array(values, pa.timestamp("us") if kind == "timestamp" else getattr(pa, arrow)())
    rows = engine.store_arrow("answers", pa.table({"place": range(len(values)), "answer": column}))
    answers = rows.select("place", yes=is_yes(rows.answer)).order_by("place")
    assert engine.to_arrow(answers)["yes"].to_pylist() == expected


def test_answers_are_read_where_the_config_names_them(read: Make) -> None:
    at = moment("2024-01-01T10:00:00+00:00")
    rows = [
        {"customer": "a", "time": at, "action": "email", "cost": 0.5, "propensity": 0.5},
        {"customer": "b", "time": at, "action": "email", "cost": 0.0},
    ]
    tables = read("contacts", rows, opened="cost", clicked="propensity")
    assert rows_of(tables, "contacts", "customer_id", "opened", "clicked") == [("a", True, True), ("b", False, False)]
    assert "converted" not in tables.sides["contacts"].rows.columns


def test_a_term_is_seen_at_its_start_and_again_at_its_end(read: Make) -> None:
    rows = [
        {"customer": "a", "time": moment("2024-01-01T00:00:00+00:00"), "end": moment("2024-02-01T00:00:00+00:00")},
        {"customer": "a", "time": moment("2024-02-01T00:00:00+00:00"), "price": 9.99},
        {
            "customer": "b",
            "time": moment("2024-01-01T00:00:00+00:00"),
            "end": moment("2024-01-05T00:00:00+00:00"),
            "known_at": moment("2024-03-01T00:00:00+00:00"),
        },
    ]
    columns = ("customer_id", "term", "part", "day", "seen", "price")
    assert rows_of(read("subscriptions", rows), "subscriptions", *columns) == [
        ("a", 0, "end", date(2024, 2, 1), date(2024, 2, 1), None),
        ("a", 0, "start", date(2024, 1, 1), date(2024, 1, 1), None),
        ("a", 1, "start", date(2024, 2, 1), date(2024, 2, 1), 99_900),
        ("b", 0, "end", date(2024, 1, 5), date(2024, 3, 1), None),
        ("b", 0, "start", date(2024, 1, 1), date(2024, 3, 1), None),
    ]


GOOD = {
    "visits": {"customer": "a", "time": moment("2024-01-01T10:00:00+00:00"), "measure": 1.0},
    "contacts": {"customer": "a", "time": moment("2024-01-01T10:00:00+00:00"), "action": "email"},
    "subscriptions": {"customer": "a", "time": moment("2024-01-02T10:00:00+00:00")},
}


@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("visits", {"customer": None}, "missing customer"),
        ("visits", {"customer": "  "}, "missing customer"),
        ("visits", {"time": None}, "missing time"),
        ("visits", {"measure": float("inf")}, "infinite measure"),
        ("visits", {"measure": -2e12}, "measure beyond 1e12"),
        ("contacts", {"action": None}, "missing action"),
        ("contacts", {"action": " "}, "missing action"),
        ("contacts", {"cost": float("-inf")}, "infinite cost"),
        ("contacts", {"propensity": 0.0}, "impossible propensity"),
        ("contacts", {"propensity": 1.01}, "impossible propensity"),
        ("subscriptions", {"time": None}, "missing start"),
        ("subscriptions", {"end": moment("2024-01-01T10:00:00+00:00")}, "impossible end"),
        ("subscriptions", {"price": 2e12}, "price beyond 1e12"),
    ],
)
def test_rows_that_cannot_be_used_are_set_aside_and_counted(
    name: str, wrong: dict[str, Any], reason: str, read: Make
) -> None:
    key = f"activities.{name}" if name == "visits" else name
    tables = read(name, [GOOD[name]] * 4 + [GOOD[name] | {"customer": "z"} | wrong], max_unreadable=0.2)
    (rejected,) = tables.sides[key].set_aside
    assert (rejected.reason, rejected.rows) == (reason, 1)
    assert rejected.customers == (() if reason == "missing customer" else ("z",))
    assert tables.sides[key].rows_read == 5
    assert len(rows_of(tables, key, "customer_id")) == 4


def test_a_missing_number_is_no_reason_to_set_a_row_aside(read: Make) -> None:
    nan = float("nan")
    tables = read("visits", [GOOD["visits"] | {"measure": value} for value in (None, nan, 2.0)])
    assert rows_of(tables, "activities.visits", "measure") == [(2 * TICKS,), (None,), (None,)]
    assert rows_of(read("contacts", [GOOD["contacts"] | {"cost": nan, "propensity": nan}]), "contacts", "cost") == [
        (None,)
    ]


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("visits", {"time": None}, (r"2 of 3 rows have no usable time", r"\[activities.visits\] time_format")),
        ("visits", {"measure": float("inf")}, (r"no usable measure in column 'measure'", "compute a number from them")),
        ("contacts", {"propensity": 3.0}, (r"no usable propensity", r"\[contacts\] max_unreadable")),
        ("subscriptions", {"end": moment("2023-01-01T10:00:00+00:00")}, (r"no usable end", r"\[subscriptions\]")),
    ],
)
def test_too_many_unusable_rows_are_refused(name: str, wrong: dict[str, Any], words: Sequence[str], read: Make) -> None:
    for word in words:
        with pytest.raises(DataError, match=word):
            read(name, [GOOD[name], GOOD[name] | wrong, GOOD[name] | wrong])


def test_a_table_of_which_nothing_can_be_used_is_refused(read: Make) -> None:
    with pytest.raises(DataError, match=r"none of 1 rows of \[contacts\] can be used \(missing action: 1\)"):
        read("contacts", [GOOD["contacts"] | {"action": None}])


@pytest.fixture
def read_text(tmp_path: Path, make_config: Callable[..., Config], engine: DuckDBEngine) -> Make:
    """From the text of a CSV, and sections, to the tables; the events are three lines."""

    def make(text: str, sections: Mapping[str, Any], **events: Any) -> Tables:
        log = "customer,time,amount\na,2024-01-01T10:00,1\na,2024-01-02T10:00,2\nb,2024-01-03T10:00,3\n"
        (tmp_path / "log.csv").write_text(log)
        (tmp_path / "side.csv").write_text(text)
        return read_tables(make_config(sections, source="log.csv", amount="amount", **events), engine)

    return make


def visits(**keys: Any) -> dict[str, Any]:
    return {"activities": {"visits": {"source": "side.csv", "customer": "customer", "time": "time", **keys}}}


def test_text_times_and_numbers_are_read_by_the_section_s_own_layout_and_zone(read_text: Make) -> None:
    text = "customer,time,score\na,31/01/2024 00:30,7\nb,01/02/2024 12:00,oops\nb,01/02/2024 12:00,\n"
    section = visits(measure="score", time_format="%d/%m/%Y %H:%M", timezone="Europe/Paris", max_unreadable=0.5)
    tables = read_text(text, section)
    assert aside(tables, "activities.visits") == {"unreadable measure": 1}
    assert rows_of(tables, "activities.visits", "day", "measure") == [
        (date(2024, 1, 30), 70_000),
        (date(2024, 2, 1), None),
    ]
    assert rows_of(tables, "activities.visits", "seen")[0] == (date(2024, 1, 30),)


def test_times_with_and_without_an_offset_are_refused(read_text: Make) -> None:
    text = "customer,time\na,2024-01-01T10:00:00Z\nb,2024-01-01T10:00:00\n"
    with pytest.raises(DataError, match=r"\[activities.visits\] time: column 'time' mixes 1 times with an offset"):
        read_text(text, visits())


def test_each_query_has_a_source_of_its_own(read_text: Make, engine: DuckDBEngine) -> None:
    sections = visits(query="SELECT who AS customer, time FROM source WHERE who <> 'b' -- only one")
    contacts = {"source": "side.csv", "customer": "who", "time": "time", "action": "what"}
    sections["contacts"] = contacts | {"query": "WITH x AS (SELECT *, 'call' AS what FROM source) SELECT * FROM x;"}
    tables = read_text(
        "who,time\na,2024-01-01\nb,2024-01-02\n", sections, query="SELECT * FROM source WHERE amount > 1"
    )
    assert (tables.rows_read, engine.count_rows(tables.source)) == (2, 2)
    assert rows_of(tables, "activities.visits", "customer_id") == [("a",)]
    assert rows_of(tables, "contacts", "customer_id", "action") == [("a", "call"), ("b", "call")]


def test_a_query_that_is_not_understood_names_its_section(read_text: Make) -> None:
    with pytest.raises(UsageError, match=r"\[activities.visits\] query is not understood"):
        read_text("customer,time\na,2024-01-01\n", visits(query="SELECT , FROM source"))


def test_a_column_that_is_not_there_names_its_section(read_text: Make) -> None:
    with pytest.raises(UsageError, match=r"\[activities.visits\] measure: the source has no column 'scor'.*'score'"):
        read_text("customer,time,score\na,2024-01-01,1\n", visits(measure="scor"))


def test_malformed_lines_are_those_of_the_table_s_own_file(read_text: Make) -> None:
    good = "".join("a,2024-01-01\n" for _ in range(40))
    tables = read_text("customer,time\n" + good + "a,2024-01-01,stray,fields\n", visits())
    assert aside(tables, "activities.visits") == {"malformed line": 1}
    assert tables.set_aside == ()
    with pytest.raises(DataError, match=r"1 of 3 lines do not have.*\[activities.visits\] max_unreadable"):
        read_text("customer,time\n" + good[:26] + "a,2024-01-01,stray,fields\n", visits())


def test_digits_of_ids_and_actions_are_kept(read_text: Make) -> None:
    wide = "12345678901234567890"
    contacts = {"source": "side.csv", "customer": "customer", "time": "time", "action": "what", "control": "0"}
    tables = read_text(f"customer,time,what\n{wide},2024-01-01,0\n7.0,2024-01-01,1\n", {"contacts": contacts})
    assert rows_of(tables, "contacts", "customer_id", "action", "held_out") == [(wide, "0", True), ("7", "1", False)]


@pytest.mark.parametrize(("one", "other"), [("Web Visits", "web_visits"), ("访问!", "访问?")])
def test_tables_whose_names_would_collide_are_refused(one: str, other: str, read_text: Make) -> None:
    section = visits()["activities"]["visits"]
    with pytest.raises(UsageError, match=r"\[activities\..*\] would give features of the same name"):
        read_text("customer,time\na,2024-01-01\n", {"activities": {one: section, other: section}})


# The fingerprint, and nothing ahead


def test_the_fingerprint_covers_the_tables_beside_the_events(
    log: Any, make_config_beside: Callable[..., Config], engine: DuckDBEngine
) -> None:
    lines, sides = log
    first = read_tables(make_config_beside(lines, sides), engine).fingerprint
    shuffled = {name: rows[::-1] for name, rows in sides.items()}
    assert read_tables(make_config_beside(lines, shuffled), engine).fingerprint == first
    prints = {first, read_tables(make_config_beside(lines, sides, {}), engine).fingerprint}
    for name, column in (("visits", "measure"), ("tickets", "time"), ("contacts", "cost"), ("subscriptions", "price")):
        value = moment("2023-01-01T00:00:00+00:00") if column == "time" else 77.0
        changed = [sides[name][0] | {column: value}, *sides[name][1:]]
        prints.add(read_tables(make_config_beside(lines, {**sides, name: changed}), engine).fingerprint)
    other = {**beside.SECTIONS, "contacts": beside.SECTIONS["contacts"] | {"control": "call"}}
    prints.add(read_tables(make_config_beside(lines, sides, other), engine).fingerprint)
    assert len(prints) == 7


def nonsense_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """Rows at or after a cutoff with other days, numbers and texts, once for their customer and once for another."""
    future = rows.filter(rows.seen >= ibis.literal(cutoff))
    later = ibis.interval(days=2)
    wrong: dict[str, Any] = {"day": (future.day.cast("timestamp") + later).date()}
    wrong["seen"] = (future.seen.cast("timestamp") + later).date()
    for name, kind in rows.schema().items():
        if name not in ("customer_id", "order_id", "day", "seen"):
            if kind.is_string():
                wrong[name] = ibis.literal("nonsense")
            elif kind.is_integer() or kind.is_floating():
                wrong[name] = (future[name] * -3 + 55).cast(kind)
            elif kind.is_boolean():
                wrong[name] = ~future[name]
            elif kind.is_timestamp():
                wrong[name] = (future[name] + later).cast(kind)
    spoilt = future.mutate(**wrong).select(rows.columns)
    return ibis.union(delete_after(rows, cutoff), spoilt, spoilt.mutate(customer_id=ibis.literal("anchor")))


@pytest.mark.parametrize(
    ("change", "cutoff"), [pytest.param(delete_after, CUTOFFS[1], marks=pytest.mark.long), (nonsense_after, CUTOFFS[2])]
)
def test_nothing_at_or_after_a_cutoff_is_seen(
    cutoff: date,
    change: Callable[[ibis.Table, date], ibis.Table],
    log: Any,
    make_config_beside: Callable[..., Config],
    engine: DuckDBEngine,
    task: Task,
) -> None:
    tables = read_tables(make_config_beside(*log), engine)
    assert min(count_later_rows(tables, cutoff, engine).values()) > 5 and len(tables.sides) == 4
    reaching = replace(tables, last=max(tables.last, cutoff))
    honest = build.snapshots_from_tables(reaching, task, [cutoff], engine, with_labels=False).rows
    changed = change_tables(tables, change, cutoff, engine)
    assert build.snapshots_from_tables(changed, task, [cutoff], engine, with_labels=False).rows.equals(honest)


def test_a_row_that_arrived_late_is_invisible_until_it_arrived(
    make_config_beside: Callable[..., Config], engine: DuckDBEngine, task: Task
) -> None:
    lines, arrived = random_lines(1, 1, True), datetime(2023, 2, 1, tzinfo=UTC)
    late = {"customer": "anchor", "time": arrived - timedelta(20), "known_at": arrived, "action": "email"}
    config = make_config_beside(lines, {name: [late] for name in beside.SCHEMAS})
    days = [arrived.date(), arrived.date() + timedelta(1)]
    rows = build.snapshots_from_tables(
        read_tables(config, engine), task, days, engine, with_labels=False
    ).rows.to_pylist()
    counts = [[row[name] for row in rows if row["customer_id"] == "anchor"] for name in COUNTS]
    assert counts == [[0.0, 1.0]] * len(COUNTS)


COUNTS = ("visits_count_30d", "tickets_count_30d", "contacts_count_30d", "subscription_terms_ever")


def test_an_end_in_the_far_future_means_that_the_contract_runs(read_text: Make) -> None:
    text = (
        "customer,begun,ended,known\n"
        "a,01/02/2024,31/12/9999,31/12/9999\nb,13/02/2024,01/03/2024,02/03/2024\nc,13/02/2024,01/01/1900,\n"
    )
    keys = {"source": "side.csv", "customer": "customer", "start": "begun", "end": "ended", "end_known_at": "known"}
    tables = read_text(text, {"subscriptions": {**keys, "time_format": "%d/%m/%Y", "max_unreadable": 0.4}})
    assert aside(tables, "subscriptions") == {"unreadable end": 1}
    assert rows_of(tables, "subscriptions", "customer_id", "part", "day", "seen") == [
        ("a", "start", date(2024, 2, 1), date(2024, 2, 1)),
        ("b", "end", date(2024, 3, 1), date(2024, 3, 2)),
        ("b", "start", date(2024, 2, 13), date(2024, 2, 13)),
    ]


def test_money_of_a_table_is_converted(read_text: Make) -> None:
    text = 'customer,time,what,price,cur\na,2024-01-01,mail,"1,50 €",EUR\nb,2024-01-02,mail,"2,00",USD\n'
    keys = {"source": "side.csv", "customer": "customer", "time": "time", "action": "what", "cost": "price"}
    tables = read_text(text, {"contacts": {**keys, "currency": "cur", "rates": {"EUR": 1, "USD": 0.5}}})
    assert rows_of(tables, "contacts", "customer_id", "cost") == [("a", 15_000), ("b", 10_000)]
