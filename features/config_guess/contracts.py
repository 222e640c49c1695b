"""Recognises tables of contracts, one row a term with its start and its end, and guesses [subscriptions]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import ibis

from features.config_guess.column_profile import MIN_FIT, ColumnProfile
from features.config_guess.column_words import LISTS, has_id_part, has_word, match_rank, name_words, names_an_id_of
from features.config_guess.events import add_personal, add_time
from features.config_guess.ids import id_columns, is_customer_name
from features.config_guess.wording import SectionDraft, quoted
from features.engines.base import Engine
from features.parsing import is_possible_time

ENDS_AFTER = 0.98  # share of the terms whose end is not before their start
SHORTEST = 7  # days: shorter spans are visits, calls or rentals
RUNNING = 0.02  # share of terms without an end from which an end is a fact, and never only planned
MOST_REASONS = 12
PERIODS = (
    ("365d", "annual yearly year arr jahr annuel anual annuale 年"),
    ("7d", "weekly week woche 周 週"),
    ("30d", "mrr monthly month monat mensuel mensual mensal mensile maandelijks 月"),
)


@dataclass(frozen=True)
class ContractRoles:
    """The columns of a table of contracts.

    Attributes:
        start: The first day of a term.
        end: The day on which it ended; empty while it runs.
        customers: The columns of ids, the chosen one first.
        by_customer: Whether they are named like customers; otherwise each contract counts as one.
        length: The median days of terms that ended; None: none did.
        first: The first start.
        until: The day up to which ends are known, if ends are empty while a contract runs; else None.
        last: The last start.
    """

    start: ColumnProfile
    end: ColumnProfile
    customers: tuple[ColumnProfile, ...]
    by_customer: bool
    length: float | None
    first: date
    last: date
    until: date | None


def find_contracts(table: ibis.Table, columns: Sequence[ColumnProfile], engine: Engine) -> ContractRoles | None:
    """The columns of a table of contracts; None if the table is none.

    Args:
        table: The rows.
        columns: All columns.
        engine: Where the rows are.

    Returns:
        The columns, if a start and an end are named so, the end is not before the start, and terms last for days.
    """
    starts = [c for c in columns if c.time and c.filled >= MIN_FIT and has_word(c.name, "start")]
    ends = [c for c in columns if c.time and has_word(c.name, "end") and c not in starts]
    ends += [c for c in columns if not c.given and has_word(c.name, "end") and c.type.is_null()]
    customers, by_customer = _customers(columns)
    if not (starts and ends and customers):
        return None
    start, end = _by_rank(starts, "start"), _by_rank(ends, "end")
    facts = _term_facts(table, start, end, engine)
    ended = facts["ended"] or 0
    if start.first is None or start.last is None or (ended and (facts["after"] or 0) < ENDS_AFTER * ended):
        return None
    if ended and (facts["length"] or 0) < SHORTEST:
        return None
    if ended == end.rows and any(has_word(c.name, "order") and not has_word(c.name, "contract") for c in columns):
        return None  # orders with a delivery, or rentals: every row has both days
    until = None
    if facts["last_end"] and ended < (1 - RUNNING) * end.rows:
        until = max(facts["last_end"], start.last) + timedelta(1)
    return ContractRoles(start, end, tuple(customers), by_customer, facts["length"], start.first, start.last, until)


def guess_subscriptions(
    draft: SectionDraft, table: ibis.Table, columns: Sequence[ColumnProfile], roles: ContractRoles, engine: Engine
) -> None:
    """Adds the keys of [subscriptions] to a draft, which has the source already.

    Args:
        draft: The section.
        table: The rows.
        columns: All columns.
        roles: The columns that make it a table of contracts.
        engine: Where the rows are.
    """
    tr = draft.tr
    why = (
        tr("named like a customer's id")
        if roles.by_customer
        else tr("the id of the contract: each contract then counts as a customer; is there a customer's id?")
    )
    draft.choose("customer", roles.customers, why)
    add_time(draft, "start", [roles.start])
    draft.add("end", roles.end.name, tr("the day on which a term ended; empty while it runs"))
    _add_reason(draft, table, columns, roles, engine)
    _add_price(draft, columns)
    if roles.until is not None:
        why = tr("the day after the last start or end: up to when is the table complete?")
        draft.add("until", str(roles.until), why)
    else:
        question = tr("up to when is the table complete? Without it, to the last start; later ends may only be planned")
        draft.ask("until", question, str(roles.last + timedelta(1)))
    draft.ask("known_at", tr("does a column say when a row became known? Rows are then hidden until that day"))
    add_personal(draft, columns)


def _customers(columns: Sequence[ColumnProfile]) -> tuple[list[ColumnProfile], bool]:
    """The columns of customers, or else of contracts, and whether they are named like customers."""
    ids = [c for c in id_columns(columns) if c.filled >= MIN_FIT]
    named = [c for c in ids if is_customer_name(c.name)]
    if named:
        return named, True
    contracts = [c for c in ids if c.is_unique or has_id_part(c.name)]
    contracts.sort(key=lambda c: not names_an_id_of(c.name, "contract"))
    return [c for c in contracts if c.is_unique or names_an_id_of(c.name, "contract")], False


def _term_facts(table: ibis.Table, start: ColumnProfile, end: ColumnProfile, engine: Engine) -> dict[str, Any]:
    if end.time is None or start.time is None:
        return {"ended": 0, "after": 0, "length": None, "last_end": None}
    moments = table.select(
        start=start.time.read(table[start.name], engine).written, end=end.time.read(table[end.name], engine).written
    )
    dated = moments.filter(is_possible_time(moments.end))  # an end in the year 9999 means that there is none
    ended = dated.select(start=dated.start.date(), end=dated.end.date())
    length = ended.end.delta(ended.start, unit="day")
    return engine.to_arrow(
        ended.aggregate(
            ended=ended.count(), after=(length >= 0).sum(), length=length.median(), last_end=ended.end.max()
        )
    ).to_pylist()[0]


def _by_rank(columns: Sequence[ColumnProfile], role: str) -> ColumnProfile:
    return min(columns, key=lambda c: rank if (rank := match_rank(c.name, role)) is not None else 10**6)


def _add_reason(
    draft: SectionDraft, table: ibis.Table, columns: Sequence[ColumnProfile], roles: ContractRoles, engine: Engine
) -> None:
    """Adds why terms ended, if a column says it, and which of its values mean that the customer left."""
    tr = draft.tr
    question = tr("does a column say why a term ended? List in cancelled which values mean that the customer left")
    named = [c for c in columns if c.type.is_string() and has_word(c.name, "reason") and 1 < c.distinct <= MOST_REASONS]
    if not named or roles.end.time is None:
        draft.ask("reason", question)
        return
    column = table[named[0].name]
    rows = column.name("value").as_table()
    listed = engine.to_arrow(
        rows.filter(rows.value.notnull() & (rows.value != "")).distinct().order_by("value").limit(MOST_REASONS)
    )
    values = [str(value) for value in listed["value"].to_pylist()]
    left = [value for value in values if has_word(value, "left_by_choice")]
    if not left:
        draft.ask("reason", question, named[0].name)
        draft.ask("cancelled", tr("which of these mean that the customer left?"), values)
        return
    draft.add("reason", named[0].name, tr("why a term ended"))
    others = [value for value in values if value not in left]
    rest = tr("; other ends do not: {values}", values=", ".join(map(quoted, others))) if others else ""
    draft.add("cancelled", left, tr("these mean that the customer left, as far as their names tell") + rest)


def _add_price(draft: SectionDraft, columns: Sequence[ColumnProfile]) -> None:
    """Adds the price of a term, and the time that it pays for if the name says it."""
    tr = draft.tr
    numbers = [c for c in columns if c.is_number and c.filled >= MIN_FIT and c.lowest >= 0 and not has_id_part(c.name)]
    prices = [
        c
        for c in numbers
        if has_word(c.name, "recurring", "amount")
        and not has_word(c.name, "not_amount")
        or set(name_words(c.name)) & {"fee", "cost"}
    ]
    prices.sort(
        key=lambda c: rank if (rank := match_rank(c.name, "recurring")) is not None else len(LISTS["recurring"])
    )
    question = tr("which column is the price of a term? Without it churn can be predicted, value cannot")
    draft.choose("price", prices, tr("named like a price"), question)
    if prices:
        period = next((period for period, words in PERIODS if _mentions(prices[0].name, words)), "")
        if period:
            draft.add("price_every", period, tr("how long one price pays for, as its name says"))
        else:
            draft.ask("price_every", tr("how long does one price pay for? Without it value cannot be predicted"), "30d")


def _mentions(name: str, words: str) -> bool:
    return any(word in name_words(name) or (not word.isascii() and word in name) for word in words.split())
