"""Snapshots of lapsed customers: who has not bought within `active_within`, and whether they come back.

The features, labels and cutoffs are those of all snapshots; only the cohort is another one (`task.LapsedCohort`), and
windows in which none of its customers can have bought are left out. Custom features are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from features.audit.audit import mature_cutoffs, with_too_long_windows
from features.engines.base import Engine
from features.intake.log import Log
from features.intake.tables import Tables
from features.snapshots.build import (
    RowChoice,
    Snapshots,
    checked_log,
    contacted_in_horizon,
    drop_contacted,
    snapshots_from_tables,
)
from features.snapshots.training_rows import choose_thinned_rows, estimate_cohorts, take_rows
from features.task import LapsedCohort, Task

MOST_ROWS = 40_000  # (a customer at a cutoff): few of them come back, and more rows cost time
MOST_CUTOFFS = 12  # the newest ones


def build_lapsed_snapshots(log: Log, most: int = MOST_ROWS) -> Snapshots | None:
    """Builds the labelled snapshots of lapsed customers from which the win-back model learns.

    Args:
        log: An opened log.
        most: Most rows; 0: no limit.

    Returns:
        The snapshots; None if nobody is scored for win-back, or nobody had lapsed at a mature cutoff.

    Raises:
        DataError: The log breaks its contract.
    """
    task = log.config.task.to_lapsed_task()
    if task is None:
        return None
    with checked_log(log) as (engine, log_tables, _):
        tables = with_too_long_windows(log_tables, task)
        chosen = choose_lapsed_rows(tables, task, most, engine)
        if not chosen.cutoffs:
            return None
        rows = take_rows(tables, chosen, engine)
        snapshots = replace(snapshots_from_tables(rows, task, chosen.cutoffs, engine), choice=chosen)
        if log.config.training.learn_from == "untouched":
            snapshots = drop_contacted(snapshots, contacted_in_horizon(rows, task, chosen.cutoffs, engine))
        return snapshots if snapshots.rows.num_rows else None


def choose_lapsed_rows(tables: Tables, task: Task, most: int, engine: Engine) -> RowChoice:
    """Chooses cutoffs with lapsed customers, the newest ones, and a share of the customers.

    Args:
        tables: The contract.
        task: Of lapsed customers.
        most: Most rows; 0: no limit.
        engine: Where it runs.

    Returns:
        The choice; without cutoffs if nobody had lapsed at a mature one.
    """
    return choose_thinned_rows(_lapsed_sizes(tables, task, engine), task.horizon, most, MOST_CUTOFFS)


def lapsed_cutoffs(tables: Tables, task: Task, engine: Engine) -> Sequence[date]:
    """The mature cutoffs at which somebody had lapsed, ascending.

    Args:
        tables: The contract.
        task: Of lapsed customers.
        engine: Where it runs.

    Returns:
        The cutoffs.
    """
    return list(_lapsed_sizes(tables, task, engine))


def _lapsed_sizes(tables: Tables, task: Task, engine: Engine) -> dict[date, int]:
    """About how many customers had lapsed at each mature cutoff, ascending; cutoffs without any are left out."""
    silent = task.cohort.silent_for.days if isinstance(task.cohort, LapsedCohort) else 0
    cutoffs = [day for day in mature_cutoffs(tables, task) if (day - tables.first).days > silent]
    sizes = estimate_cohorts(tables, task, cutoffs, engine) if cutoffs else {}
    return {day: size for day, size in sizes.items() if size}
