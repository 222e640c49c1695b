"""Labels on orders and terms small enough to check by hand, and against a slow oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables
from features.money import TICKS
from features.point_in_time.labels import churned_label, null_if_immature, purchase_labels, value_label
from features.snapshots.build import Snapshots, snapshots_from_tables
from features.task import Cohort, Task, Window
from tests.features import oracle_terms

# customer, order, amount
FUTURE = (
    ("buyer", "1", 10.0),
    ("buyer", "2", 5.0),
    ("buyer", "2", -2.0),
    ("refunded", "1", -4.0),
    ("free", "1", 0.0),
    ("returned", "1", 8.0),
    ("returned", "1", -8.0),
    ("mixed", "1", 0.01),
    ("mixed", "2", -3.0),
)


@pytest.fixture
def future(engine: DuckDBEngine) -> ibis.Table:
    customers, orders, amounts = zip(*FUTURE, strict=True)
    ticks = [round(amount * TICKS) for amount in amounts]
    return engine.store_arrow(
        "future",
        pa.table(
            {
                "customer_id": customers,
                "cutoff": ["c"] * len(FUTURE),
                "order_id": orders,
                "day": [date(2024, 3, 1) + timedelta(n) for n in range(len(FUTURE))],
                "amount": ticks,
            }
        ),
    )


def values_by_customer(rows: ibis.Table | pa.Table, *columns: str) -> dict[str, tuple[object, ...]]:
    table = rows if isinstance(rows, pa.Table) else rows.to_pyarrow()
    return {row["customer_id"]: tuple(row[c] for c in columns) for row in table.to_pylist()}


def test_a_purchase_is_an_order_with_a_positive_net_amount(future: ibis.Table) -> None:
    assert values_by_customer(purchase_labels(future, has_amount=True), "purchases", "net", "first_day") == {
        "buyer": (2, 13.0, date(2024, 3, 1)),
        "refunded": (0, -4.0, None),
        "free": (0, 0.0, None),
        "returned": (0, 0.0, None),
        "mixed": (1, -2.99, date(2024, 3, 8)),
    }


def test_without_money_every_order_is_a_purchase(future: ibis.Table) -> None:
    assert values_by_customer(purchase_labels(future, has_amount=False), "purchases", "net") == {
        "buyer": (2, None),
        "refunded": (1, None),
        "free": (1, None),
        "returned": (1, None),
        "mixed": (2, None),
    }


@pytest.mark.parametrize("has_amount", [True, False])
def test_labels_are_null_until_mature_and_absence_is_churn(has_amount: bool, engine: DuckDBEngine) -> None:
    joined = engine.store_arrow(
        "joined",
        pa.table(
            {
                "customer_id": ["stayed", "gone", "refunded", "early"],
                "purchases": pa.array([2, None, 0, 1], pa.int64()),
                "net": pa.array([9.0, None, -1.0, 5.0]),
                "cutoff": [datetime(2024, 3, 2)] * 3 + [datetime(2024, 3, 3)],  # noqa: DTZ001 (UTC)
            }
        ),
    )
    columns = {"churned": churned_label(joined, False), "value": value_label(joined, has_amount, False)}
    when = {"cutoff": joined.cutoff, "horizon": Window(30), "end": date(2024, 4, 1)}
    rows = joined.select("customer_id", **{name: null_if_immature(label, **when) for name, label in columns.items()})
    assert rows.schema()["churned"].is_int8()
    assert values_by_customer(rows, "churned") == {"stayed": (0,), "gone": (1,), "refunded": (1,), "early": (None,)}
    values = {"stayed": (9.0,), "gone": (0.0,), "refunded": (-1.0,), "early": (None,)}
    assert values_by_customer(rows, "value") == (values if has_amount else dict.fromkeys(values, (None,)))


# Contracts: terms in days from the cutoff, which are (start, end or None, why, more), and what becomes of the cover

HORIZON, LONGER, PRICE_DAYS, CANCELLED = 30, 45, 10, ["left", "switched"]
CUTOFF, END = date(2024, 3, 1), date(2024, 6, 1)
SCHEMA = {
    "customer": pa.string(),
    **{name: pa.date32() for name in ("start", "end", "known", "end_known")},
    "why": pa.string(),
    "price": pa.float64(),
}
EDGES: dict[str, tuple[list[tuple[Any, ...]], tuple[int, float] | None]] = {
    "runs on": ([(-100, None, None)], (0, 30.0)),
    "ends at the cutoff": ([(-100, 0, "left")], (1, 0.0)),
    "ended the day before": ([(-100, -1, "left")], None),
    "ends on the last day": ([(-100, 29, "left")], (1, 29.0)),
    "ends with the horizon": ([(-100, 30, "left")], (0, 30.0)),
    "another word for it": ([(-100, 5, "switched")], (1, 5.0)),
    "a competing end": ([(-100, 5, "death")], (0, 5.0)),
    "an end without a reason": ([(-100, 5, None)], (0, 5.0)),
    "renewed at once": ([(-100, 5, "left"), (5, None, None)], (0, 30.0)),
    "renewed within the grace": ([(-100, 5, "left"), (12, None, None)], (0, 23.0)),
    "renewed a day too late": ([(-100, 5, "left"), (13, None, None)], (1, 22.0)),
    "renewed before the horizon's end": ([(-100, 25, "left"), (29, None, None)], (0, 26.0)),
    "a renewal behind the horizon cannot be seen": ([(-100, 25, "left"), (30, None, None)], (1, 25.0)),
    "renewed, then left": ([(-100, 5, "left"), (6, 20, "left")], (1, 19.0)),
    "renewed, then died": ([(-100, 5, "left"), (6, 20, "death")], (0, 19.0)),
    "died, and another lives on": ([(-100, 5, "death"), (-50, None, None)], (0, 35.0)),
    "one of two cancelled": ([(-100, 5, "left"), (-50, None, None)], (0, 35.0)),
    "both cancelled": ([(-100, 5, "left"), (-50, 20, "left")], (1, 25.0)),
    "the last to end is no cancellation": ([(-100, 5, "left"), (-50, 6, "death")], (0, 11.0)),
    "one day, two ends": ([(-100, 5, "left"), (-50, 5, "death")], (1, 10.0)),
    "covered by a longer one": ([(-100, 20, "death"), (-90, 5, "left"), (27, None, None)], (0, 28.0)),
    "starts at the cutoff": ([(0, None, None)], None),
    "starts on the eve": ([(-1, None, None)], (0, 30.0)),
    "planned, and known in advance": ([(-100, 20, "left", {"end_known": -50})], (1, 20.0)),
    "planned behind the horizon": ([(-100, 40, "left", {"end_known": -50})], (0, 30.0)),
    "an end that was known late": ([(-100, -10, "left", {"end_known": 3})], (1, 0.0)),
    "one that was known at the cutoff": ([(-100, -10, "left", {"end_known": 0})], (1, 0.0)),
    "one that was known on the eve": ([(-100, -10, "left", {"end_known": -1})], None),
    "renewed after one that was known late": ([(-100, -10, "left", {"end_known": 3}), (7, None, None)], (0, 23.0)),
    "a death that was known late": ([(-100, -10, "death", {"end_known": 3})], (0, 0.0)),
    "a term that was known late": ([(-100, None, None, {"known": 0})], None),
    "known late beside one that was known": ([(-100, 3, "left"), (-50, None, None, {"known": 9})], (0, 33.0)),
    "no price": ([(-100, None, None, {"price": None})], (0, 0.0)),
    "comes back after a break": ([(-100, 2, "left"), (15, 20, "death")], (1, 7.0)),
    "none": ([], None),
}


def moved(days: int | None) -> date | None:
    return None if days is None else CUTOFF + timedelta(days)


def written(customer: str, terms: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Terms as rows of dates; the price of ten days is 10 unless given."""
    rows = []
    for start, end, why, *more in terms:
        extra: Mapping[str, Any] = more[0] if more else {}
        days = {"start": start, "end": end, "known": extra.get("known"), "end_known": extra.get("end_known")}
        row = {"customer": customer, "why": why, "price": extra.get("price", 10.0)}
        rows.append(row | {name: moved(value) for name, value in days.items()})
    return rows


Contracts = Callable[..., Config]


@pytest.fixture
def make_terms(tmp_path: Path, make_config: Callable[..., Config]) -> Contracts:
    """From rows of terms to a config that has nothing else, complete until END."""

    def make(rows: Sequence[Mapping[str, Any]], **keys: Any) -> Config:
        columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in SCHEMA.items()}
        pq.write_table(pa.table(columns), tmp_path / "terms.parquet")
        terms = {"source": "terms.parquet", "customer": "customer", "start": "start", "end": "end", "reason": "why"}
        more = {"cancelled": CANCELLED, "price": "price", "price_every": f"{PRICE_DAYS}d", "until": str(END)}
        clocks = {"known_at": "known", "end_known_at": "end_known"}
        events = {"source": "terms.parquet", "customer": "customer", "time": "start", "known_at": "known"}
        sections = {"subscriptions": terms | more | clocks | keys, "task": {"churn": "cancelled"}}
        return make_config(sections, **events, until=str(END))

    return make


def contract_snapshots(config: Config, engine: DuckDBEngine, cutoffs: Sequence[date]) -> Snapshots:
    windows = (Window(30), Window(90))
    task = Task(Window(HORIZON), Cohort(Window(365)), Window(30), windows, "cancelled", (Window(LONGER),))
    return snapshots_from_tables(read_tables(config, engine), task, cutoffs, engine)


def test_what_becomes_of_a_cover(make_terms: Contracts, engine: DuckDBEngine) -> None:
    rows = [row for name, (terms, _) in EDGES.items() for row in written(name, terms)]
    built = contract_snapshots(make_terms([*rows, *written("keeps the log", [(-200, None, None)])]), engine, [CUTOFF])
    outcomes = values_by_customer(built.rows, "churned", "value")
    assert outcomes.pop("keeps the log") == (0, 30.0)
    assert outcomes == {name: outcome for name, (_, outcome) in EDGES.items() if outcome is not None}


@pytest.mark.parametrize("seed", range(4))
def test_every_label_of_a_contract_agrees_with_the_oracle(
    seed: int, make_terms: Contracts, engine: DuckDBEngine
) -> None:
    rng = random.Random(seed)  # noqa: S311
    terms = {f"customer {n}": random_terms(rng) for n in range(150)}
    rows = [row for name, own in terms.items() for row in written(name, own)]
    cutoffs = [CUTOFF - timedelta(33), CUTOFF, CUTOFF + timedelta(10)]
    built = contract_snapshots(make_terms(rows), engine, cutoffs)
    seen = set()
    known_by = {
        day: {
            (row["customer_id"], row["cutoff"].date()): row
            for row in built.as_known(day).labelled(built.rows).to_pylist()
        }
        for day in cutoffs[1:]
    }
    labels = {(row["customer_id"], row["cutoff"].date()): row for row in built.rows.to_pylist()}
    for name, own in terms.items():
        mine = written(name, own)
        for cutoff in cutoffs:
            row = labels.pop((name, cutoff), None)
            assert (row is not None) == oracle_terms.in_cohort(mine, cutoff), (name, own, cutoff)
            if row is None:
                continue
            churned, competing = oracle_terms.label(mine, cutoff, HORIZON, CANCELLED)
            assert row["churned"] == churned, (name, own, cutoff)
            for label, days in (("value", HORIZON), (f"value_{LONGER}d", LONGER)):
                assert row[label] == pytest.approx(oracle_terms.value(mine, cutoff, days, PRICE_DAYS)), (own, cutoff)
            seen.add((churned, competing))
            for known in known_by:
                known_terms = oracle_terms.as_known(mine, known)
                expected = oracle_terms.label(known_terms, cutoff, HORIZON, CANCELLED)[0]
                if cutoff + timedelta(HORIZON) <= known:
                    assert known_by[known][name, cutoff]["churned"] == expected, (name, own, cutoff, known)
    assert not labels and seen == {(0, False), (1, False), (0, True)}


def test_an_end_that_was_known_later_was_no_churn_before(make_terms: Contracts, engine: DuckDBEngine) -> None:
    late_end = written("late", [(-100, -5, "left", {"end_known": 3})])
    renewed = written("renewed", [(-100, -5, "left"), (-4, None, None, {"known": 3})])
    built = contract_snapshots(
        make_terms([*late_end, *renewed, *written("keeps the log", [(-200, None, None), (60, None, None)])]),
        engine,
        [CUTOFF - timedelta(33), CUTOFF, CUTOFF + timedelta(10)],
    )
    known = [built.rows, *(built.as_known(day).labelled(built.rows) for day in built.cutoffs[1:])]
    assert [values_by_customer(rows[:3], "churned")["late"] for rows in known] == [(1,), (0,), (1,)]
    assert [values_by_customer(rows[:3], "churned")["renewed"] for rows in known] == [(0,), (1,), (0,)]


def random_terms(rng: random.Random) -> list[tuple[Any, ...]]:
    """Terms that end and follow on each other around the cutoffs and the horizon's end, some known late."""
    terms, start = [], rng.choice((-200, -60, -40, -34, -1, 0, 3))
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        length = rng.choice((None, 0, 1, 5, 30, 40, 60, 61, 230))
        end = None if length is None else start + length
        extra: dict[str, Any] = {"price": rng.choice((None, 0.0, 10.0, 9.99, 12.5))}
        if end is not None and rng.random() < 0.3:
            extra["end_known"] = end + rng.choice((-40, -1, 0, 1, 20, 45))
        if rng.random() < 0.2:
            extra["known"] = start + rng.choice((-5, 0, 1, 30))
        terms.append((start, end, None if end is None else rng.choice((None, "left", "switched", "death")), extra))
        start = (start + 30 if end is None else end) + rng.choice((-20, -1, 0, 0, 1, 6, 7, 8, 9, 25))
    return terms


def test_labels_of_contracts_are_null_until_mature(make_terms: Contracts, engine: DuckDBEngine) -> None:
    config = make_terms(written("a", [(-200, 70, "left")]) + written("b", [(-200, None, None)]))
    mature, young = END - timedelta(HORIZON), END - timedelta(HORIZON - 1)
    rows = contract_snapshots(config, engine, [mature, young]).rows.to_pylist()
    assert [(row["customer_id"], row["churned"], row["value"]) for row in rows] == [
        ("a", 1, 8.0),
        ("b", 0, 30.0),
        ("a", None, None),
        ("b", None, None),
    ]


def test_amounts_of_events_are_the_payments_where_there_are_any(
    make_terms: Contracts, make_config: Callable[..., Config], tmp_path: Path, engine: DuckDBEngine
) -> None:
    alone = make_terms(written("a", [(-200, None, None)]) + written("pays", [(-200, 10, "left")]), until="")
    days = [moved(days) for days in (-50, 0, 9, 30, 80)]
    times = [datetime(day.year, day.month, day.day) for day in days if day]  # noqa: DTZ001
    pq.write_table(
        pa.table({"customer": ["pays"] * 5, "time": times, "amount": [1.0, 2, 4, 8, 16]}), tmp_path / "log.parquet"
    )
    sections = {"subscriptions": alone.subscriptions, "task": {"churn": "cancelled"}}
    built = contract_snapshots(make_config(sections, amount="amount"), engine, [CUTOFF])
    assert values_by_customer(built.rows, "churned", "value") == {"a": (0, 0.0), "pays": (1, 6.0)}
    unpaid = {row["customer_id"]: row["orders_count_ever"] for row in built.rows.to_pylist()}
    assert unpaid == {"a": None, "pays": 1.0}
