"""One customer in the log: how many rows they have, and to the cohorts of which cutoffs they belonged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import ibis

from features.catalog.subscriptions import subscription_measures
from features.engines.base import Engine
from features.intake.log import Business, opened
from features.intake.tables import Tables
from features.point_in_time.history import Past, build_history, history_marks
from features.task import Task


@dataclass(frozen=True)
class Membership:
    """The traces of one customer in the log.

    Attributes:
        fingerprint: Of the log.
        rows: How many rows the customer has, by table ('events', 'contacts', ...); only tables with any.
        cutoffs: Those of the given cutoffs to whose cohort the customer belonged.
        lapsed: Those at which the customer had lapsed.
        contacts: The days of their contacts.
        marks: By day, their part of `history.history_marks`.
    """

    fingerprint: str
    rows: dict[str, int]
    cutoffs: frozenset[date]
    contacts: tuple[date, ...]
    marks: dict[date, dict[str, int]]
    lapsed: frozenset[date] = frozenset()


def find_membership(business: Business, customer: str, cutoffs: Sequence[date], days: Iterable[date]) -> Membership:
    """Reads the log for one customer.

    Args:
        business: An opened log, a config, or the path of a config.
        customer: Their stored id (`customer_ids.stored_id`); rows of all ids of the person count.
        cutoffs: The training cutoffs to look at.
        days: The days before which a plan counted the log.

    Returns:
        What the log has of the customer; empty if they are not in it.

    Raises:
        DataError: The log cannot be read.
    """
    with opened(business) as log, log.stages() as (engine, tables):
        task, ids = log.config.task.to_task(), tables.persons.ids_of(customer)
        lapsed = log.config.task.to_lapsed_task()
        customer_tables = _of_customer(tables, ids, engine)
        rows = _count_rows(tables.recorded, ids, engine)
        if not any(rows.values()):
            return Membership(tables.fingerprint, {}, frozenset(), (), {})
        contacts = customer_tables.sides["contacts"].rows if "contacts" in customer_tables.sides else None
        contact_days = () if contacts is None else engine.to_arrow(contacts.select("day").distinct())["day"].to_pylist()
        return Membership(
            tables.fingerprint,
            {name: count for name, count in rows.items() if count},
            _cutoffs_in_cohort(customer_tables, task, cutoffs, engine),
            tuple(sorted(contact_days)),
            {day: history_marks(customer_tables, day, engine) for day in set(days)},
            _cutoffs_in_cohort(customer_tables, lapsed, cutoffs, engine) if lapsed is not None else frozenset(),
        )


def _count_rows(tables: Tables, ids: Sequence[str], engine: Engine) -> dict[str, int]:
    """How many rows a customer has in each table, and if any, how many joins name one of the ids."""
    counted = {"events": tables.events, **{name: side.rows for name, side in tables.sides.items()}}
    rows = {name: engine.count_rows(table.filter(table.customer_id.isin(ids))) for name, table in counted.items()}
    if tables.identity is not None and any(rows.values()):
        joins = tables.identity.rows
        rows["identity"] = engine.count_rows(joins.filter(joins.customer_id.isin(ids) | joins.person.isin(ids)))
    return rows


def _of_customer(tables: Tables, ids: Sequence[str], engine: Engine) -> Tables:
    """The tables with the rows of one customer only."""

    def customer_rows(name: str, rows: ibis.Table) -> ibis.Table:
        return engine.store(f"of one, {name}", rows.filter(rows.customer_id.isin(ids)))

    sides = {name: replace(side, rows=customer_rows(name, side.rows)) for name, side in tables.sides.items()}
    return replace(tables, events=customer_rows("events", tables.events), sides=sides)


def _cutoffs_in_cohort(customer_tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> frozenset[date]:
    """The cutoffs to whose cohort the customer belonged, by the rule of `cohort_features.in_cohort`."""
    if not cutoffs:
        return frozenset()
    past = build_history(customer_tables, task, cutoffs, engine, engine.store)
    cutoffs_in_cohort = engine.to_arrow(cohort_rows(past, task).select("cutoff").distinct())
    return frozenset(cutoffs_in_cohort["cutoff"].to_pylist())


def cohort_rows(past: Past, task: Task) -> ibis.Table:
    """The rows that put a customer into the cohort."""
    if task.contractual:
        terms = subscription_measures(past)
        return terms.filter(terms["subscription:running"] > 0)
    return past.days.filter((past.days.place == 0) & task.cohort.holds(past.days.age))
