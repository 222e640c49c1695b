"""Features from equally long histories: the same as those of a log that began so many days before the cutoff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from features.catalog.custom import NO_CUSTOM_FEATURES
from features.engines.duckdb import DuckDBEngine
from features.intake.tables import Tables
from features.snapshots.build import snapshots_from_tables
from features.snapshots.comparable import comparable_features, sample_customers
from features.task import Task

START, LENGTH = datetime(2024, 1, 1, 12), 90
CUTOFFS = [date(2024, 5, 1), date(2024, 8, 1)]


def rows(customers: int = 40, since: date = date(2024, 1, 1)) -> list[dict[str, Any]]:
    """Customers who order all along, each at an interval of its own."""
    log = [
        {"customer": f"c{n}", "time": START + timedelta(days=day), "amount": 5.0 + n}
        for n in range(customers)
        for day in range(n % 7, 230, 3 + n)
    ]
    return [row for row in log if row["time"].date() >= since]


def features_at(tables: Tables, task: Task, cutoffs: list[date], engine: DuckDBEngine) -> dict[tuple[str, date], Any]:
    built, features = comparable_features(tables, task, cutoffs, engine, own=NO_CUSTOM_FEATURES, length=LENGTH)
    table = engine.to_arrow(built).select(["customer_id", "cutoff", *(f.name for f in features)])
    return {(row["customer_id"], row["cutoff"].date()): row for row in table.to_pylist()}


def test_they_equal_those_of_a_log_that_began_so_long_before(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    task = make_task(active=60)
    compared = features_at(make_log(rows()), task, CUTOFFS, engine)
    assert {cutoff for _, cutoff in compared} == set(CUTOFFS)
    for cutoff in CUTOFFS:
        later = make_log(rows(since=cutoff - timedelta(LENGTH)))
        short = snapshots_from_tables(later, task, [cutoff], engine, with_labels=False).rows.to_pylist()
        assert len(short) > 20
        for row in short:
            expected = compared[row["customer_id"], cutoff]  # without the shares, which are for explanations
            assert {name: row[name] for name in expected} == expected


def test_what_grows_with_the_log_no_longer_does(
    make_log: Callable[..., Tables], engine: DuckDBEngine, make_task: Callable[..., Task]
) -> None:
    compared = features_at(make_log(rows()), make_task(active=60), CUTOFFS, engine)
    tenures = {cutoff: max(r["tenure_days"] for (_, c), r in compared.items() if c == cutoff) for cutoff in CUTOFFS}
    assert set(tenures.values()) == {LENGTH}


def test_a_sample_has_the_same_customers_in_every_table(make_log: Callable[..., Tables], engine: DuckDBEngine) -> None:
    tables = make_log(rows(customers=400))
    ids = [
        set(engine.to_arrow(sample_customers(tables, share).events)["customer_id"].to_pylist())
        for share in (0.25, 0.5, 1.0)
    ]
    assert ids[0] < ids[1] < ids[2] and 60 < len(ids[0]) < 140 and len(ids[2]) == 400
