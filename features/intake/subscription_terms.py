"""Subscription terms as one row each, and the grace period within which the next term is a renewal."""

from __future__ import annotations

from dataclasses import replace

import ibis

from features.engines.base import Engine
from features.intake.tables import OWNED, Tables
from features.task import Window

RENEWAL_GRACE = Window(7)  # a term that starts at most so long after the end of the one before renews it


def one_row_per_term(rows: ibis.Table) -> ibis.Table:
    """One row a term, with all that is known of it at any time.

    Args:
        rows: Starts and ends as rows of their own (`side_tables.read_side_tables`).

    Returns:
        customer_id, term, start and end (dates; a null end: the term runs), start_seen and end_seen (the days from
        which they had happened and were known), cancelled (false while the term runs), price (ticks; null if there
        is none).
    """
    starts, ends = rows.part == "start", rows.part == "end"
    owned = [name for name in OWNED if name in rows.columns]
    return rows.group_by("customer_id", "term", *owned).aggregate(
        start=rows.day.min(where=starts),
        start_seen=rows.seen.min(where=starts),
        end=rows.day.min(where=ends),
        end_seen=rows.seen.min(where=ends),
        cancelled=(ends & rows.cancelled.fill_null(False)).any(),
        price=rows.price.max(),
    )


def extend_to_term_ends(tables: Tables, engine: Engine) -> Tables:
    """The tables of a business that has only terms, with `last` moved to the last end of a term before `end`.

    Without [subscriptions] `until` the log is complete up to the last start only: later ends may be plans.
    """
    if not tables.contract.only_subscriptions:
        return tables
    rows = tables.sides["subscriptions"].rows
    past_ends = engine.to_arrow(rows.filter(rows.day < ibis.literal(tables.end)).aggregate(last=rows.day.max()))
    return replace(tables, last=max(tables.last, past_ends["last"][0].as_py() or tables.last))
