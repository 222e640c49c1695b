"""The leakage proof passes for our features, and names each feature that looks ahead, however it does so."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog.custom import NO_CUSTOM_FEATURES
from features.config.load import Config, parse_config
from features.engines.duckdb import DuckDBEngine
from features.errors import DataError
from features.intake import log, read_log
from features.intake.tables import SideTable, Tables
from features.point_in_time import history
from features.snapshots import build, cohort_features, leakage
from features.snapshots.leakage import (
    LeakageTrial,
    change_tables,
    differing_columns,
    prove_at_cutoffs,
    prove_no_leakage,
    spread_cutoffs,
)
from features.snapshots.leakage_corruption import corrupt_after, delete_after
from features.task import Task
from tests.features.snapshots.test_build import ACTIVE, ALL, CUTOFFS, HORIZON, WINDOWS, as_instants, random_lines, table

CUTOFF = date(2023, 6, 1)
PLANTED = {
    "known_later",
    "at_the_instant",
    "at_the_edge",
    "rank_of_all_time",
    "forgets_the_cutoff",
    "end_of_the_log",
    "side_table",
    "level_ahead",
}


def _leaking_features(trials: list[LeakageTrial], change: str = "") -> set[str]:
    return {name for trial in trials if change in trial.change for name, _ in trial.leaks}


def test_our_features_do_not_look_ahead_and_the_proof_is_written(shop: Config) -> None:
    trials, path = leakage.check_leaks(shop)
    assert [(t.change, t.leaks) for t in trials] == [("deleted", ()), ("corrupted", ())] * 3
    assert all(t.changed_rows["events"] > 100 and t.customers > 10 and t.features > 40 for t in trials)
    written = json.loads(path.read_text())
    assert [entry["cutoff"] for entry in written] == [str(trial.cutoff) for trial in trials]
    assert [entry["changed_rows"] for entry in written] == [trial.changed_rows for trial in trials]
    text = leakage.leaks_text(trials)
    assert text.count("every bit the same") == 6
    assert f"deleted ({trials[0].changed_rows['events']:,} of events), {trials[0].customers} customers x" in text


def test_events_at_the_cutoff_and_at_the_edges_of_windows_are_told_apart(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    """Lines stand at midnight of the cutoff, an instant before it, at the edges of windows, and became known late.

    The midnights are those of a business in New York; the log has their moments in UTC.
    """
    lines, task = random_lines(11, 120, True), make_task(horizon=HORIZON, active=ACTIVE, windows=WINDOWS)
    lines += [line | {"time": midnight, "known_at": None} for line, midnight in zip(lines, _edges(), strict=False)]
    zone = "America/New_York"
    tables = make_log(table(as_instants(lines, zone), ALL), {"task": {"timezone": zone}})
    trials = prove_at_cutoffs(tables, task, NO_CUSTOM_FEATURES, CUTOFFS[1:3], engine)
    assert _leaking_features(trials) == set()
    assert all(t.customers > 20 and t.changed_rows["events"] > 100 for t in trials)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A log with late rows and none on any cutoff's day, a table of visits beside it, and the planted features."""
    rng, rows = random.Random(2), []  # noqa: S311
    cutoffs = {date(2023, 12, 1) - timedelta(30 * n) for n in range(12)}
    for number in range(600):
        time = datetime(2023, 1, 2) + timedelta(hours=rng.randrange(24 * 360))
        late = timedelta(rng.choice((0, 0, 0, 45)))
        base = {"customer": f"c{number % 40}", "order": str(number), "channel": rng.choice("abc")}
        rows.append({**base, "time": time, "known_at": time + late, "amount": float(rng.randrange(1, 90))})
    rows = [row for row in rows if row["time"].date() not in cutoffs and row["known_at"].date() not in cutoffs]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    shutil.copy(Path(__file__).parents[1] / "planted.py", tmp_path / "my_features.py")
    events = {key: key for key in ("customer", "time", "known_at", "amount", "order")}
    values: dict[str, Any] = {
        "config_version": 1,
        "name": "planted",
        "events": {**events, "source": "log.parquet", "kinds": ["channel"], "until": "2023-12-31"},
        "task": {"horizon": "30d", "every": "30d", "windows": ["30d"]},
        "features": {"own": "my_features.py"},
    }
    honest = read_log.read_tables

    def with_visits(config: Config, engine: DuckDBEngine) -> Tables:
        tables = honest(config, engine)
        visits = tables.events.select("customer_id", "day", "seen", minutes=tables.events.amount)
        return replace(tables, sides={"activities.visits": SideTable(engine.store("visits", visits), 9, ())})

    monkeypatch.setattr(log, "read_tables", with_visits)
    families = cohort_features.feature_families  # the first alone says who is in the cohort; the others take time
    monkeypatch.setattr(cohort_features, "feature_families", lambda task, contract: families(task, contract)[:1])
    return parse_config(values, tmp_path / "regulars.toml")


def test_whatever_looks_ahead_is_caught_and_named(planted: Config) -> None:
    trials = prove_no_leakage(planted, 2)
    assert trials[0].cutoff < date(2023, 3, 1) and trials[-1].cutoff == date(2023, 11, 1)  # later labels wait
    assert _leaking_features(trials, "deleted") == PLANTED - {
        "at_the_instant",
        "at_the_edge",
    }  # nobody bought on those days
    assert _leaking_features(trials, "corrupted") == PLANTED
    assert _leaking_features(trials[2:], "corrupted") == PLANTED - {
        "forgets_the_cutoff"
    }  # nothing is built after the last
    assert all(t.changed_rows.keys() == {"events", "activities.visits"} for t in trials)
    assert all(t.changed_rows["activities.visits"] == t.changed_rows["events"] > 10 for t in trials)


def test_a_label_that_was_known_only_later_is_caught(planted: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    cutoffs = [date(2023, 10, 2), date(2023, 11, 1), date(2023, 12, 1)]
    task = planted.task.to_task()
    with log.opened(planted) as opened, build.checked_log(opened) as (engine, tables, _):
        honest = prove_at_cutoffs(tables, task, NO_CUSTOM_FEATURES, cutoffs, engine)
        monkeypatch.setattr(build, "find_revisions", lambda *_: ())  # training sees labels as known today
        trials = prove_at_cutoffs(tables, task, NO_CUSTOM_FEATURES, cutoffs, engine)
    assert _leaking_features(honest) == set()
    assert [trial.labels > 20 for trial in honest] == [False, False, True, True, True, True]
    assert {name for name, _ in trials[-1].leaks} >= {"churned", "value"}
    assert "earlier labels as known then: LEAK: churned" in leakage.leaks_text(trials)


def test_the_columns_there_are_follow_from_the_whole_log_and_their_values_do_not(tmp_path: Path) -> None:
    """Times have hours only from a day after the cutoff on: the feature of hours exists, and stays the same."""
    rows = []
    for number in range(300):
        time = datetime(2023, 1, 2) + timedelta(days=number)
        hours = timedelta(hours=number % 24 if number > 150 else 0)
        rows.append({"customer": f"c{number % 7}", "time": time + hours})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    events = {"source": "log.parquet", "customer": "customer", "time": "time"}
    values = {"config_version": 1, "name": "t", "events": events, "task": {"horizon": "30d", "windows": ["30d"]}}
    trials = prove_no_leakage(parse_config(values, tmp_path / "regulars.toml"), 1)
    assert trials[0].cutoff < date(2023, 4, 1) and _leaking_features(trials) == set()


def test_what_is_known_of_the_whole_log_follows_the_change(
    make_log: Callable[..., Tables], engine: DuckDBEngine
) -> None:
    tables = make_log(table(random_lines(12, 20, True), ALL))
    facts = [tables, change_tables(tables, delete_after, CUTOFFS[1], engine)]
    assert [facts[1].last, facts[1].end] == [CUTOFFS[1], CUTOFFS[1]]
    assert facts[0].rows > facts[1].rows == facts[1].rows_read == engine.count_rows(facts[1].source)
    assert facts[0].customers > facts[1].customers
    assert facts[0].fingerprint != facts[1].fingerprint


def test_a_later_row_that_repeats_an_id_does_not_take_an_earlier_ones_place(
    make_log: Callable[..., Tables], engine: DuckDBEngine
) -> None:
    times = {"e1": [datetime(2023, 8, 1), datetime(2023, 1, 5)], "e2": [datetime(2023, 2, 1)]}
    rows = [
        {"customer": "a", "time": time, "amount": float(time.month), "id": i}
        for i, all_ in times.items()
        for time in all_
    ]
    early = [row for row in rows if row["time"] < datetime(2023, 6, 1)]
    before = [
        delete_after(make_log(kept, id="id").events, CUTOFF).order_by("day").to_pyarrow().to_pylist()
        for kept in (rows, early)
    ]
    assert before[0] == before[1] != []


def test_a_feature_that_looks_ahead_is_caught_and_named(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = history._visible_orders

    def peeking(orders: ibis.Table, moments: ibis.Table, has_amount: bool, length: int | None) -> ibis.Table:
        visible_orders = honest(orders, moments, has_amount, length)
        future = orders.group_by("customer_id").aggregate(late=orders.day.max())
        joined = visible_orders.left_join(future, "customer_id")
        return joined.mutate(hour=joined.late.day()).select(visible_orders.columns)

    monkeypatch.setattr(history, "_visible_orders", peeking)
    leaks = {name for trial in prove_no_leakage(shop, 1) for name, _ in trial.leaks}
    bands = {f"{band}_share_ever" for band in ("night", "morning", "afternoon", "evening")}
    assert "hour_mean_ever" in leaks
    assert leaks <= bands | {"hour_mean_ever"}


def test_a_cohort_that_looks_ahead_is_caught(shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "delete_after", lambda rows, cutoff: rows.filter(rows.customer_id > "customer-0100"))
    trials = prove_no_leakage(shop, 1)
    assert dict(trials[0].leaks)["customers"] > 10
    assert "LEAK: customers" in leakage.leaks_text(trials)


def _rows() -> ibis.Table:
    days = pa.array([date(2023, 5, 31), date(2023, 6, 1), date(2023, 5, 1)], pa.date32())
    seen = pa.array([date(2023, 5, 31), date(2023, 6, 1), date(2023, 6, 1)], pa.date32())
    columns = {
        "customer_id": ["a", "b", "late"],
        "order_id": ["1", "2", "3"],
        "time": days.cast(pa.timestamp("us")),
        "day": days,
        "seen": seen,
        "amount": pa.array([100, 200, 300], pa.int64()),
        "quantity": pa.array([1, None, 3], pa.int64()),
        "reason": pa.array([None, None, None], pa.string()),
        "kind_x": ["u", "v", "w"],
    }
    return ibis.memtable(pa.table(columns))


def test_what_happened_or_became_known_at_the_cutoff_is_deleted() -> None:
    assert delete_after(_rows(), CUTOFF).to_pyarrow()["customer_id"].to_pylist() == ["a"]


def test_the_future_is_corrupted_and_the_past_left_alone() -> None:
    rows, spoilt = _rows(), corrupt_after(_rows(), CUTOFF).order_by("customer_id").to_pyarrow()
    assert set(spoilt["customer_id"].to_pylist()) == {"a", "b", "late", "nobody-b", "nobody-late"}
    assert spoilt.schema.names == list(rows.columns)
    assert spoilt.slice(0, 1).to_pylist() == rows.filter(rows.customer_id == "a").to_pyarrow().to_pylist()
    assert min(spoilt["seen"].to_pylist()[1:]) >= CUTOFF


def _many() -> ibis.Table:
    """Rows of every type, on ten days before the cutoff, and on ten from it on, of which half happened before it."""
    n = 400
    known = [CUTOFF + timedelta(i % 20 - 10) for i in range(n)]
    days = [day - timedelta(5 * (i % 2)) for i, day in enumerate(known)]
    columns = {
        "customer_id": [f"c{i % 40}" for i in range(n)],
        "order_id": [str(i) for i in range(n)],
        "time": [datetime(day.year, day.month, day.day, i % 24) for i, day in enumerate(days)],
        "day": days,
        "seen": known,
        "text": [None if i % 3 else "x" for i in range(n)],
        "integer": pa.array([None if i % 5 == 0 else 2**63 - 1 - i for i in range(n)], pa.int64()),
        "real": pa.array([None if i % 5 == 0 else i / 7 for i in range(n)], pa.float64()),
        "flag": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in range(n)], pa.bool_()),
        "born": pa.array([None if i % 5 == 0 else CUTOFF for i in range(n)], pa.date32()),
        "met": pa.array([None if i % 5 == 0 else datetime(2023, 1, 1) for i in range(n)], pa.timestamp("us")),
    }
    return ibis.memtable(pa.table(columns))


def test_every_type_of_column_is_corrupted_and_nulls_among_them() -> None:
    rows = _many()
    spoilt = corrupt_after(rows, CUTOFF)
    assert spoilt.schema() == rows.schema()
    was = {row["order_id"]: row for row in rows.to_pyarrow().to_pylist()}
    future = [row for row in spoilt.to_pyarrow().to_pylist() if row["seen"] >= CUTOFF]
    same = [(was[row["order_id"]], row) for row in future if row["order_id"] in was]
    for name in ("time", "day", "seen", "text", "integer", "real", "flag", "born", "met"):
        changes = {(old[name] is None, new[name] is None, old[name] == new[name]) for old, new in same}
        assert (False, False, True) in changes and (False, False, False) in changes, name
        assert name in ("time", "day", "seen") or {(True, True, True), (True, False, False)} <= changes, name
    assert (
        delete_after(spoilt, CUTOFF).order_by("order_id").to_pyarrow()
        == delete_after(rows, CUTOFF).order_by("order_id").to_pyarrow()
    )
    assert len(future) > 2 * sum(row["seen"] >= CUTOFF for row in was.values())  # some rows are duplicated


def test_clocks_move_to_the_first_instant_and_late_rows_move_back_or_stay() -> None:
    spoilt = corrupt_after(_many(), CUTOFF).to_pyarrow().to_pylist()
    future = [row for row in spoilt if row["seen"] >= CUTOFF]
    assert all(row["seen"] >= row["day"] == row["time"].date() for row in future)
    assert [row for row in future if row["time"] == _midnight(CUTOFF) and row["seen"] == CUTOFF]
    late = [row for row in future if row["day"] < CUTOFF]
    assert {row["day"] < CUTOFF - timedelta(20) for row in late} == {True, False}
    assert len(late) < sum(row["day"] < CUTOFF <= row["seen"] for row in _many().to_pyarrow().to_pylist()) * 2


def test_a_type_that_cannot_be_corrupted_is_refused() -> None:
    listed = _rows().mutate(basket=ibis.array(["u"]))
    with pytest.raises(DataError, match="'basket' holds array<string>"):
        corrupt_after(listed, CUTOFF)


def test_bits_are_compared_not_numbers() -> None:
    one = pa.table({"customer_id": ["a", "b"], "x": [0.1 + 0.2, None], "y": [0.0, 1.0]})
    other = pa.table({"customer_id": ["a", "b"], "x": [0.3, None], "y": [-0.0, 1.0]})
    assert differing_columns(one, one) == {}
    assert differing_columns(one, other) == {"x": 1, "y": 1}
    assert differing_columns(one, one.drop_columns(["y"])) == {"y": 2}
    assert differing_columns(one, one.set_column(2, "y", pa.array(["0", "1"]))) == {"y": 2}
    texts = [pa.table({"customer_id": ["a", "b"], "x": ["u", last]}) for last in (None, "w")]
    assert differing_columns(texts[0], texts[0]) == {} and differing_columns(*texts) == {"x": 1}
    fewer = pa.table({"customer_id": ["b", "c"], "x": [1.0, 2.0], "y": [1.0, 2.0]})
    assert differing_columns(one, fewer) == {"customers": 2, "x": 1}  # who is in both is compared
    assert differing_columns(one, one.set_column(1, "x", pa.array([0.1 + 0.2, 0.0]))) == {"x": 1}


def test_few_cutoffs_are_all_taken() -> None:
    assert spread_cutoffs([CUTOFF], 3) == [CUTOFF]
    assert spread_cutoffs([], 3) == []


def _edges() -> list[datetime]:
    """The first instant of each tried cutoff and of each of its windows, and the instant before."""
    days = [cutoff - timedelta(back) for cutoff in CUTOFFS[1:3] for back in (0, *WINDOWS)]
    instants = [_midnight(day).replace(tzinfo=UTC) for day in days]
    return [*instants, *(instant - timedelta(microseconds=1) for instant in instants)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
