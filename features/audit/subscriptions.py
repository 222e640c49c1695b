"""What the audit says of the subscriptions of a contractual business."""

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
MIN_REASON_TERMS = 20  # with fewer, a reason could be a remark on one customer, so it is not named
MAX_REASONS = 6  # how many reasons are named
OTHER_REASONS = "other reasons"


def subscription_facts(tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine) -> Facts | None:
    """Facts on subscriptions; None unless churn is 'cancelled'.

    Args:
        tables: The contract.
        task: The task.
        cutoffs: Mature cutoffs, ascending.
        engine: Where the tables are.

    Returns:
        only_terms, horizon, terms, ended, cancelled (ended by churn), reasons (value, terms, churn; rare ones
        together), next_day and same_day (terms that begin the day after, or on the day of, the previous end), later
        (ends on or after the day up to which the log is complete), last_end, and outcomes at the last three cutoffs:
        the customers with a running term, how many cancelled within the horizon, and how many covers ended without
        churn.
    """
    if not task.contractual:
        return None
    terms = one_row_per_term(tables.sides["subscriptions"].rows)
    return {
        "only_terms": tables.contract.only_subscriptions,
        "horizon": str(task.horizon),
        **_term_counts(terms, tables, engine),
        "reasons": tuple(_end_reasons(tables, engine)),
        "outcomes": tuple(_outcomes(terms, task, cutoffs[-3:], engine)),
    }


def _term_counts(terms: ibis.Table, tables: Tables, engine: Engine) -> dict[str, Any]:
    """Counts over all terms, and the last end."""
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
    totals = engine.to_arrow(counts).to_pylist()[0]
    return {name: value if name == "last_end" else int(value or 0) for name, value in totals.items()}


def _end_reasons(tables: Tables, engine: Engine) -> Iterator[dict[str, Any]]:
    """Why terms ended: the most common reasons by name, the others together."""
    rows = tables.sides["subscriptions"].rows
    ended = rows.filter((rows.part == "end") & rows.cause.notnull())
    counts = ended.group_by("cause", "cancelled").aggregate(terms=ended.count())
    other_terms = 0
    for rank, row in enumerate(engine.to_arrow(counts.order_by(counts.terms.desc(), counts.cause)).to_pylist()):
        if row["cancelled"] or (rank < MAX_REASONS and row["terms"] >= MIN_REASON_TERMS):
            yield {"reason": row["cause"], "terms": row["terms"], "churn": row["cancelled"]}
        else:
            other_terms += row["terms"]
    if other_terms:
        yield {"reason": OTHER_REASONS, "terms": other_terms, "churn": False}


def _outcomes(terms: ibis.Table, task: Task, cutoffs: Sequence[date], engine: Engine) -> Iterator[dict[str, Any]]:
    """At each cutoff: customers in force, and how many of them cancelled or ended without churn."""
    if not cutoffs:
        return
    moments = engine.store_arrow("audited_cutoffs", cutoff_table(tuple(cutoffs)))
    outcomes = cover_outcomes(terms_at_cutoffs(terms, moments, task.horizon), task.horizon)
    in_force = outcomes.filter(outcomes.known == 1)
    counts = in_force.group_by("cutoff").aggregate(
        customers=in_force.count(),
        cancelled=in_force.cancelled.sum(),
        competing=(in_force.ended - in_force.cancelled).sum(),
    )
    for row in engine.to_arrow(counts.order_by("cutoff")).to_pylist():
        yield {name: value if name == "cutoff" else int(value) for name, value in row.items()}


def subscription_breaches(tables: Tables, task: Task, engine: Engine) -> list[str]:
    """Breaches of the contract: no term has ended by churn, so there is nothing to learn.

    Args:
        tables: The contract.
        task: Says whether churn is cancellation.
        engine: Where the tables are.

    Returns:
        One sentence, or none.
    """
    if not task.contractual:
        return []
    rows = tables.sides["subscriptions"].rows
    if engine.count_rows(rows.filter((rows.part == "end") & rows.cancelled)):
        return []
    if not (cancellations := tables.contract.cancelled):
        return ["no term of [subscriptions] has ended, so there is no cancellation to predict; check its end"]
    reasons = [row["reason"] for row in _end_reasons(tables, engine)]
    return [
        f"no term of [subscriptions] ended by {_quoted_list(cancellations)}: {_did_you_mean(cancellations, reasons)}"
    ]


def subscription_notes(facts: Facts | None, tables: Tables) -> Iterator[str]:
    """Notes on what is odd about the subscriptions."""
    if facts is None:
        return
    contract, reasons = tables.contract, [row["reason"] for row in facts["reasons"]]
    if absent := [value for value in contract.cancelled if value not in reasons]:
        advice = _did_you_mean(absent, reasons)
        yield f"[subscriptions] cancelled names {_quoted_list(absent)}, but no term ended so: {advice}"
    if facts["later"]:
        yield (
            f"{facts['later']:,} terms end on or after {tables.end}, the day up to which the log is complete "
            f"(the last on {facts['last_end']}): such ends are taken for plans, and no label sees them. If they are "
            "real, set the day up to which the terms are complete: "
            f"[{'subscriptions' if contract.only_subscriptions else 'events'}] until"
        )
    if facts["next_day"] > facts["same_day"]:
        yield (
            f"{facts['next_day']:,} terms begin the day after the previous end, and {facts['same_day']:,} on that day: "
            "if end is the last day of cover, add a day to it in [subscriptions] query; otherwise cover that is "
            "renewed on the day after a horizon counts as cancelled"
        )
    if contract.has_price and not (contract.has_amount or contract.price_days):
        yield "[subscriptions] has a price but no price_every (how long it pays for): churn but no value"


def subscription_lines(facts: Facts | None) -> list[str]:
    """The lines on subscriptions in the printed audit."""
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
            f"{row['cancelled']:,} cancelled, {row['competing']:,} ended for other reasons (no churn)"
        )
    return lines


def _did_you_mean(wanted: Sequence[str], known: Sequence[str]) -> str:
    """The known reasons most like the wanted ones, or all known ones."""
    matches = [match for value in wanted for match in difflib.get_close_matches(value, known, n=1)]
    return (
        f"did you mean {_quoted_list(matches)}?"
        if matches
        else f"they ended by {_quoted_list(known) or 'no named reason'}"
    )


def _quoted_list(values: Sequence[str]) -> str:
    """Values in quotes, separated by commas."""
    return ", ".join(map(repr, values))
