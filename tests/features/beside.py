"""Difficult side tables: rows that are late, tied, at window edges, of unknown customers or without values."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.config.load import Config
from features.engines.duckdb import DuckDBEngine
from features.intake.read_log import read_tables
from features.snapshots.build import snapshots_from_tables
from features.task import Cohort, Task, Window

Row = dict[str, Any]
EDGES = (0, 1, 2, 29, 30, 31, 89, 90, 91, 150, 400, -1, -20)
CLOCKS = ((0, 0, 0, 0), (0, 0, 0, 1), (9, 30, 0, 0), (23, 59, 59, 999999))
SHARED = {"customer": pa.string(), "time": pa.timestamp("us", "UTC"), "known_at": pa.timestamp("us", "UTC")}
SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "visits": {**SHARED, "measure": pa.float64(), "what": pa.string(), "Where Id": pa.string()},
    "tickets": SHARED,
    "contacts": {**SHARED, "action": pa.string(), "cost": pa.float64(), "propensity": pa.float64()},
    "subscriptions": {**SHARED, "end": pa.timestamp("us", "UTC"), "price": pa.float64()},
}
BASE = {"customer": "customer", "known_at": "known_at"}
SECTIONS: dict[str, Any] = {
    "activities": {
        "visits": {
            **BASE, "source": "visits.parquet", "time": "time", "measure": "measure", "kinds": ["what", "Where Id"],
        },
        "tickets": {**BASE, "source": "tickets.parquet", "time": "time"},
    },
    "contacts": {
        **BASE, "source": "contacts.parquet", "time": "time", "action": "action", "cost": "cost",
        "propensity": "propensity", "control": "none",
    },
    "subscriptions": {**BASE, "source": "subscriptions.parquet", "start": "time", "end": "end", "price": "price"},
}  # fmt: skip


def config(
    make_config: Callable[..., Config],
    parent: Path,
    events: pa.Table,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    sections: Mapping[str, Any] = SECTIONS,
) -> Config:
    """Write events and side tables into a new folder in `parent`, and return a config that names them.

    Files that an engine has read are never overwritten.
    """
    folder = f"log{len(list(parent.glob('log*')))}"
    (parent / folder).mkdir()
    pq.write_table(events, parent / folder / "log.parquet")
    for name in SCHEMAS:
        write(parent / folder, name, tables.get(name, ()))
    roles = {role: role for role in ("amount", "order", "quantity", "known_at") if role in events.column_names}
    kinds = [name for name in events.column_names if name.startswith("kind")]
    return make_config(placed(sections, folder), source=f"{folder}/log.parquet", **roles, kinds=kinds[:1])


def placed(sections: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return sections whose sources are in a folder."""
    if "source" in sections:
        return {**sections, "source": f"{folder}/{sections['source']}"}
    return {key: placed(value, folder) if isinstance(value, Mapping) else value for key, value in sections.items()}


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table of `SCHEMAS` as `NAME.parquet`; a missing column of a row is null."""
    columns = {c: pa.array([row.get(c) for row in rows], kind) for c, kind in SCHEMAS[name].items()}
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def random_rows(
    seed: int, customers: Sequence[str], cutoffs: Sequence[date], purchases: Mapping[str, Sequence[datetime]]
) -> dict[str, list[Row]]:
    """Rows of every table, for some of the customers and a stranger; contacts stand close to purchases."""
    rng = random.Random(seed)  # noqa: S311
    tables: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for customer in (*customers, "stranger"):
        for name, make in (("visits", _visit), ("tickets", _ticket)):
            for _ in range(rng.choice((0, 0, 1, 2, 5, 13))):
                tables[name].append(make(rng, customer, _moment(rng, cutoffs)))
        tables["contacts"] += _contacts(rng, customer, cutoffs, purchases.get(customer, ()))
        tables["subscriptions"] += _terms(rng, customer, cutoffs)
    for rows in tables.values():
        rng.shuffle(rows)
    return tables


def _moment(rng: random.Random, cutoffs: Sequence[date]) -> datetime:
    day = rng.choice(cutoffs) - timedelta(rng.choice(EDGES))
    return datetime(day.year, day.month, day.day, *rng.choice(CLOCKS), tzinfo=UTC)


def _row(rng: random.Random, customer: str, time: datetime) -> Row:
    known = (None, time, time, time - timedelta(3), time + timedelta(1), time + timedelta(30))
    return {"customer": customer, "time": time, "known_at": rng.choice(known)}


def _visit(rng: random.Random, customer: str, time: datetime) -> Row:
    return {
        **_row(rng, customer, time),
        "measure": rng.choice((None, None, -3.5, 0.0, 0.0001, 1.0, 7.25, 1234.5678)),
        "what": rng.choice((None, "a", "b", "é 商", "ü" * 30)),
        "Where Id": rng.choice((None, "here", "there")),
    }


def _ticket(rng: random.Random, customer: str, time: datetime) -> Row:
    return _row(rng, customer, time)


def _contacts(rng: random.Random, customer: str, cutoffs: Sequence[date], purchases: Sequence[datetime]) -> list[Row]:
    """Some at moments of their own, some shortly before, at and shortly after a purchase, some twice."""
    times = [_moment(rng, cutoffs) for _ in range(rng.choice((0, 1, 2, 4)))]
    lags = (timedelta(0), timedelta(microseconds=1), timedelta(14), timedelta(14, microseconds=-1), timedelta(-1))
    times += [time - rng.choice(lags) for time in purchases if rng.random() < 0.3]
    times += [time for time in times if rng.random() < 0.2]
    return [
        {
            **_row(rng, customer, time),
            "action": rng.choice(("email", "call", "für dich", "none", "none")),
            "cost": rng.choice((None, 0.0, 0.15, 2.5)),
            "propensity": rng.choice((None, 0.25, 1.0)),
        }
        for time in times
    ]


def _terms(rng: random.Random, customer: str, cutoffs: Sequence[date]) -> list[Row]:
    """Terms that follow on each other early, late, on the day, after a break, or run on; some on their own."""
    terms: list[Row] = []
    start = _moment(rng, cutoffs) - timedelta(rng.choice((0, 60, 300)))
    for _ in range(rng.choice((0, 0, 1, 2, 3, 5))):
        length = rng.choice((None, timedelta(0), timedelta(1), timedelta(30), timedelta(90), timedelta(400)))
        end = None if length is None else start + length
        terms.append({**_row(rng, customer, start), "end": end, "price": rng.choice((None, 0.0, 9.99, 9.99, 12.5))})
        start = (end or start + timedelta(30)) + timedelta(rng.choice((-40, -1, 0, 0, 6, 7, 8, 50)))
        if rng.random() < 0.15:
            start = _moment(rng, cutoffs)
    return terms


def by_hand(
    make_config: Callable[..., Config],
    parent: Path,
    engine: DuckDBEngine,
    cutoff: date,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    purchases: Sequence[tuple[str, datetime, float]],
) -> dict[str, dict[str, Any]]:
    """The features at a cutoff, over windows of 30 and 90 days, by customer, from one table and lines of events.

    Another customer keeps the log going.
    """
    start = datetime(cutoff.year, cutoff.month, cutoff.day, tzinfo=UTC)
    lines = [*purchases, *(("other", start + timedelta(n), 1.0) for n in (-300, 60))]
    events = {column: [line[place] for line in lines] for place, column in enumerate(("customer", "time", "amount"))}
    log = read_tables(config(make_config, parent, pa.table(events), {name: rows}), engine)
    task = Task(Window(30), Cohort(Window(365)), Window(30), (Window(30), Window(90)))
    built = snapshots_from_tables(log, task, [cutoff], engine, with_labels=False).rows.to_pylist()
    return {row["customer_id"]: row for row in built}
