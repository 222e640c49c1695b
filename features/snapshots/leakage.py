"""Proves that no feature uses the future, and no label for training what became known later.

Rows that happened or became known at or after a cutoff are deleted, then corrupted, and the features are built again,
with the labels of earlier cutoffs as known at this one: every value of every customer must stay the same to the last
bit.

The features to compare with were built from the whole log for all tried cutoffs at once, as training builds them, and
those of the changed log for one cutoff alone. So leakage between cutoffs is detected too. The config and the whole log
decide which columns exist; all other facts about the whole log (its first and last day, its counts) follow the
change.
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

from features.audit import audit
from features.catalog.custom import NO_CUSTOM_FEATURES, CustomFeatures
from features.config.load import Config
from features.engines.base import Engine
from features.errors import DataError
from features.intake.log import opened
from features.intake.tables import Tables
from features.label_delay import NO_LABEL_DELAY
from features.point_in_time.history import cutoff_table, order_days
from features.snapshots import build
from features.snapshots.label_revisions import find_revisions, labels_as_known
from features.snapshots.lapsed import lapsed_cutoffs
from features.snapshots.leakage_corruption import corrupt_after, delete_after
from features.snapshots.outcomes import add_labels
from features.snapshots.snapshots import Snapshots
from features.storage.atomic_files import write_text_atomically
from features.task import Task

LAPSED_CUTOFFS = 2  # are tried for lapsed customers
Change = Callable[[ibis.Table, date], ibis.Table]


@dataclass(frozen=True)
class LeakageTrial:
    """One cutoff whose future was changed in one way.

    Attributes:
        cutoff: The cutoff.
        change: 'deleted' or 'corrupted'.
        changed_rows: Rows that happened or became known at or after the cutoff, by table.
        customers: Customers compared.
        features: Features compared.
        leaks: Each feature that changed, with the number of customers; 'customers' if the cohort changed, and each
            label that changed, with the number of customers and cutoffs.
        labels: Labelled rows compared: those of earlier tried cutoffs, as known at this one.
        cohort: Whose features: 'active' or 'lapsed' customers.
    """

    cutoff: date
    change: str
    changed_rows: Mapping[str, int]
    customers: int
    features: int
    leaks: tuple[tuple[str, int], ...]
    labels: int = 0
    cohort: str = "active"


def prove_no_leakage(config: Config, count: int = 3) -> list[LeakageTrial]:
    """Tries `count` cutoffs of a config's log, spread from the first to the last mature one.

    Where customers are scored for win-back, lapsed ones are tried too, at LAPSED_CUTOFFS cutoffs.

    Raises:
        DataError: No cutoff is mature.
        UsageError: The file of custom features cannot be used.
    """
    task = config.task.to_task()
    with opened(config) as log, build.checked_log(log) as (engine, tables, own):
        cutoffs = spread_cutoffs(audit.mature_cutoffs(tables, task), count)
        if not cutoffs:
            raise DataError("no cutoff is mature, so there is nothing to prove; provide a longer log")
        trials = prove_at_cutoffs(tables, task, own, cutoffs, engine)
        lapsed = config.task.to_lapsed_task()
        return trials if lapsed is None else [*trials, *_prove_for_lapsed(tables, lapsed, count, engine)]


def _prove_for_lapsed(log_tables: Tables, task: Task, count: int, engine: Engine) -> list[LeakageTrial]:
    """The same for lapsed customers; nothing if nobody had lapsed at a mature cutoff."""
    tables = audit.with_too_long_windows(log_tables, task)
    cutoffs = spread_cutoffs(lapsed_cutoffs(tables, task, engine), min(count, LAPSED_CUTOFFS))
    trials = prove_at_cutoffs(tables, task, NO_CUSTOM_FEATURES, cutoffs, engine) if cutoffs else []
    return [replace(trial, cohort="lapsed") for trial in trials]


def prove_at_cutoffs(
    tables: Tables, task: Task, own: CustomFeatures, cutoffs: Sequence[date], engine: Engine
) -> list[LeakageTrial]:
    """Tries the given cutoffs of a log.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        own: The custom features.
        cutoffs: The cutoffs.
        engine: Where it runs.

    Returns:
        Two trials a cutoff: later rows deleted, and corrupted.
    """
    changes: dict[str, Change] = {"deleted": delete_after, "corrupted": corrupt_after}
    bar = tqdm(total=1 + len(cutoffs) * len(changes), desc="proving", leave=False, disable=None)
    trials = []
    with bar:
        built = build.snapshots_from_tables(tables, task, cutoffs, engine, own=own)
        all_snapshots = built.rows.drop_columns(list(task.labels))
        bar.update()
        for cutoff in cutoffs:
            expected = all_snapshots.filter(
                pc.equal(all_snapshots["cutoff"], pa.scalar(datetime.combine(cutoff, time())))
            )
            earlier = [day for day in cutoffs if day + task.horizon.delta <= cutoff]
            known = _labels_of(built.as_known(cutoff), earlier)
            rows = count_later_rows(tables, cutoff, engine)
            size = {"customers": expected.num_rows, "features": expected.num_columns - len(build.KEYS)}
            for change_name, change in changes.items():
                with engine.temporary_stages():
                    changed = change_tables(tables, change, cutoff, engine)
                    rebuilt = build.snapshots_from_tables(
                        changed, task, [cutoff], engine, own=own, with_labels=False
                    ).rows
                    relabelled = _labels_again(known, changed, task, [*earlier, cutoff], engine)
                leaks = differing_columns(expected, rebuilt) | differing_columns(known, relabelled)
                trials.append(
                    LeakageTrial(cutoff, change_name, rows, leaks=tuple(leaks.items()), labels=known.num_rows, **size)
                )
                bar.update()
    return trials


def _labels_of(snapshots: Snapshots, cutoffs: Sequence[date]) -> pa.Table:
    """customer_id, cutoff and the labels of some cutoffs."""
    days = pa.array([datetime.combine(cutoff, time()) for cutoff in cutoffs], pa.timestamp("us"))
    rows = snapshots.rows.filter(pc.is_in(snapshots.rows["cutoff"], days))
    return snapshots.labelled(rows).select([*build.KEYS, *snapshots.task.labels])


def _labels_again(known: pa.Table, changed: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> pa.Table:
    """The labels of the same customers and cutoffs, from a changed log, as known at the last of the cutoffs."""
    if not known.num_rows:
        return known
    keys = engine.store_arrow("labelled", known.select(build.KEYS))
    moments = engine.store_arrow("labelled_cutoffs", cutoff_table(cutoffs[:-1]))
    orders = engine.store("changed_orders", order_days(changed))
    waited = replace(changed, label_delay=NO_LABEL_DELAY)  # as known then, whatever may still have arrived
    labels = engine.to_arrow(add_labels(keys, orders, waited, task, moments).order_by("cutoff", "customer_id"))
    revisions = find_revisions(orders, changed, task, cutoffs, engine)
    return labels_as_known(labels, revisions, task, cutoffs[-1])


def count_later_rows(tables: Tables, cutoff: date, engine: Engine) -> dict[str, int]:
    """Counts the rows of each table that happened or became known at or after a cutoff.

    Args:
        tables: The contract.
        cutoff: The cutoff.
        engine: Where it runs.

    Returns:
        The counts by table, 'events' first.
    """
    rows = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    return {name: engine.count_rows(table.filter(table.seen >= ibis.literal(cutoff))) for name, table in rows.items()}


def change_tables(tables: Tables, change: Change, cutoff: date, engine: Engine) -> Tables:
    """The contract with every table changed, and all facts about the whole log computed again.

    Args:
        tables: The contract.
        change: Takes a table's rows and the cutoff, and returns the changed rows.
        cutoff: The cutoff.
        engine: Where it runs.

    Returns:
        The changed contract.
    """
    events = engine.store("changed_events", change(tables.events, cutoff))
    sides = {}
    for position, (name, side) in enumerate(tables.sides.items()):
        rows = engine.store(f"changed_side_{position}", change(side.rows, cutoff))
        sides[name] = replace(side, rows=rows, rows_read=engine.count_rows(rows), set_aside=())
    facts = engine.to_arrow(
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
        fingerprint=engine.fingerprint(events),
        recorded_tables=None,
        **facts,
    )


def check_leaks(config: Config) -> tuple[list[LeakageTrial], Path]:
    """Runs the proof on a config's log and writes it as JSON; returns the trials and the path of the file."""
    trials, target = prove_no_leakage(config), config.output / "leaks.json"
    plain = [{**asdict(trial), "cutoff": str(trial.cutoff)} for trial in trials]
    write_text_atomically(target, json.dumps(plain, indent=1) + "\n")
    return trials, target


def spread_cutoffs(cutoffs: Sequence[date], count: int) -> list[date]:
    """At most `count` cutoffs, evenly spread, with the first and the last among them.

    >>> [d.month for d in spread_cutoffs([date(2024, m, 1) for m in range(1, 8)], 3)]
    [1, 4, 7]
    """
    positions = np.linspace(0, len(cutoffs) - 1, min(count, len(cutoffs))).round().astype(int)
    return [cutoffs[place] for place in positions]


def differing_columns(expected: pa.Table, rebuilt: pa.Table) -> dict[str, int]:
    """The columns that differ in any bit, with the number of customers; 'customers' if these differ.

    >>> differing_columns(
    ...     pa.table({"customer_id": ["a"], "x": [1.0]}), pa.table({"customer_id": ["a"], "x": [1.5]})
    ... )
    {'x': 1}
    """
    counts = {}
    if not expected["customer_id"].equals(rebuilt["customer_id"]):
        expected_ids, rebuilt_ids = (set(table["customer_id"].to_pylist()) for table in (expected, rebuilt))
        counts["customers"] = len(expected_ids ^ rebuilt_ids)
        shared_ids = pa.array(sorted(expected_ids & rebuilt_ids), pa.string())
        expected, rebuilt = (table.filter(pc.is_in(table["customer_id"], shared_ids)) for table in (expected, rebuilt))
    for name in dict.fromkeys([*expected.column_names, *rebuilt.column_names]):
        in_both = name in expected.column_names and name in rebuilt.column_names
        count = _count_differing(expected[name], rebuilt[name]) if in_both else expected.num_rows
        if count:
            counts[name] = count
    return counts


def leaks_text(trials: Sequence[LeakageTrial]) -> str:
    """The proof as text for a terminal."""
    lines = []
    for t in trials:
        leaks = ", ".join(f"{name} ({count:,} customers)" for name, count in t.leaks)
        verdict = f"LEAK: {leaks}" if leaks else "every bit the same"
        later = ", ".join(f"{rows:,} of {name}" for name, rows in t.changed_rows.items())
        labels = f", {t.labels:,} earlier labels as known then" if t.labels else ""
        whose = "lapsed customers" if t.cohort == "lapsed" else "customers"
        size = f"{t.customers:,} {whose} x {t.features} features{labels}"
        lines.append(f"cutoff {t.cutoff}: later rows {t.change} ({later}), {size}: {verdict}")
    return "\n".join(lines)


def _count_differing(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    """How many values differ in any bit; null equals null only."""
    if a.type != b.type:
        return len(a)
    nulls = a.is_null().to_numpy(), b.is_null().to_numpy()
    if not pa.types.is_floating(a.type):
        return int(sum(x != y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)))
    bits = [x.fill_null(0.0).to_numpy().astype(np.float64).view(np.int64) for x in (a, b)]
    return int(((bits[0] != bits[1]) | (nulls[0] != nulls[1])).sum())
