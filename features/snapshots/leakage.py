"""The proof that nothing looks ahead: what happened, or became known, at or after a cutoff is deleted, then corrupted,
the features are built again, and every one of every customer must be the same to the last bit.

The features that are compared with were built for all tried cutoffs at once from the whole log, as training builds
them; those of the changed log for one cutoff alone. So what one cutoff sees of another is found out as well. Which
columns there are is settled by the config and the log as a whole; whatever else is known of the whole log (its first
and last day, its counts) follows the change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from features.atomic_files import write_whole
from features.audit import audit
from features.catalog import custom
from features.catalog.custom import CustomFeatures
from features.config.load import Config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.errors import DataError
from features.intake import read_log
from features.intake.tables import Tables
from features.snapshots import build
from features.snapshots.leakage_corruption import corrupt_after, delete_after
from features.task import Task

Change = Callable[[ibis.Table, date], ibis.Table]


@dataclass(frozen=True)
class LeakageTrial:
    """One cutoff whose future was changed in one way.

    Attributes:
        cutoff: The cutoff.
        change: 'deleted' or 'corrupted'.
        changed_rows: Rows at or after the cutoff, by either clock, of each table.
        customers: Customers compared.
        features: Features compared.
        leaks: Feature and the number of customers for whom it changed; 'customers' where the cohort did.
    """

    cutoff: date
    change: str
    changed_rows: Mapping[str, int]
    customers: int
    features: int
    leaks: tuple[tuple[str, int], ...]


def prove_no_leakage(config: Config, count: int = 3) -> list[LeakageTrial]:
    """Tries `count` cutoffs of a config's log, spread from the first to the last that can be learned from.

    Raises:
        DataError: No cutoff is mature.
        UsageError: The file of the user's own features cannot be used.
    """
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(config, engine), task)
        audit.require_no_breach(tables, task, engine)
        mine = custom.read_custom_features(config, task, tables.contract)
        cutoffs = spread_cutoffs(audit.mature_cutoffs(tables, task), count)
        if not cutoffs:
            raise DataError("no cutoff is mature, so there is nothing to prove; give a longer log")
        return prove_at_cutoffs(tables, task, mine, cutoffs, engine)


def prove_at_cutoffs(
    tables: Tables, task: Task, mine: CustomFeatures, cutoffs: Sequence[date], engine: Engine
) -> list[LeakageTrial]:
    """Tries given cutoffs of a log."""
    changes: dict[str, Change] = {"deleted": delete_after, "corrupted": corrupt_after}
    bar = tqdm(total=1 + len(cutoffs) * len(changes), desc="proving", leave=False, disable=None)
    trials = []
    with bar:
        whole = build.snapshots_from_tables(tables, task, cutoffs, engine, own=mine, with_labels=False).rows
        bar.update()
        for cutoff in cutoffs:
            honest = whole.filter(pc.equal(whole["cutoff"], pa.scalar(datetime.combine(cutoff, time()))))
            rows = count_later_rows(tables, cutoff, engine)
            size = {"customers": honest.num_rows, "features": honest.num_columns - len(build.KEYS)}
            for name, change in changes.items():
                changed = change_tables(tables, change, cutoff, engine)
                altered = build.snapshots_from_tables(changed, task, [cutoff], engine, own=mine, with_labels=False).rows
                found = differing_columns(honest, altered)
                trials.append(LeakageTrial(cutoff, name, rows, leaks=tuple(found.items()), **size))
                bar.update()
    return trials


def count_later_rows(tables: Tables, cutoff: date, engine: Engine) -> dict[str, int]:
    """How many rows of each table happened, or became known, at or after a cutoff."""
    rows = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    return {name: engine.count(table.filter(table.seen >= ibis.literal(cutoff))) for name, table in rows.items()}


def change_tables(tables: Tables, change: Change, cutoff: date, engine: Engine) -> Tables:
    """The contract with every table changed, and all that is known of the log as a whole counted anew."""
    events = engine.store("changed_events", change(tables.events, cutoff))
    sides = {}
    for place, (name, side) in enumerate(tables.sides.items()):
        rows = engine.store(f"changed_side_{place}", change(side.rows, cutoff))
        sides[name] = replace(side, rows=rows, rows_read=engine.count(rows), set_aside=())
    facts = engine.arrow(
        events.aggregate(
            rows=events.count(),
            customers=events.customer_id.nunique(),
            first=events.day.min(),
            last=ibis.greatest(events.day.max(), ibis.literal(cutoff)),
        )
    ).to_pylist()[0]
    return replace(
        tables,
        events=events,
        source=events,
        sides=sides,
        rows_read=facts["rows"],
        end=facts["last"] + (tables.end - tables.last),
        set_aside=(),
        duplicates_dropped=0,
        fingerprint=engine.content(events),
        **facts,
    )


def check_leaks(config: Config) -> tuple[list[LeakageTrial], Path]:
    """Proves it for a config's log and writes the proof as JSON; returns it and where it was written."""
    trials, target = prove_no_leakage(config), config.output / "leaks.json"
    plain = [{**asdict(trial), "cutoff": str(trial.cutoff)} for trial in trials]
    write_whole(target, json.dumps(plain, indent=1) + "\n")
    return trials, target


def spread_cutoffs(cutoffs: Sequence[date], count: int) -> list[date]:
    """At most `count` cutoffs, the first and the last among them, evenly spread.

    >>> [d.month for d in spread([date(2024, m, 1) for m in range(1, 8)], 3)]
    [1, 4, 7]
    """
    places = np.linspace(0, len(cutoffs) - 1, min(count, len(cutoffs))).round().astype(int)
    return [cutoffs[place] for place in places]


def differing_columns(honest: pa.Table, altered: pa.Table) -> dict[str, int]:
    """The columns that differ in any bit, with the number of customers concerned; 'customers' where those differ.

    >>> differences(pa.table({"customer_id": ["a"], "x": [1.0]}), pa.table({"customer_id": ["a"], "x": [1.5]}))
    {'x': 1}
    """
    found = {}
    if not honest["customer_id"].equals(altered["customer_id"]):
        mine, theirs = (set(table["customer_id"].to_pylist()) for table in (honest, altered))
        found["customers"] = len(mine ^ theirs)
        both = pa.array(sorted(mine & theirs), pa.string())
        honest, altered = (table.filter(pc.is_in(table["customer_id"], both)) for table in (honest, altered))
    for name in dict.fromkeys([*honest.column_names, *altered.column_names]):
        shared = name in honest.column_names and name in altered.column_names
        count = _differing(honest[name], altered[name]) if shared else honest.num_rows
        if count:
            found[name] = count
    return found


def leaks_text(trials: Sequence[LeakageTrial]) -> str:
    """The proof as text for a terminal."""
    lines = []
    for t in trials:
        leaks = ", ".join(f"{name} ({count:,} customers)" for name, count in t.leaks)
        verdict = f"LEAK: {leaks}" if leaks else "every bit the same"
        later = ", ".join(f"{rows:,} of {name}" for name, rows in t.changed_rows.items())
        size = f"{t.customers:,} customers x {t.features} features"
        lines.append(f"cutoff {t.cutoff}: later rows {t.change} ({later}), {size}: {verdict}")
    return "\n".join(lines)


def _differing(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    """How many values differ in any bit; null equals null only."""
    if a.type != b.type:
        return len(a)
    nulls = a.is_null().to_numpy(), b.is_null().to_numpy()
    if not pa.types.is_floating(a.type):
        return int(sum(x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)))
    bits = [x.fill_null(0.0).to_numpy().astype(np.float64).view(np.int64) for x in (a, b)]
    return int(((bits[0] != bits[1]) | (nulls[0] != nulls[1])).sum())
