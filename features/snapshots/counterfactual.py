"""Features of one customer at a cutoff if their history had been different, computed from changed rows.

Each version of the history becomes a customer of its own, and all of them go through the engine at once, by the same
expressions as every customer. Whatever compares customers (ranks, means, the fit of BG/NBD) uses the real customers
only, never a version; a version's rank is its place among the other real customers.
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
from features.engines.base import Engine
from features.intake.customer_table import CUSTOMER_TABLE
from features.intake.log import Business, opened
from features.intake.tables import Tables
from features.point_in_time.history import build_history, cutoff_table, visible_at_cutoffs
from features.snapshots.build import checked_log
from features.snapshots.cohort_features import feature_columns, in_cohort, join_on_keys
from features.task import Task

EVENTS = "events"
Rows = Mapping[str, pa.Table]


@dataclass(frozen=True)
class CutoffLog:
    """A log in an engine, with the cutoff at which a customer is studied.

    Attributes:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoff: The cutoff.
        engine: Where the log is.
        own: The custom features.
    """

    tables: Tables
    task: Task
    cutoff: date
    engine: Engine
    own: CustomFeatures


@contextmanager
def open_at_cutoff(business: Business, cutoff: date) -> Iterator[CutoffLog]:
    """Reads a log for one cutoff; the business is an opened log, a config, or the path of a config.

    Raises:
        DataError: The log breaks its contract.
    """
    with opened(business) as log, checked_log(log) as (engine, tables, own):
        yield CutoffLog(tables, log.config.task.to_task(), cutoff, engine, own)


def known_customer_rows(log: CutoffLog, customer: str) -> dict[str, pa.Table]:
    """A customer's rows known at the cutoff, by table: 'events' and the tables beside them."""
    moments = log.engine.store_arrow("imagined_at", cutoff_table([log.cutoff]))
    known_by_table = {}
    for name, table in _rows_by_table(log.tables).items():
        customer_rows = table.filter(table.customer_id == customer)
        visible = (
            customer_rows
            if name == CUSTOMER_TABLE
            else visible_at_cutoffs(customer_rows, moments).select(table.columns)
        )
        known_by_table[name] = log.engine.to_arrow(visible.order_by(table.columns))
    return known_by_table


def known_rows(log: CutoffLog, name: str) -> ibis.Table:
    """The rows of a table known at the cutoff, of all customers."""
    table = _rows_by_table(log.tables)[name]
    return visible_at_cutoffs(table, log.engine.store_arrow("imagined_at", cutoff_table([log.cutoff]))).select(
        table.columns
    )


def counterfactual_features(log: CutoffLog, customer: str, versions: Sequence[Rows]) -> pa.Table:
    """The features that a customer would have with other rows.

    Args:
        log: The log and the cutoff.
        customer: The customer, who is compared with the others of the cohort.
        versions: Changed rows, each version as `known_customer_rows` returns them.

    Returns:
        One row a version, in their order; one column a feature, then the shares (`Family.shares`).
    """
    with log.engine.temporary_stages():
        return _features_of_versions(log, customer, versions)


def _features_of_versions(log: CutoffLog, customer: str, versions: Sequence[Rows]) -> pa.Table:
    """As `counterfactual_features`; what it stores stays in the engine."""
    all_families = (*feature_families(log.task, log.tables.contract), *log.own.families)
    everyone = build_history(log.tables, log.task, [log.cutoff], log.engine, log.engine.store)
    first_measured = next(family for family in all_families if family.measures)
    measured = [f.measures(everyone) for f in all_families if f.measures and (f is first_measured or f.used_by_ranks)]
    wide = reduce(join_on_keys, measured)
    other_customers = wide.filter(in_cohort(wide, log.task) & (wide.customer_id != customer))
    other_customers = log.engine.store("imagined_others", other_customers)

    def store(name: str, expr: ibis.Table) -> ibis.Table:
        return log.engine.store(f"imagined_{name}", expr)

    version_history = build_history(_versions_as_customers(log, versions), log.task, [log.cutoff], log.engine, store)
    past = replace(version_history, compared=everyone)
    cohort = reduce(join_on_keys, [store(f.name, f.measures(past)) for f in all_families if f.measures])
    ranks = [
        store(f.name, f.cohort_measures(cohort, others=other_customers)) for f in all_families if f.cohort_measures
    ]
    cohort = reduce(join_on_keys, ranks, cohort)
    columns = feature_columns(all_families, cohort)
    return log.engine.to_arrow(cohort.select("customer_id", **columns).order_by("customer_id")).drop_columns(
        "customer_id"
    )


def _rows_by_table(tables: Tables) -> dict[str, ibis.Table]:
    """The rows of the events and of the tables beside them, by name."""
    return {EVENTS: tables.events, **{name: side.rows for name, side in tables.sides.items()}}


def _versions_as_customers(log: CutoffLog, versions: Sequence[Rows]) -> Tables:
    """The contract with each version as a customer of its own, numbered in order."""
    stored = {}
    for position, name in enumerate(_rows_by_table(log.tables)):
        parts = [_with_customer_id(rows[name], f"{number:06d}") for number, rows in enumerate(versions)]
        stored[name] = log.engine.store_arrow(f"imagined_table_{position}", pa.concat_tables(parts))
    sides = {name: replace(side, rows=stored[name]) for name, side in log.tables.sides.items()}
    return replace(log.tables, events=stored[EVENTS], source=stored[EVENTS], sides=sides)


def _with_customer_id(rows: pa.Table, customer: str) -> pa.Table:
    """Rows given to another customer."""
    position = rows.column_names.index("customer_id")
    return rows.set_column(position, rows.schema.field(position), pa.array([customer] * rows.num_rows, pa.string()))
