"""The terms of a contractual business as a whole: how far the log goes, and what the audit says of its contracts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import ibis

from features.engines.base import Engine
from features.intake.subscription_terms import one_row_per_term
from features.intake.tables import Tables
from features.point_in_time.history import cutoff_table, terms_at_cutoffs
from features.point_in_time.labels import cover_outcomes
from features.task import Task

Facts = Mapping[str, Any]
MIN_REASON_TERMS = 20  # terms; a reason that fewer share could be a remark on somebody, and is not shown
MAX_REASONS = 6  # reasons shown
OTHER_REASONS = "other reasons"


def subscription_facts(tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> Facts | None:
    """What the audit says of contracts; None where churn is not told by them.

    Args:
        tables: The contract.
        task: The task.
        cutoffs: Those whose outcome is known, ascending.
        engine: Where it runs.

    Returns:
        only_terms, horizon, terms, ended, cancelled (ended by what is churn), reasons (value, terms, churn; the rarer
        ones together), next_day and same_day (terms that begin the day after, or on the day of, the end before), later
        (ends on which the log is not complete), last_end, and outcomes: by cutoff (the last three) the customers with
        a running term, how many of them cancelled within the horizon, and how many covers ended otherwise.
    """
    if not task.contractual:
        return None
    terms = one_row_per_term(tables.sides["subscriptions"].rows)
    return {
        "only_terms": tables.contract.only_terms,
        "horizon": str(task.horizon),
        **_sizes(terms, tables, engine),
        "reasons": tuple(_reasons(tables, engine)),
        "outcomes": tuple(_outcomes(terms, task, cutoffs[-3:], engine)),
    }


def _sizes(terms: ibis.Table, tables: Tables, engine: Engine) -> dict[str, Any]:
    order = ibis.window(group_by="customer_id", order_by=[terms.start, terms.term])
    linked = terms.mutate(gap=terms.start.delta(terms.end.lag().over(order), unit="day"))
    counts = linked.aggregate(
        terms=linked.count(),
        ended=linked.end.count(),
        cancelled=linked.cancelled.sum(),
        same_day=(linked.gap == 0).sum(),
        next_day=(linked.gap == 1).sum(),
        later=(linked.end >= ibis.literal(tables.end)).sum(),
        last_end=linked.end.max(),
    )
    found = engine.arrow(counts).to_pylist()[0]
    return {name: value if name == "last_end" else int(value or 0) for name, value in found.items()}


def _reasons(tables: Tables, engine: Engine) -> Iterator[dict[str, Any]]:
    """Why terms ended: the most common reasons by name, the others together."""
    rows = tables.sides["subscriptions"].rows
    ended = rows.filter((rows.part == "end") & rows.cause.notnull())
    counts = ended.group_by("cause", "cancelled").aggregate(terms=ended.count())
    rest = 0
    for place, row in enumerate(engine.arrow(counts.order_by(counts.terms.desc(), counts.cause)).to_pylist()):
        if row["cancelled"] or (place < MAX_REASONS and row["terms"] >= MIN_REASON_TERMS):
            yield {"reason": row["cause"], "terms": row["terms"], "churn": row["cancelled"]}
        else:
            rest += row["terms"]
    if rest:
        yield {"reason": OTHER_REASONS, "terms": rest, "churn": False}


def _outcomes(terms: ibis.Table, task: Task, cutoffs: Sequence[date], engine: Engine) -> Iterator[dict[str, Any]]:
    if not cutoffs:
        return
    moments = engine.load("audited_cutoffs", cutoff_table(tuple(cutoffs)))
    found = cover_outcomes(terms_at_cutoffs(terms, moments, task.horizon), task.horizon)
    mine = found.filter(found.known == 1)
    counts = mine.group_by("cutoff").aggregate(
        customers=mine.count(), cancelled=mine.cancelled.sum(), competing=(mine.ended - mine.cancelled).sum()
    )
    for row in engine.arrow(counts.order_by("cutoff")).to_pylist():
        yield {name: value if name == "cutoff" else int(value) for name, value in row.items()}


def subscription_breaches(tables: Tables, task: Task, engine: Engine) -> list[str]:
    """Where nothing could be learned: no term that ended did so by what counts as churn."""
    if not task.contractual:
        return []
    rows = tables.sides["subscriptions"].rows
    if engine.count(rows.filter((rows.part == "end") & rows.cancelled)):
        return []
    if not (named := tables.contract.cancelled):
        return ["no term of [subscriptions] has ended, so there is no cancellation to predict; check its end"]
    found = [row["reason"] for row in _reasons(tables, engine)]
    return [f"no term of [subscriptions] ended by {_listed(named)}: {_nearest(named, found)}"]


def subscription_notes(facts: Facts | None, tables: Tables) -> Iterator[str]:
    """What is odd about the contracts, in words."""
    if facts is None:
        return
    has, found = tables.contract, [row["reason"] for row in facts["reasons"]]
    if absent := [value for value in has.cancelled if value not in found]:
        yield f"[subscriptions] cancelled names {_listed(absent)}, and no term ended so: {_nearest(absent, found)}"
    if facts["later"]:
        yield (
            f"{facts['later']:,} terms end on or after {tables.end}, up to which the log counts as complete (the last "
            f"on {facts['last_end']}): such ends are taken for plans, and no label sees them. If they have come, say "
            f"up to which day the terms are complete with [{'subscriptions' if has.only_terms else 'events'}] until"
        )
    if facts["next_day"] > facts["same_day"]:
        yield (
            f"{facts['next_day']:,} terms begin the day after the end before, and {facts['same_day']:,} on that day: "
            "if end is the last day of cover, add a day to it in [subscriptions] query, or covers that are renewed on "
            "the day after a horizon count as cancelled"
        )
    if has.has_price and not (has.has_amount or has.price_days):
        yield "[subscriptions] has a price but no price_every (how long it pays for): churn but no value"


def subscription_lines(facts: Facts | None) -> list[str]:
    """The contracts as lines for a terminal."""
    if facts is None:
        return []
    ways = ", ".join(
        f"{row['reason']} {row['terms']:,}{' (churn)' if row['churn'] else ''}" for row in facts["reasons"]
    )
    lines = [
        f"contracts      {facts['terms']:,} terms, {facts['ended']:,} ended, {facts['cancelled']:,} of them cancelled"
        + (f": {ways}" if ways else "")
    ]
    for row in facts["outcomes"]:
        lines.append(
            f"{'':<15}at {row['cutoff']} {row['customers']:,} customers in force; within {facts['horizon']} "
            f"{row['cancelled']:,} cancelled, {row['competing']:,} ended otherwise (no churn)"
        )
    return lines


def _nearest(named: Sequence[str], found: Sequence[str]) -> str:
    near = [match for value in named for match in difflib.get_close_matches(value, found, n=1)]
    return f"did you mean {_listed(near)}?" if near else f"they ended by {_listed(found) or 'nothing that is named'}"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(repr, values))
