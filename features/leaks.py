"""The proof that nothing looks ahead: what happened, or became known, at or after a cutoff is deleted, then corrupted,
the features are built again, and every one of every customer must be the same to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from features import intake, schema, snapshots
from features.config import Config
from features.engine import DuckDBEngine, open_engine
from features.errors import DataError
from features.files import write_whole
from features.intake import Change
from features.sections import TableSection

SHIFT_DAYS, STRANGER = 3, "nobody-"


@dataclass(frozen=True)
class Trial:
    """One cutoff whose future was changed in one way.

    Attributes:
        cutoff: The cutoff.
        change: 'deleted' or 'corrupted'.
        changed_rows: Rows at or after the cutoff, by either clock.
        customers: Customers compared.
        features: Features compared.
        leaks: Feature and the number of customers for whom it changed; 'customers' where the cohort did.
    """

    cutoff: date
    change: str
    changed_rows: int
    customers: int
    features: int
    leaks: tuple[tuple[str, int], ...]


def prove(config: Config, count: int = 3) -> list[Trial]:
    """Tries `count` cutoffs of a config's log, spread from the first to the last that can be learned from.

    Raises:
        DataError: No cutoff is mature.
    """
    with _still(config) as still:
        return _prove(still, count)


@contextmanager
def _still(config: Config) -> Iterator[Config]:
    """The config with what lies in databases copied to files: a table may change between two readings."""
    sections = {name: getattr(config, name) for name in ("events", "customers", "contacts", "subscriptions")}
    scratch = config.path(config.engine.scratch) if config.engine.scratch else None
    with TemporaryDirectory(prefix="regulars-", dir=scratch) as name:
        folder = Path(name)
        with open_engine(config.engine, config.folder) as engine:
            still: dict[str, Any] = {
                name: _copied(section, name, engine, config, folder) for name, section in sections.items()
            }
            still["activities"] = {
                name: _copied(section, f"activities.{name}", engine, config, folder)
                for name, section in config.activities.items()
            }
        yield config.model_copy(update=still)


def _copied(
    section: TableSection | None, name: str, engine: DuckDBEngine, config: Config, folder: Path
) -> TableSection | None:
    if section is None or not section.rows(name).database:
        return section
    target = folder / f"{name}.parquet"
    engine.rows(section.rows(name), config.folder, ids=section.ids()).to_parquet(target)
    return section.model_copy(update={"source": str(target), "table": "", "query": "", "password_env": ""})


def _prove(config: Config, count: int) -> list[Trial]:
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = intake.load(config, engine)
        schema.require(tables, task, engine)
        cutoffs = spread(schema.mature_cutoffs(tables, task), count)
    if not cutoffs:
        raise DataError("no cutoff is mature, so there is nothing to prove; give a longer log")
    changes = {"deleted": delete_after, "corrupted": corrupt_after}
    bar = tqdm(total=len(cutoffs) * len(changes), desc="proving", leave=False, disable=None)
    trials = []
    with bar:
        for cutoff in cutoffs:
            honest, changed_rows = _build(config, cutoff, None)
            for name, change in changes.items():
                altered, _ = _build(config, cutoff, lambda rows, c=change, d=cutoff: c(rows, d))  # type: ignore[misc]
                found = differences(honest, altered)
                size = {"customers": honest.num_rows, "features": honest.num_columns - len(snapshots.KEYS)}
                trials.append(Trial(cutoff, name, changed_rows, leaks=tuple(found.items()), **size))
                bar.update()
    return trials


def check(config: Config) -> tuple[list[Trial], Path]:
    """Proves it for a config's log and writes the proof as JSON; returns it and where it was written."""
    trials, target = prove(config), config.output / "leaks.json"
    plain = [{**asdict(trial), "cutoff": str(trial.cutoff)} for trial in trials]
    write_whole(target, json.dumps(plain, indent=1) + "\n")
    return trials, target


def spread(cutoffs: Sequence[date], count: int) -> list[date]:
    """At most `count` cutoffs, the first and the last among them, evenly spread.

    >>> [d.month for d in spread([date(2024, m, 1) for m in range(1, 8)], 3)]
    [1, 4, 7]
    """
    places = np.linspace(0, len(cutoffs) - 1, min(count, len(cutoffs))).round().astype(int)
    return [cutoffs[place] for place in places]


def delete_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """The rows of a log that had happened and were known before a cutoff."""
    return rows.filter(rows.seen < ibis.literal(cutoff))


def corrupt_after(rows: ibis.Table, cutoff: date) -> ibis.Table:
    """A log whose rows at or after a cutoff have other times, orders, amounts and kinds, and bring new customers."""
    past = delete_after(rows, cutoff)
    future = rows.filter(rows.seen >= ibis.literal(cutoff))
    later = ibis.interval(days=SHIFT_DAYS)
    wrong: dict[str, Any] = {
        "order_id": future.order_id + "-corrupted",
        "time": future.time + later,
        "day": (future.day.cast("timestamp") + later).date(),
        "seen": (future.seen.cast("timestamp") + later).date(),
        "amount": (future.amount * -3 + 123_456).cast("int64"),
        "quantity": (future.quantity * 7 + 10_000).cast("int64"),
        **{name: ibis.literal("corrupted") for name in rows.columns if name.startswith("kind_")},
    }
    spoilt = future.mutate(**{name: value.cast(rows[name].type()) for name, value in wrong.items()})
    strangers = spoilt.mutate(customer_id=ibis.literal(STRANGER) + spoilt.customer_id)
    return ibis.union(past, spoilt.select(past.columns), strangers.select(past.columns))


def differences(honest: pa.Table, altered: pa.Table) -> dict[str, int]:
    """The columns that differ in any bit, with the number of customers concerned; 'customers' where those differ.

    >>> differences(pa.table({"customer_id": ["a"], "x": [1.0]}), pa.table({"customer_id": ["a"], "x": [1.5]}))
    {'x': 1}
    """
    if not honest["customer_id"].equals(altered["customer_id"]):
        mine, theirs = (set(table["customer_id"].to_pylist()) for table in (honest, altered))
        return {"customers": len(mine ^ theirs)}
    found = {}
    for name in dict.fromkeys([*honest.column_names, *altered.column_names]):
        both = name in honest.column_names and name in altered.column_names
        count = _differing(honest[name], altered[name]) if both else honest.num_rows
        if count:
            found[name] = count
    return found


def describe(trials: Sequence[Trial]) -> str:
    """The proof as text for a terminal."""
    lines = []
    for t in trials:
        leaks = ", ".join(f"{name} ({count:,} customers)" for name, count in t.leaks)
        verdict = f"LEAK: {leaks}" if leaks else "every bit the same"
        size = f"{t.customers:,} customers x {t.features} features"
        lines.append(f"cutoff {t.cutoff}: {t.changed_rows:,} later rows {t.change}, {size}: {verdict}")
    return "\n".join(lines)


def _build(config: Config, cutoff: date, change: Change | None) -> tuple[pa.Table, int]:
    """Features of a cutoff of the log, changed or not, and how many rows stand at or after it."""
    with open_engine(config.engine, config.folder) as engine:
        tables = intake.load(config, engine, change)
        later = engine.count(tables.events.filter(tables.events.seen >= ibis.literal(cutoff)))
        reaching = replace(tables, last=max(tables.last, cutoff))
        rows = snapshots.build(reaching, config.task.task(), [cutoff], engine, with_labels=False).rows
    return rows, later


def _differing(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    """How many values differ in any bit; null equals null only."""
    nulls = a.is_null().to_numpy(), b.is_null().to_numpy()
    if not pa.types.is_floating(a.type):
        return int(sum(x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)))
    bits = [x.fill_null(0.0).to_numpy().astype(np.float64).view(np.int64) for x in (a, b)]
    return int(((bits[0] != bits[1]) | (nulls[0] != nulls[1])).sum())
