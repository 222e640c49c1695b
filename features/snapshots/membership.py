"""One customer in the log: how many rows they have, and to which cutoffs' cohorts they belonged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import ibis

from features.catalog.subscriptions import subscription_measures
from features.config.load import Config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.intake.read_log import read_tables
from features.intake.tables import Tables
from features.point_in_time.history import Past, build_history, history_marks
from features.task import Task


@dataclass(frozen=True)
class Membership:
    """What the log holds of one customer.

    Attributes:
        fingerprint: Of the log.
        rows: By table ('events', 'contacts', ...), those that have any.
        cutoffs: Of the asked ones those to whose cohort the customer belonged.
        contacts: The days of their contacts.
        marks: By day, their part of `standing.marks_before`.
    """

    fingerprint: str
    rows: dict[str, int]
    cutoffs: frozenset[date]
    contacts: tuple[date, ...]
    marks: dict[date, dict[str, int]]


def find_membership(config: Config, customer: str, cutoffs: Sequence[date], days: Iterable[date]) -> Membership:
    """Reads the log for one customer.

    Args:
        config: The business.
        customer: By the name that is kept (`ids.ours`).
        cutoffs: Of training.
        days: On which a plan counted the log before it.

    Raises:
        DataError: The log cannot be read.
    """
    task = config.task.task()
    with open_engine(config.engine, config.folder) as engine:
        tables = read_tables(config, engine)
        own = _of(tables, customer, engine)
        parts = {"events": own.events, **{name: side.rows for name, side in own.sides.items()}}
        rows = {name: engine.count(table) for name, table in parts.items()}
        if not any(rows.values()):
            return Membership(tables.fingerprint, {}, frozenset(), (), {})
        contacts = own.sides["contacts"].rows if "contacts" in own.sides else None
        told = () if contacts is None else engine.arrow(contacts.select("day").distinct())["day"].to_pylist()
        return Membership(
            tables.fingerprint,
            {name: count for name, count in rows.items() if count},
            _cohorts(own, task, cutoffs, engine),
            tuple(sorted(told)),
            {day: history_marks(own, day, engine) for day in set(days)},
        )


def _of(tables: Tables, customer: str, engine: Engine) -> Tables:
    """The tables with the rows of one customer alone."""

    def theirs(name: str, rows: ibis.Table) -> ibis.Table:
        return engine.store(f"of one, {name}", rows.filter(rows.customer_id == customer))

    sides = {name: replace(side, rows=theirs(name, side.rows)) for name, side in tables.sides.items()}
    return replace(tables, events=theirs("events", tables.events), sides=sides)


def _cohorts(own: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> frozenset[date]:
    """The cutoffs of whose cohort the customer is one, as `cohort.belongs` has it."""
    if not cutoffs:
        return frozenset()
    past = build_history(own, task, cutoffs, engine, engine.store)
    found = engine.arrow(_inside(past, task).select("cutoff").distinct())
    return frozenset(found["cutoff"].to_pylist())


def _inside(past: Past, task: Task) -> ibis.Table:
    if task.contractual:
        terms = subscription_measures(past)
        return terms.filter(terms["subscription:running"] > 0)
    return past.days.filter(past.days.age <= task.cohort.active_within.days)
