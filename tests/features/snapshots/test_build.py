"""Snapshots against a slow oracle on difficult logs, and the proof that no cutoff sees what comes after it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.catalog.btyd_shares import share_columns
from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError, UsageError
from features.intake.tables import Tables
from features.snapshots.build import Snapshots, build_snapshots, drop_contacted, snapshots_from_tables
from features.task import Task, Window
from tests.features import oracle

WINDOWS, HORIZON, ACTIVE, LONGER = (30, 90, 180), 28, 181, (29, 120)
CUTOFFS = (date(2023, 2, 1), date(2023, 6, 15), date(2024, 2, 29), date(2024, 5, 1))
NEAR = (0, 1, 2, 7, 27, 28, 29, 30, 31, 59, 60, 61, 89, 90, 91, 179, 180, 181, 182, -1, -27, -28, -29)
FAR = (119, 120, 121, 336, 337, 338, 359, 360, 361, 364, 365, 366, 394, 395, 396, 455, 545, 701, 702, 729, 730)
EDGES = NEAR * 2 + FAR
CLOCKS = ((0, 0, 0, 0), (0, 0, 0, 1), (9, 30, 0, 0), (17, 5, 0, 0), (23, 59, 59, 999999))
AMOUNTS = (-20.0, -5.25, -0.01, 0.0, 0.01, 3.5, 10.0, 10.0, 99.99, 1234.5678)
KINDS = (None, "a", "b", "c", "é 商", "x" * 40)
SCHEMA = {
    "customer": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "amount": pa.float64(),
    "order": pa.string(),
    "quantity": pa.int64(),
    "discount": pa.float64(),
    "known_at": pa.timestamp("us", "UTC"),
    "kind_what": pa.string(),
    "kind_where": pa.string(),
}
ALL = tuple(SCHEMA)
SHAPES = {
    "everything": (ALL, True),
    "no known_at, no order": (("customer", "time", "amount", "quantity", "kind_what"), True),
    "no amount": (("customer", "time", "order", "quantity", "discount", "known_at", "kind_what"), True),
    "no clock": (("customer", "time", "amount", "order", "discount", "known_at", "kind_what"), False),
    "only who and when": (("customer", "time"), True),
}
Lines = list[dict[str, Any]]


def line(choose: Callable[[Sequence[Any]], Any], customers: Sequence[str], has_clock: bool) -> dict[str, Any]:
    """One line, most often at an edge of some window of some cutoff."""
    day = choose(CUTOFFS) - timedelta(choose(EDGES))
    time = datetime(day.year, day.month, day.day, *(choose(CLOCKS) if has_clock else CLOCKS[0]), tzinfo=UTC)
    return {
        "customer": choose(customers),
        "time": time,
        "amount": choose(AMOUNTS),
        "order": choose((None, "1", "2", "3", "4", "5", "ö6")),
        "quantity": choose((None, -2, 0, 1, 6)),
        "discount": choose((None, 0.0, 0.0, 0.5, 12.3456)),
        "known_at": choose((None, time, time, time + timedelta(1), time + timedelta(30))),
        "kind_what": choose(KINDS),
        "kind_where": choose((None, "here")),
    }


def anchors() -> Lines:
    """Somebody who buys on the eve of every cutoff and after the last, so that all cutoffs are inside and mature."""
    days = [cutoff - timedelta(1) for cutoff in CUTOFFS] + [CUTOFFS[-1] + timedelta(HORIZON + 1)]
    times = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    return [line(lambda options: options[-1], ["anchor"], False) | {"time": t, "known_at": t} for t in times]


def random_lines(seed: int, customers: int, has_clock: bool) -> Lines:
    rng = random.Random(seed)  # noqa: S311
    lines = anchors()
    for number in range(customers):
        name = [f"c{number}"] if number % 10 else [f"ñ-{number:0>38}"]
        lines += [line(rng.choice, name, has_clock) for _ in range(rng.choice((1, 1, 2, 3, 5, 8, 13, 30)))]
    rng.shuffle(lines)
    return lines


def table(lines: Lines, columns: Sequence[str]) -> pa.Table:
    return pa.table({c: pa.array([row[c] for row in lines], SCHEMA[c]) for c in columns})


def as_instants(lines: Lines, zone: str) -> Lines:
    """Lines whose clocks are those of a zone, with their times in UTC."""
    zoned = ZoneInfo(zone)
    return [
        row | {key: row[key] and row[key].replace(tzinfo=zoned).astimezone(UTC) for key in ("time", "known_at")}
        for row in lines
    ]


def only(lines: Lines, columns: Sequence[str]) -> Lines:
    return [{name: row[name] for name in columns} for row in lines]


def setting(columns: Sequence[str], has_clock: bool) -> oracle.Setting:
    kinds = tuple(c for c in columns if c.startswith("kind_"))
    has = ["amount" in columns, "quantity" in columns, has_clock, "discount" in columns]
    return oracle.Setting(WINDOWS, HORIZON, ACTIVE, kinds, *has, value_horizons=LONGER)


def assert_agrees(snapshots: Snapshots, lines: Lines, columns: Sequence[str], has_clock: bool, end: date) -> None:
    expected = oracle.snapshots(only(lines, columns), CUTOFFS, setting(columns, has_clock), end)
    rows = {(row["customer_id"], row["cutoff"].date()): row for row in snapshots.rows.to_pylist()}
    assert rows.keys() == expected.keys()
    for key, values in expected.items():
        assert set(values) == set(snapshots.names) | set(snapshots.task.labels)
        assert [f.name for f in snapshots.features if values[f.name] is None and not f.unread] == []
        assert [f.name for f in snapshots.features if not f.format_reading(rows[key])] == []
        for name, value in values.items():
            assert rows[key][name] == close(value), f"{name} of {key}"
    for day in CUTOFFS[1:]:
        assert_known_labels_agree(snapshots.as_known(day), only(lines, columns), setting(columns, has_clock), day)


def assert_known_labels_agree(snapshots: Snapshots, lines: Lines, asked: oracle.Setting, day: date) -> None:
    """The labels as known at a later cutoff, of all cutoffs."""
    rows = {(r["customer_id"], r["cutoff"].date()): r for r in snapshots.labelled(snapshots.rows).to_pylist()}
    for key, values in oracle.labels_as_known(lines, rows, day, asked).items():
        for name, value in values.items():
            assert rows[key][name] == close(value), f"{name} of {key}, as known at {day}"


def close(value: float | str | None) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, int | float) else value


@pytest.fixture
def task(make_task: Callable[..., Task]) -> Task:
    plain = make_task(horizon=HORIZON, active=ACTIVE, windows=WINDOWS)
    return replace(plain, value_horizons=tuple(Window(days) for days in LONGER))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_every_feature_and_label_agrees_with_the_oracle(
    shape: str, seed: int, make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    columns, has_clock = SHAPES[shape]
    lines = random_lines(seed, 120, has_clock)
    tables = make_log(table(lines, columns))
    assert tables.contract.has_clock == has_clock
    assert_agrees(snapshots_from_tables(tables, task, CUTOFFS, engine), lines, columns, has_clock, tables.labels_end)


@pytest.mark.parametrize(
    ("zone", "shape"),
    [
        ("America/New_York", "everything"),
        pytest.param("Asia/Kolkata", "no known_at, no order", marks=pytest.mark.long),
        ("Australia/Adelaide", "no clock"),
    ],
)
def test_the_oracle_agrees_where_days_begin_in_another_zone(
    zone: str, shape: str, make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    """The log has moments in UTC; the oracle reads the clocks of the zone, which change in spring and in autumn."""
    columns, has_clock = SHAPES[shape]
    lines = random_lines(21, 40, has_clock)
    tables = make_log(table(as_instants(lines, zone), columns), {"task": {"timezone": zone}})
    assert tables.contract.has_clock == has_clock
    assert_agrees(snapshots_from_tables(tables, task, CUTOFFS, engine), lines, columns, has_clock, tables.labels_end)


def test_null_rules_hold_where_the_log_is_short(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    """Every feature is null for somebody where its null rule says that it can be, and is known for somebody."""
    null, known = set(), set()
    for reach in (59, 60, 90):
        start = oracle.midnight(CUTOFFS[0] - timedelta(reach))
        lines = [x for x in random_lines(11, 80, True) if x["time"] >= start]
        lines.append(lines[0] | {"time": start, "known_at": None, "customer": "first", "order": None})
        tables = make_log(table(lines, ALL[:-1]))
        snapshots = snapshots_from_tables(tables, task, CUTOFFS, engine)
        assert_agrees(snapshots, lines, ALL[:-1], True, tables.labels_end)
        null |= {name for name in snapshots.names if snapshots.rows[name].null_count}
        known |= {name for name in snapshots.names if len(set(snapshots.rows[name].drop_null().to_pylist())) > 1}
    assert null == {feature.name for feature in snapshots.features if feature.unread}
    assert known == set(snapshots.names)


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes, and the logs are small already
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_oracle_agrees_on_logs_made_to_break_it(
    data: st.DataObject, make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    lines = anchors()
    for _ in range(data.draw(st.integers(1, 12))):
        lines.append(line(lambda options: data.draw(st.sampled_from(options)), ["a", "b"], True))
    tables = make_log(table(lines, ALL))
    assert_agrees(
        snapshots_from_tables(tables, task, CUTOFFS, engine), lines, ALL, tables.contract.has_clock, tables.labels_end
    )


def test_windows_wider_than_the_log_and_a_horizon_of_more_than_a_year(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    lines = random_lines(3, 40, True)
    tables = make_log(table(lines, ALL))
    snapshots = snapshots_from_tables(tables, make_task(400, 5000, 30, (1, 365, 4000)), CUTOFFS, engine)
    wide = oracle.Setting((1, 365, 4000), 400, 5000, ("kind_what", "kind_where"), True, True, True, True)
    expected = oracle.snapshots(lines, CUTOFFS, wide, tables.labels_end)
    rows = {(row["customer_id"], row["cutoff"].date()): row for row in snapshots.rows.to_pylist()}
    assert rows.keys() == expected.keys()
    for key, values in expected.items():
        assert {name: rows[key][name] for name in values} == {name: close(value) for name, value in values.items()}
    assert {row["churned"] is None for (_, cutoff), row in rows.items() if cutoff == CUTOFFS[-1]} == {True}
    assert {row["churned"] is None for (_, cutoff), row in rows.items() if cutoff == CUTOFFS[0]} == {False}


@pytest.mark.parametrize(
    ("cutoff", "zone"), [pytest.param(CUTOFFS[1], "UTC", marks=pytest.mark.long), (CUTOFFS[2], "Asia/Kolkata")]
)
def test_nothing_at_or_after_a_cutoff_is_seen(
    cutoff: date, zone: str, make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    """Rows that happened or became known later are deleted or corrupted: the features keep every bit."""

    def log(rows: Lines) -> Tables:
        return make_log(table(as_instants(rows, zone), ALL), {"task": {"timezone": zone}})

    lines = random_lines(4, 80, True)
    expected = snapshots_from_tables(log(lines), task, [cutoff], engine, with_labels=False)
    past = [x for x in lines if x["time"] < oracle.midnight(cutoff) and oracle.known(x) < oracle.midnight(cutoff)]
    later = [x for x in lines if x not in past]
    nonsense = [x | {"amount": -1e9, "quantity": 99, "kind_what": "later", "kind_where": "later"} for x in later]
    assert later
    assert expected.rows.num_rows > 20
    for changed in (past, past + nonsense):
        again = snapshots_from_tables(log(changed), task, [cutoff], engine, with_labels=False)
        assert again.rows.equals(expected.rows)


def test_the_order_of_rows_and_of_cutoffs_does_not_matter(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    lines = random_lines(5, 120, True)
    first_tables = make_log(table(lines, ALL))
    first = snapshots_from_tables(first_tables, task, CUTOFFS, engine)
    random.Random(6).shuffle(lines)  # noqa: S311
    second_tables = make_log(table(lines, ALL))
    second = snapshots_from_tables(second_tables, task, [*CUTOFFS[::-1], CUTOFFS[0]], engine)
    assert first.rows.equals(second.rows)
    assert first_tables.fingerprint == second_tables.fingerprint
    assert first.fingerprint == second.fingerprint


def test_one_cutoff_alone_gives_the_same_bits_as_among_others(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    tables = make_log(table(random_lines(7, 80, True), ALL[:-1]))
    together = snapshots_from_tables(tables, task, CUTOFFS[1:3], engine).rows
    alone = [snapshots_from_tables(tables, task, [cutoff], engine).rows for cutoff in CUTOFFS[1:3]]
    assert pa.concat_tables(alone).equals(together)


def test_a_scored_row_is_the_trained_row_without_labels(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    tables = make_log(table(random_lines(8, 60, True), ALL))
    labelled = snapshots_from_tables(tables, task, CUTOFFS, engine)
    scored = snapshots_from_tables(tables, task, CUTOFFS, engine, with_labels=False)
    assert scored.rows.equals(labelled.rows.drop_columns(list(task.labels)))
    assert scored.rows.column_names == [
        "customer_id",
        "cutoff",
        *scored.names,
        *share_columns(scored.names, f"{WINDOWS[-1]}d"),
    ]


def test_features_are_text_or_floats_without_nan_and_rows_are_sorted(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task
) -> None:
    snapshots = snapshots_from_tables(make_log(table(random_lines(9, 60, True), ALL)), task, CUTOFFS, engine)
    for feature in snapshots.features:
        column = snapshots.rows[feature.name]
        assert column.type == (pa.string() if feature.unit == "level" else pa.float64())
        if feature.unit != "level":
            assert all(abs(value) < 1e12 for value in column.drop_null().to_pylist()), feature.name
    keys = [(row["cutoff"], row["customer_id"]) for row in snapshots.rows.select(["cutoff", "customer_id"]).to_pylist()]
    assert keys == sorted(set(keys))


def test_an_event_at_the_cutoff_belongs_to_the_label(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task], at: Callable[[str], datetime]
) -> None:
    rows = [
        {"customer": "a", "time": at("2024-01-01T12:00"), "amount": 1.0},
        {"customer": "a", "time": at("2024-01-31T23:59:59.999999"), "amount": 2.0},
        {"customer": "a", "time": at("2024-02-01T00:00"), "amount": 4.0},
        {"customer": "a", "time": at("2024-03-01T23:59:59.999999"), "amount": 8.0},
        {"customer": "a", "time": at("2024-03-02T00:00"), "amount": 16.0},
        {"customer": "a", "time": at("2024-06-01T00:00"), "amount": 32.0},
    ]
    (row,) = snapshots_from_tables(
        make_log(rows), make_task(30, 365, 30, (30, 90)), [date(2024, 2, 1)], engine
    ).rows.to_pylist()
    assert (row["amount_sum_30d"], row["amount_sum_90d"], row["recency_days"]) == (2.0, 3.0, 1.0)
    assert (row["value"], row["churned"]) == (12.0, 0)


def test_hours_belong_to_their_band_from_its_first_instant_on(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, at: Callable[[str], datetime]
) -> None:
    clocks = ["05:59:59.999999", "06:00", "06:01", "06:02", "11:59:59.999999", "12:00", "12:01", "17:59:59.999999"]
    clocks += ["18:00", "23:59:59.999999"]
    rows = [{"customer": "a", "time": at(f"2024-01-01T{clock}"), "amount": 1.0} for clock in clocks]
    (row,) = snapshots_from_tables(make_log(rows), task, [date(2024, 1, 2)], engine).rows.to_pylist()
    shares = [row[f"{band}_share_ever"] * 10 for band in ("night", "morning", "afternoon", "evening")]
    assert shares == pytest.approx([1, 4, 3, 2])


def test_an_order_of_exactly_twice_the_mean_of_all_customers_is_large(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, at: Callable[[str], datetime]
) -> None:
    amounts = (("a", 40.0), ("a", 39.99), ("b", 10.0), ("b", 10.0), ("b", 0.01), ("a", -5.0))
    rows = [{"customer": c, "time": at(f"2024-01-0{n + 1}T10:00"), "amount": x} for n, (c, x) in enumerate(amounts)]
    rows_built = snapshots_from_tables(make_log(rows), task, [date(2024, 1, 10)], engine).rows.to_pylist()
    assert [row["large_orders_share_ever"] for row in rows_built] == [0.5, 0.0]


@pytest.mark.parametrize(("until", "mature"), [("2024-03-01", False), ("2024-03-02", True), ("2024-03-03", True)])
def test_a_label_is_null_until_the_whole_horizon_is_known(
    until: str,
    mature: bool,
    make_log: Callable[..., Tables],
    engine: DuckDBEngine,
    make_task: Callable[..., Task],
    at: Callable[[str], datetime],
) -> None:
    rows = [{"customer": "a", "time": at("2024-01-28T10:00"), "amount": 1.0}]
    (row,) = snapshots_from_tables(
        make_log(rows, until=until), make_task(horizon=29), [date(2024, 1, 31)], engine
    ).rows.to_pylist()
    (late,) = snapshots_from_tables(
        make_log(rows, until=until), make_task(horizon=31), [date(2024, 1, 31)], engine
    ).rows.to_pylist()
    assert (row["churned"], row["value"]) == (1, 0.0)
    assert (late["churned"], late["value"]) == ((1, 0.0) if mature else (None, None))


def test_a_first_event_that_became_known_late_does_not_lengthen_the_log(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, at: Callable[[str], datetime]
) -> None:
    early = {"customer": "b", "time": at("2022-01-01T10:00"), "amount": 1.0, "known_at": at("2023-07-01T00:00")}
    later = [at(text) for text in ("2022-08-01T10:00", "2023-05-30T10:00", "2023-07-01T10:00")]
    rows = [early] + [{"customer": "a", "time": time, "amount": 1.0, "known_at": None} for time in later]
    (row,) = snapshots_from_tables(make_log(rows), task, [date(2023, 6, 15)], engine).rows.to_pylist()
    assert row["orders_count_year_ago"] is None


def test_an_order_split_over_days_stands_on_its_first_day_and_hour(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, at: Callable[[str], datetime]
) -> None:
    times = ("2024-01-01T15:00", "2024-01-03T09:00", "2024-02-20T09:00")
    rows = [{"customer": "a", "time": at(time), "amount": 5.0, "order": "1"} for time in times]
    (row,) = snapshots_from_tables(make_log(rows), task, [date(2024, 2, 1)], engine).rows.to_pylist()
    names = ("recency_days", "hour_mean_ever", "orders_count_ever", "amount_sum_30d", "amount_sum_90d")
    assert [row[name] for name in names] == [31.0, 15.0, 1.0, 0.0, 10.0]


@pytest.mark.parametrize(
    ("cutoff", "inside"),
    [("2023-12-31", 0), ("2024-01-01", 0), ("2024-01-02", 1), ("2024-02-08", 1), ("2024-02-09", 0)],
)
def test_a_cutoff_outside_the_log_is_refused(
    cutoff: str,
    inside: int,
    make_log: Callable[..., Tables],
    engine: DuckDBEngine,
    make_task: Callable[..., Task],
    at: Callable[[str], datetime],
) -> None:
    rows = [{"customer": "a", "time": at(f"2024-{month}-01T10:00"), "amount": 1.0} for month in ("01", "02")]
    tables, task = make_log(rows), make_task()
    if inside:
        assert snapshots_from_tables(tables, task, [date.fromisoformat(cutoff)], engine).rows.num_rows == 1
        return
    with pytest.raises(UsageError, match="outside the log, which runs from 2024-01-01 to 2024-02-01") as problem:
        snapshots_from_tables(tables, task, [date(2024, 1, 15), date.fromisoformat(cutoff)], engine)
    assert cutoff in str(problem.value)


def test_no_cutoff_is_refused(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, at: Callable[[str], datetime]
) -> None:
    with pytest.raises(UsageError, match="no cutoff given"):
        snapshots_from_tables(
            make_log([{"customer": "a", "time": at("2024-01-01T00:00"), "amount": 1.0}]), task, [], engine
        )


def test_the_fingerprint_follows_the_data_and_the_task(
    make_log: Callable[..., Tables], engine: DuckDBEngine, task: Task, make_task: Callable[..., Task]
) -> None:
    lines = random_lines(10, 5, True)
    cutoffs = CUTOFFS[:1]
    first = snapshots_from_tables(make_log(table(lines, ALL)), task, cutoffs, engine).fingerprint
    other_task = snapshots_from_tables(
        make_log(table(lines, ALL)), make_task(29, ACTIVE, 30, WINDOWS), cutoffs, engine
    ).fingerprint
    lines[0]["amount"] += 0.01
    other_data = snapshots_from_tables(make_log(table(lines, ALL)), task, cutoffs, engine).fingerprint
    assert len({first, other_task, other_data}) == 3


def test_a_window_longer_than_the_log_has_null_features(make_config: Callable[..., Config], tmp_path: Path) -> None:
    days = [datetime(2024, 1, 1, 10, tzinfo=UTC) + timedelta(day) for day in range(0, 100, 5)]
    rows = [{"customer": f"c{n % 3}", "time": day, "amount": 5.0} for n, day in enumerate(days)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    task = {"horizon": "20d", "windows": ["30d", "90d", "365d"]}
    snapshots = build_snapshots(make_config({"task": task}, amount="amount"), [date(2024, 3, 31)])
    beyond = [f for f in snapshots.features if f.window and f.window.days == 365]
    assert len(beyond) > 10
    for feature in snapshots.features:
        null = snapshots.rows[feature.name].null_count == snapshots.rows.num_rows
        assert null or feature not in beyond
        if feature in beyond:
            assert feature.format_reading(dict.fromkeys(snapshots.names)) == "the log is shorter than 365 days"
    assert snapshots.rows["orders_count_90d"].null_count == 0


def _contacted(tmp_path: Path, make_config: Callable[..., Config], **training: str) -> Config:
    """Twelve customers who buy every ten days for a year, and contacts on some days."""
    first = datetime(2024, 1, 1, tzinfo=UTC)
    events = [
        {"customer": f"c{who}", "time": first + timedelta(days=10 * turn + who), "amount": 5.0}
        for who in range(12)
        for turn in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(events), tmp_path / "log.parquet")
    contact_facts = [
        ("c1", 150, "mail"),
        ("c2", 200, "none"),
        ("c3", 230, "call"),
        ("c3", 231, "mail"),
        ("c4", 90, "mail"),
    ]
    contacts = [{"who": who, "at": first + timedelta(days=day), "what": what} for who, day, what in contact_facts]
    pq.write_table(pa.Table.from_pylist(contacts), tmp_path / "contacts.parquet")
    section = {"source": "contacts.parquet", "customer": "who", "time": "at", "action": "what", "control": "none"}
    task = {"horizon": "30d", "every": "30d", "windows": ["30d"], "value_horizons": ["60d"]}
    return make_config({"contacts": section, "task": task, "training": training}, amount="amount")


def test_the_untouched_are_those_without_a_contact_within_any_label(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    all_snapshots = build_snapshots(_contacted(tmp_path, make_config))
    config = _contacted(tmp_path, make_config, learn_from="untouched")
    untouched = build_snapshots(config)
    days = {"c1": [150], "c3": [230, 231], "c4": [90]}
    first = date(2024, 1, 1)

    def free(row: dict[str, Any]) -> bool:
        since = [(first + timedelta(days=d) - row["cutoff"].date()).days for d in days.get(row["customer_id"], [])]
        return not any(0 <= day < 60 for day in since)

    expected = [row for row in all_snapshots.rows.to_pylist() if free(row)]
    assert untouched.rows.to_pylist() == expected
    assert untouched.touched == all_snapshots.rows.num_rows - len(expected) == 6 and not all_snapshots.touched
    assert (
        untouched.fingerprint != all_snapshots.fingerprint
        and untouched.data_fingerprint == all_snapshots.data_fingerprint
    )
    scored = build_snapshots(config, [all_snapshots.cutoffs[-1]], with_labels=False)
    assert scored.rows.num_rows == 12 and not scored.touched


def test_without_anybody_untouched_there_is_nothing_to_learn_from(
    tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    all_snapshots = build_snapshots(_contacted(tmp_path, make_config))
    with pytest.raises(DataError, match="every customer was contacted within the label's interval"):
        drop_contacted(all_snapshots, all_snapshots.rows.select(["customer_id", "cutoff"]))
    with pytest.raises(UsageError, match="learn_from = 'untouched' leaves out contacted customers, but there is no"):
        make_config({"training": {"learn_from": "untouched"}})
