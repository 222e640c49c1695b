"""The hypothetical changes to a customer's history that a what-if question tries.

Each changes rows, never a feature: another order, a later order, a contact, more or fewer activities, another price.
Changes come in steps of growing size. Days are counted back from the cutoff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from features.config.data_contract import ActivityColumns, DataContract
from features.money import TICKS
from features.phrases import format_number
from features.snapshots.counterfactual import EVENTS
from features.task import Task
from serving.language.messages import ENGLISH, Language

DAYS = (30, 14, 7, 1)  # before the cutoff: the days of a hypothetical order
LATELY = 7  # days before the cutoff: the day of all other hypothetical rows
SEVERAL = ((30, 7), (30, 14, 7))  # days of two and of three further orders
LARGER = (1.5, 2.0)  # times the last order
OFF = (0.1, 0.2, 0.3)  # of a price
CONTACTS, TERMS = "contacts", "subscriptions"
Row = dict[str, Any]
Past = Mapping[str, pa.Table]


@dataclass(frozen=True)
class UsualValues:
    """Usual values in the log at the cutoff.

    Attributes:
        actions: The most frequent actions with their median cost in ticks, or None.
        levels: The lower and the upper quartile of the measure of each activity table that has one, in ticks.
    """

    actions: tuple[tuple[str, int | None], ...] = ()
    levels: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class HypotheticalChange:
    """A hypothetical change to a customer's history.

    Attributes:
        kind: The kind of the change; answers show the smallest sufficient change of each kind.
        step: The size of the change, from 1.
        words: The change in words.
        rows: The customer's rows after the change.
    """

    kind: str
    step: int
    words: str
    rows: Past


@dataclass(frozen=True)
class _ChangeContext:
    """What the functions that build changes need."""

    past: Past
    contract: DataContract
    task: Task
    cutoff: date
    usual: UsualValues
    tr: Language

    @property
    def customer(self) -> str:
        """The id of the customer."""
        return str(next(rows["customer_id"][0] for rows in self.past.values() if rows.num_rows))

    def on(self, days: int) -> date:
        """Return the day so many days before the cutoff."""
        return self.cutoff - timedelta(days=days)

    def list(self, name: str) -> list[Row]:
        """Return the rows of a table."""
        return list(self.past[name].to_pylist()) if name in self.past else []

    def with_rows(self, name: str, rows: Sequence[Row]) -> Past:
        """Return the history with other rows in one table."""
        return {**self.past, name: pa.Table.from_pylist(list(rows), schema=self.past[name].schema)}


def hypothetical_changes(
    past: Past, contract: DataContract, task: Task, cutoff: date, usual: UsualValues, tr: Language = ENGLISH
) -> list[HypotheticalChange]:
    """Return all changes that can be tried on a customer, the smallest first.

    Args:
        past: The customer's rows as known at the cutoff (`features.snapshots.counterfactual.known_customer_rows`).
        contract: The tables and columns of the log.
        task: The task, whose windows limit what is removed.
        cutoff: The cutoff.
        usual: Usual values in the log.
        tr: The language of the words.

    Returns:
        The changes, by step.
    """
    context = _ChangeContext(past, contract, task, cutoff, usual, tr)
    makers: list[Callable[[_ChangeContext], Iterator[HypotheticalChange]]] = [
        _contact_changes,
        _no_contact_changes,
        _activity_changes,
    ]
    if not contract.only_subscriptions:
        makers += [_later_last_order, _larger_last_order, _discounted_last_order, _more_orders]
    changes = [change for make in (*makers, _cheaper_terms, _early_renewal) for change in make(context)]
    return sorted(changes, key=lambda change: change.step)


def _contact_changes(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield a contact for each usual action."""
    if CONTACTS not in context.past:
        return
    rows, day = context.list(CONTACTS), context.on(LATELY)
    at: Row = {"customer_id": context.customer, "day": day, "seen": day, "time": _noon(day)}
    for action, cost in context.usual.actions:
        contact = {**at, "action": action, "held_out": False, "cost": cost}
        words = context.tr("a contact ({action}) {days} days before", action=action, days=LATELY)
        yield HypotheticalChange(f"contact {action}", 1, words, context.with_rows(CONTACTS, [*rows, contact]))


def _no_contact_changes(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield the history without the last contact, and without the contacts of the shortest window."""
    rows = context.list(CONTACTS)
    if not (done := [row for row in rows if not row["held_out"]]):
        return
    last = max(done, key=_sort_key)
    without = context.with_rows(CONTACTS, [row for row in rows if row is not last])
    words = context.tr("without their last contact ({action})", action=last["action"])
    yield HypotheticalChange("no contact", 1, words, without)
    shortest = context.task.windows[0].days
    kept = [row for row in rows if row["held_out"] or row["day"] < context.on(shortest)]
    if len(kept) < len(rows) - 1:
        words = context.tr("without any contact in the last {days} days", days=shortest)
        yield HypotheticalChange("no contact", 2, words, context.with_rows(CONTACTS, kept))


def _activity_changes(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    for table in context.contract.activities:
        if rows := context.list(f"activities.{table.name}"):
            yield from _more_activities(context, table, rows)
            yield from _fewer_activities(context, table, rows)
            yield from _other_measures(context, table, rows)


def _more_activities(context: _ChangeContext, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """Yield one and three more activities like the last one."""
    name, activity, last = f"activities.{table.name}", _activity_words(table), max(rows, key=_sort_key)
    for step, days in ((1, (LATELY,)), (2, (LATELY, 4, 1))):
        more = context.with_rows(name, [*rows, *(_repeated_row(last, context.on(d)) for d in days)])
        words = context.tr(
            "{count} more of the {activity}, like their last, in the last {days} days",
            count=len(days), activity=activity, days=LATELY,
        )  # fmt: skip
        yield HypotheticalChange(f"more {activity}", step, words, more)


def _fewer_activities(context: _ChangeContext, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """Yield the history without the last activity, and without the activities of each window."""
    name, activity, last = f"activities.{table.name}", _activity_words(table), max(rows, key=_sort_key)
    without = [row for row in rows if row is not last]
    words = context.tr("without the last of their {activity}", activity=activity)
    yield HypotheticalChange(f"fewer {activity}", 1, words, context.with_rows(name, without))
    for step, window in enumerate(context.task.windows, start=2):
        kept = [row for row in rows if row["day"] < context.on(window.days)]
        if len(kept) < len(without):
            without = kept
            words = context.tr(
                "without any of their {activity} in the last {days} days", activity=activity, days=window.days
            )
            yield HypotheticalChange(f"fewer {activity}", step, words, context.with_rows(name, kept))


def _other_measures(context: _ChangeContext, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """Yield the last measure at the lower and at the upper quartile of the log."""
    name = f"activities.{table.name}"
    valued = [row for row in rows if row["measure"] is not None]
    if not valued or name not in context.usual.levels:
        return
    last, measure = max(valued, key=_sort_key), table.measure.replace("_", " ")
    for level in context.usual.levels[name]:
        if level != last["measure"]:
            changed = [{**row, "measure": level} if row is last else row for row in rows]
            now, then = (format_number(ticks / TICKS, "number") for ticks in (last["measure"], level))
            words = context.tr(
                "{measure} of the last of their {activity} {then} instead of {now}",
                measure=measure, activity=_activity_words(table), then=then, now=now,
            )  # fmt: skip
            yield HypotheticalChange(
                f"{measure} of {_activity_words(table)}", 1, words, context.with_rows(name, changed)
            )


def _later_last_order(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield the last order on a later day."""
    orders = _purchases(context)
    if not orders:
        return
    last = orders[-1]
    silence = (context.cutoff - _day(last)).days
    for step, days in enumerate((d for d in DAYS if d < silence), start=1):
        rows = [_repeated_row(row, context.on(days)) if row in last else row for row in context.list(EVENTS)]
        then, now = (context.tr.many("{n} day", "{n} days", n) for n in (days, silence))
        words = context.tr("their last order {then} before instead of {now}", then=then, now=now)
        yield HypotheticalChange("last order later", step, words, context.with_rows(EVENTS, rows))


def _larger_last_order(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield a larger last order, line by line."""
    orders = _purchases(context) if context.contract.has_amount else []
    for step, times in enumerate(LARGER if orders else (), start=1):
        last = orders[-1]
        scaled = [{**row, **_scaled_row(row, times)} if row in last else row for row in context.list(EVENTS)]
        words = context.tr(
            "their last order {times} times as large ({money})", times=f"{times:g}", money=_money(_sum(last) * times)
        )
        yield HypotheticalChange("larger order", step, words, context.with_rows(EVENTS, scaled))


def _discounted_last_order(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield the last order with a larger discount."""
    orders = _purchases(context) if context.contract.has_amount and context.contract.has_discount else []
    for step, off in enumerate(OFF[:2] if orders else (), start=1):
        last = orders[-1]
        rows = [{**row, **_discounted_row(row, off)} if row in last else row for row in context.list(EVENTS)]
        words = context.tr(
            "{share} more taken off their last order ({money})", share=f"{off:.0%}", money=_money(_sum(last) * off)
        )
        yield HypotheticalChange("discount", step, words, context.with_rows(EVENTS, rows))


def _more_orders(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield one, two and three more orders like the usual one."""
    orders = _purchases(context)
    if not orders:
        return
    usual, tr = _usual_order(orders), context.tr
    silence = (context.cutoff - _day(orders[-1])).days
    plans = [(d,) for d in DAYS if d <= silence] + [days for days in SEVERAL if days[0] <= silence]
    of = tr(" ({money})", money=_money(_sum(usual))) if context.contract.has_amount else ""
    for step, days in enumerate(plans, start=2):
        more = [
            {**_repeated_row(row, context.on(d)), "order_id": f"imagined {d}"} for d in days for row in usual
        ]  # the id of an order in the log would merge both
        several = tr("{days} days", days=tr(" and ").join(map(str, days)))
        when = tr.many("{n} day", "{n} days", days[0]) if len(days) == 1 else several
        words = tr.many(
            "one more order like their usual one{of}, {when} before",
            "{n} more orders like their usual one{of}, {when} before",
            len(days), of=of, when=when,
        )  # fmt: skip
        yield HypotheticalChange("more orders", step, words, context.with_rows(EVENTS, [*context.list(EVENTS), *more]))


def _cheaper_terms(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield the running terms at a lower price."""
    rows = context.list(TERMS)
    running = _running_terms(rows)
    priced = [row for row in running if row["price"]]
    for step, off in enumerate(OFF if priced else (), start=1):
        changed = [{**row, "price": round(row["price"] * (1 - off))} if row in priced else row for row in rows]
        now = sum(row["price"] for row in priced)
        words = context.tr(
            "the running term for {then} instead of {now} ({share} less)",
            then=_money(now * (1 - off)), now=_money(now), share=f"{off:.0%}",
        )  # fmt: skip
        yield HypotheticalChange("cheaper term", step, words, context.with_rows(TERMS, changed))


def _early_renewal(context: _ChangeContext) -> Iterator[HypotheticalChange]:
    """Yield an early renewal of the running term, at its price."""
    rows = context.list(TERMS)
    day = context.on(LATELY)
    if not (running := [row for row in _running_terms(rows) if row["day"] < day]):
        return
    last = max(running, key=lambda row: (row["day"], row["term"]))
    ended = {**last, "part": "end", "day": day, "seen": day, "price": None, "cause": None, "cancelled": False}
    begun = {**last, "term": max(row["term"] for row in rows) + 1, "day": day, "seen": day}
    words = context.tr("the running term renewed {days} days before", days=LATELY)
    yield HypotheticalChange("renewal", 2, words, context.with_rows(TERMS, [*rows, ended, begun]))


def _purchases(context: _ChangeContext) -> list[list[Row]]:
    """Return the rows of each order with a positive net amount (any order, without money), by day and order."""
    orders: dict[str, list[Row]] = {}
    for row in context.list(EVENTS):
        orders.setdefault(row["order_id"], []).append(row)
    bought = [rows for rows in orders.values() if not context.contract.has_amount or _sum(rows) > 0]
    return sorted(bought, key=lambda rows: (_day(rows), rows[0]["order_id"]))


def _usual_order(orders: list[list[Row]]) -> list[Row]:
    """Return the order of median amount; of equal ones the last, and of two in the middle the smaller."""
    return sorted(orders, key=_sum)[(len(orders) - 1) // 2]


def _running_terms(rows: list[Row]) -> list[Row]:
    ended = {row["term"] for row in rows if row["part"] == "end"}
    return [row for row in rows if row["part"] == "start" and row["term"] not in ended]


def _repeated_row(row: Row, day: date) -> Row:
    """Copy a row to another day, at the same time of day, as if it was known at once."""
    return {**row, "day": day, "seen": day, "time": datetime.combine(day, row["time"].time())}


def _scaled_row(row: Row, times: float) -> Row:
    return {name: round(row[name] * times) for name in ("amount", "quantity", "discount") if row[name] is not None}


def _discounted_row(row: Row, off: float) -> Row:
    discount = round(max(row["amount"] or 0, 0) * off)
    return {"amount": (row["amount"] or 0) - discount, "discount": (row["discount"] or 0) + discount}


def _day(rows: Sequence[Row]) -> date:
    """Return the first day of an order."""
    return min(row["day"] for row in rows)


def _sum(rows: Sequence[Row]) -> int:
    return sum(row["amount"] or 0 for row in rows)


def _money(ticks: float) -> str:
    return format_number(ticks / TICKS, "money")


def _sort_key(row: Row) -> tuple[Any, ...]:
    """Sort rows by time and then by their values, so that the order of rows does not matter."""
    return (row["time"], *(str(value) for name, value in sorted(row.items()) if name != "time"))


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12))


def _activity_words(table: ActivityColumns) -> str:
    return table.name.replace("_", " ")
