"""Which rows (a customer at a cutoff) models are tuned on and learn from, chosen before any feature is built.

More rows than `[training] rows` cost time and memory and bring little. First cutoffs are left out whose labels overlap
with those of the cutoffs that stay: a customer's rows a month apart say almost the same. If that is not enough,
customers are sampled by a hash of their ids, so that the same ones are chosen again at every cutoff and in every run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import ibis

from features.engines.base import Engine, megabytes
from features.intake.tables import Tables
from features.point_in_time.history import build_history
from features.snapshots.comparable import sample_customers
from features.snapshots.membership import cohort_rows
from features.task import Task, Window

PROBED_EVENTS = 400_000  # about so many events are read to estimate how many rows there are
STEPS_PER_HALVING = 4  # shares of customers are powers of this root of 2, so that a growing log keeps its sample longer
LEAST_PER_HORIZON = 3  # cutoffs of each horizon that stay: fewer cost more accuracy than as few rows of fewer customers
YEAR = Window(365)
# Memory of a training at its peak, while features are collected: fixed, and for each row and feature; both measured by
# `benchmarks/training_cost.py`.
FIXED_BYTES, BYTES_PER_VALUE = 600e6, 75
USUAL_MEMORY = 5120  # megabytes that a training may take where [engine] memory does not say
LEAST_ROWS = 10_000  # so many are used however little memory there is


@dataclass(frozen=True)
class RowChoice:
    """The rows that training uses, and how many there are without a limit.

    Attributes:
        cutoffs: The cutoffs that stay, ascending.
        share: The share of the customers, in (0, 1].
        rows: About how many rows these are.
        all_cutoffs: How many cutoffs there are.
        all_rows: About how many rows there are.
        columns: How many features there are.
        spans: Further horizons of value labels that are wanted (`Task.value_labels`).
    """

    cutoffs: tuple[date, ...]
    share: float = 1.0
    rows: int = 0
    all_cutoffs: int = 0
    all_rows: int = 0
    columns: int = 0
    spans: tuple[Window, ...] = ()

    @property
    def note(self) -> str:
        """What was left out, in words; empty if nothing."""
        parts = []
        if len(self.cutoffs) < self.all_cutoffs:
            parts.append(f"{len(self.cutoffs)} of {self.all_cutoffs} cutoffs, whose labels overlap less")
        if self.share < 1:
            parts.append(f"{self.share:.1%} of the customers, chosen by a hash of their ids, also for the evaluation")
        if not parts:
            return ""
        return (
            f"about {self.rows:,} of {self.all_rows:,} rows (a customer at a cutoff) are used, by [training] rows and "
            f"[engine] memory: {'; and '.join(parts)}"
        )


def choose_rows(tables: Tables, task: Task, cutoffs: Sequence[date], most: int, engine: Engine) -> RowChoice:
    """Chooses cutoffs and a share of the customers, so that there are at most about `most` rows.

    Args:
        tables: The contract.
        task: Horizon and cohort.
        cutoffs: The mature cutoffs.
        most: Most rows; 0: no limit.
        engine: Where it runs.

    Returns:
        The choice.
    """
    everything = tuple(sorted(cutoffs))
    greatest = _count_customers(tables, engine) * len(everything)
    if not most or len(everything) < 2 or greatest <= most:
        return RowChoice(everything, rows=greatest, all_cutoffs=len(everything), all_rows=greatest)
    sizes = estimate_cohorts(tables, task, everything, engine)
    total = sum(sizes.values())
    kept = _thinned_to(sizes, task.horizon, most)
    rows = sum(sizes[cutoff] for cutoff in kept)
    share = share_below(most / rows) if rows > most else 1.0
    return RowChoice(kept, share, round(rows * share), len(everything), total)


def choose_thinned_rows(sizes: Mapping[date, int], horizon: Window, most: int, most_cutoffs: int) -> RowChoice:
    """Chooses among cutoffs whose sizes are known: fewer of each horizon, then the newest, then a share of customers.

    Args:
        sizes: About how many customers each cutoff has; may be empty.
        horizon: Of the labels.
        most: Most rows; 0: no limit.
        most_cutoffs: Most cutoffs.

    Returns:
        The choice.

    >>> months = {date(2024, 1, 1) + Window(30).delta * n: 10 for n in range(9)}
    >>> [str(c) for c in choose_thinned_rows(months, Window(60), 0, 4).cutoffs]
    ['2024-03-01', '2024-04-30', '2024-06-29', '2024-08-28']
    """
    kept = everything = tuple(sorted(sizes))
    inside = sum(1 for c in everything if c > everything[-1] - horizon.delta) if everything else 0
    for per_horizon in range(inside - 1, 0, -1):
        if len(kept) <= most_cutoffs and (not most or sum(sizes[c] for c in kept) <= most):
            break
        kept = thin_cutoffs(everything, horizon, per_horizon)
    kept = kept[-most_cutoffs:]
    rows = sum(sizes[cutoff] for cutoff in kept)
    share = share_below(most / rows) if most and rows > most else 1.0
    return RowChoice(kept, share, round(rows * share), len(everything), sum(sizes.values()))


def rows_within_memory(most: int, memory: str, columns: int) -> int:
    """The limit of rows by [training] rows and [engine] memory.

    Args:
        most: Most rows; 0: no limit.
        memory: A size such as '8GB'; other text stands for USUAL_MEMORY, or for no limit if `most` is 0.
        columns: How many features there are.

    Returns:
        Most rows; 0: no limit.

    >>> rows_within_memory(400_000, "2GB", 150), rows_within_memory(400_000, "", 200), rows_within_memory(0, "", 150)
    (137554, 317913, 0)
    """
    size = megabytes(memory)
    if size is None and not most:
        return 0
    size = USUAL_MEMORY if size is None else size
    fitting = max(LEAST_ROWS, int((size * 1024**2 - FIXED_BYTES) / (BYTES_PER_VALUE * columns)))
    return min(most, fitting) if most else fitting


def take_rows(tables: Tables, choice: RowChoice, engine: Engine) -> Tables:
    """Takes the rows of the chosen customers.

    Args:
        tables: The contract.
        choice: Says which customers.
        engine: Where it runs; it stores the rows.

    Returns:
        The tables with these rows only; the same tables if all customers are chosen.
    """
    if choice.share >= 1:
        return tables
    sampled = sample_customers(tables, choice.share)
    sides = {
        name: replace(side, rows=engine.store(f"sampled {name}", side.rows)) for name, side in sampled.sides.items()
    }
    return replace(sampled, events=engine.store("sampled events", sampled.events), sides=sides)


def estimate_cohorts(tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> dict[date, int]:
    """Estimates the size of each cutoff's cohort from a sample of the customers.

    Args:
        tables: The contract.
        task: Defines the cohort.
        cutoffs: The cutoffs.
        engine: Where it runs.

    Returns:
        About how many customers are in each cohort.
    """
    share = min(1.0, PROBED_EVENTS / max(tables.rows, 1))
    with engine.temporary_stages():
        past = build_history(sample_customers(tables, share), task, cutoffs, engine, engine.store)
        rows = cohort_rows(past, task).select("customer_id", "cutoff").distinct()
        counts = engine.to_arrow(rows.group_by("cutoff").aggregate(customers=ibis._.count()))
    found = dict(zip(counts["cutoff"].to_pylist(), counts["customers"].to_pylist(), strict=True))
    return {cutoff: round(found.get(cutoff, 0) / share) for cutoff in cutoffs}


def thin_cutoffs(cutoffs: Sequence[date], horizon: Window, per_horizon: int) -> tuple[date, ...]:
    """Keeps some of the cutoffs of every horizon, evenly spread, counted back from the last one.

    Those a horizon apart always stay, and so do those of the same season as the cutoff after the last one: models are
    evaluated and calibrated there.

    Args:
        cutoffs: Evenly spaced cutoffs, in any order.
        horizon: Of the labels.
        per_horizon: How many to keep for each horizon, 1 or more.

    Returns:
        The cutoffs that stay, ascending.

    >>> months = [date(2024, 1, 1) + Window(30).delta * n for n in range(10)]
    >>> [str(c) for c in thin_cutoffs(months, Window(90), 1)]
    ['2024-01-01', '2024-03-31', '2024-06-29', '2024-09-27']
    """
    newest_first = sorted(set(cutoffs), reverse=True)
    steps = next((n for n, c in enumerate(newest_first) if c + horizon.delta <= newest_first[0]), len(newest_first))
    kept = {i * steps // per_horizon for i in range(min(per_horizon, steps))}
    following = newest_first[0] + horizon.delta
    seasons = {
        _nearest(newest_first, following, years)
        for years in range(1, (following - newest_first[-1]).days // YEAR.days + 1)
    }
    return tuple(sorted(c for n, c in enumerate(newest_first) if n % steps in kept or c in seasons))


def share_below(share: float) -> float:
    """The next smaller share among the powers of a root of 2.

    >>> share_below(0.5), round(share_below(0.49), 3)
    (0.5, 0.42)
    """
    return float(2.0 ** (math.floor(math.log2(share) * STEPS_PER_HALVING + 1e-9) / STEPS_PER_HALVING))


def _nearest(cutoffs: Sequence[date], following: date, years: int) -> date:
    """The cutoff nearest to the day some years before another one."""
    wanted = following - years * YEAR.delta
    return min(cutoffs, key=lambda c: abs(c - wanted))


def _thinned_to(sizes: dict[date, int], horizon: Window, most: int) -> tuple[date, ...]:
    """As many cutoffs as fit into `most` rows, at least LEAST_PER_HORIZON for each horizon."""
    kept = cutoffs = tuple(sorted(sizes))
    inside = sum(1 for c in cutoffs if c > cutoffs[-1] - horizon.delta)
    for per_horizon in range(inside - 1, LEAST_PER_HORIZON - 1, -1):
        if sum(sizes[cutoff] for cutoff in kept) <= most:
            break
        kept = thin_cutoffs(cutoffs, horizon, per_horizon)
    return kept


def _count_customers(tables: Tables, engine: Engine) -> int:
    """How many customers have events or contracts; an upper bound of each cohort."""
    ids = [rows.select("customer_id") for rows in (tables.events, *(side.rows for side in tables.sides.values()))]
    return engine.count_rows(ibis.union(*ids, distinct=True)) if len(ids) > 1 else engine.count_rows(ids[0].distinct())
