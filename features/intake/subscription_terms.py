"""Contract terms: the grace period between two of them, and rows as whole terms."""

from __future__ import annotations

from dataclasses import replace

import ibis

from features.engines.base import Engine
from features.intake.tables import Tables
from features.task import Window

RENEWAL_GRACE = Window(7)  # a term that starts so long after the end before it renews it


def one_row_per_term(rows: ibis.Table) -> ibis.Table:
    """One row a term, whatever was known when.

    Args:
        rows: Starts and ends as rows of their own (`sides.read_sides`).

    Returns:
        customer_id, term, start and end (dates; null: it runs), start_seen and end_seen (when they had come and were
        known), cancelled (false where it runs), price (ticks; null where there is none).
    """
    starts, ends = rows.part == "start", rows.part == "end"
    return rows.group_by("customer_id", "term").aggregate(
        start=rows.day.min(where=starts),
        start_seen=rows.seen.min(where=starts),
        end=rows.day.min(where=ends),
        end_seen=rows.seen.min(where=ends),
        cancelled=(ends & rows.cancelled.fill_null(False)).any(),
        price=rows.price.max(),
    )


def extend_to_term_ends(tables: Tables, engine: Engine) -> Tables:
    """The tables of a business that has only terms, told that ends before `until` are part of the log as starts are.

    Without `until` the log is complete up to the last start: ends beyond it may be plans.
    """
    if not tables.contract.only_terms:
        return tables
    rows = tables.sides["subscriptions"].rows
    came = engine.arrow(rows.filter(rows.day < ibis.literal(tables.end)).aggregate(last=rows.day.max()))
    return replace(tables, last=max(tables.last, came["last"][0].as_py() or tables.last))
