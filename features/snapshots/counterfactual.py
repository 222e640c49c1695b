"""One customer as they would stand at a cutoff had their past been another: the features made anew from the rows.

Each version of the past becomes a customer of its own, and all of them go through the engine at once, by the same
expressions as every customer. What compares customers (ranks, means, the fit of BG/NBD) is taken from the real ones,
among whom no version counts; a version's rank is its place among the real others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce

import ibis
import pyarrow as pa

from features.catalog.custom import CustomFeatures
from features.catalog.families import feature_families
from features.config.load import Config
from features.engines.base import Engine
from features.intake.customer_table import CUSTOMER_TABLE
from features.intake.tables import Tables
from features.point_in_time.history import build_history, cutoff_table, visible_at_cutoffs
from features.snapshots.build import open_log
from features.snapshots.cohort_features import in_cohort, join_on_keys
from features.task import Task

EVENTS = "events"
Rows = Mapping[str, pa.Table]


@dataclass(frozen=True)
class CutoffLog:
    """A log in an engine, and the cutoff at which a customer is looked at."""

    tables: Tables
    task: Task
    cutoff: date
    engine: Engine
    own: CustomFeatures


@contextmanager
def open_at_cutoff(config: Config, cutoff: date) -> Iterator[CutoffLog]:
    """A config's log, read.

    Raises:
        DataError: The log breaks its contract.
    """
    with open_log(config, [cutoff]) as (engine, tables, _, own):
        yield CutoffLog(tables, config.task.task(), cutoff, engine, own)


def known_customer_rows(at: CutoffLog, customer: str) -> dict[str, pa.Table]:
    """What was known of a customer at the cutoff: the rows of 'events' and of the tables beside them, by name."""
    moments = at.engine.load("imagined_at", cutoff_table([at.cutoff]))
    found = {}
    for name, table in _tables(at.tables).items():
        mine = table.filter(table.customer_id == customer)
        known = mine if name == CUSTOMER_TABLE else visible_at_cutoffs(mine, moments).select(table.columns)
        found[name] = at.engine.arrow(known.order_by(table.columns))
    return found


def known_rows(at: CutoffLog, name: str) -> ibis.Table:
    """The rows of a table that were known at the cutoff, of all customers."""
    table = _tables(at.tables)[name]
    return visible_at_cutoffs(table, at.engine.load("imagined_at", cutoff_table([at.cutoff]))).select(table.columns)


def counterfactual_features(at: CutoffLog, customer: str, versions: Sequence[Rows]) -> pa.Table:
    """The features (one row a version, in their order) that a customer would have with other rows.

    Args:
        at: The log and the cutoff.
        customer: Who; compared with the others of the cohort.
        versions: The rows as `rows_of` gives them, changed.
    """
    made = (*feature_families(at.task, at.tables.contract), *at.own.families)
    everyone = build_history(at.tables, at.task, [at.cutoff], at.engine, at.engine.store)
    first = next(family for family in made if family.measures)
    by = [f.measures(everyone) for f in made if f.measures and (f is first or f.used_by_ranks)]
    wide = reduce(join_on_keys, by)
    others = wide.filter(in_cohort(wide, at.task) & (wide.customer_id != customer))
    others = at.engine.store("imagined_others", others)

    def keep(name: str, expr: ibis.Table) -> ibis.Table:
        return at.engine.store(f"imagined_{name}", expr)

    mine = build_history(_versions(at, versions), at.task, [at.cutoff], at.engine, keep)
    past = replace(mine, compared=everyone)
    cohort = reduce(join_on_keys, [keep(f.name, f.measures(past)) for f in made if f.measures])
    ranks = [keep(f.name, f.cohort_measures(cohort, others=others)) for f in made if f.cohort_measures]
    cohort = reduce(join_on_keys, ranks, cohort)
    columns = {f.name: f.compute(cohort).cast(f.dtype) for family in made for f in family.features}
    return at.engine.arrow(cohort.select("customer_id", **columns).order_by("customer_id")).drop_columns("customer_id")


def _tables(tables: Tables) -> dict[str, ibis.Table]:
    return {EVENTS: tables.events, **{name: side.rows for name, side in tables.sides.items()}}


def _versions(at: CutoffLog, versions: Sequence[Rows]) -> Tables:
    """The contract with each version as a customer of its own, numbered in order."""
    stored = {}
    for place, name in enumerate(_tables(at.tables)):
        parts = [_named(rows[name], f"{number:06d}") for number, rows in enumerate(versions)]
        stored[name] = at.engine.load(f"imagined_table_{place}", pa.concat_tables(parts))
    sides = {name: replace(side, rows=stored[name]) for name, side in at.tables.sides.items()}
    return replace(at.tables, events=stored[EVENTS], source=stored[EVENTS], sides=sides)


def _named(rows: pa.Table, customer: str) -> pa.Table:
    place = rows.column_names.index("customer_id")
    return rows.set_column(place, rows.schema.field(place), pa.array([customer] * rows.num_rows, pa.string()))
