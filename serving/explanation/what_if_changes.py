"""The list of hypothetical changes to a customer's past that 'what if' tries: what a business or a customer could do.

Each is a change of rows, never of a feature: an order more, an order moved, a contact, an activity more or fewer,
another price. Sizes go up in steps; a step counts how much is asked. Days are counted back from the cutoff.
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

DAYS = (30, 14, 7, 1)  # before the cutoff: where an order is imagined
LATELY = 7  # days before the cutoff: where anything else is imagined
SEVERAL = ((30, 7), (30, 14, 7))  # days of two and of three orders more
LARGER = (1.5, 2.0)  # times the last order
OFF = (0.1, 0.2, 0.3)  # of a price
CONTACTS, TERMS = "contacts", "subscriptions"
Row = dict[str, Any]
Past = Mapping[str, pa.Table]


@dataclass(frozen=True)
class UsualValues:
    """What is usual in the log at the cutoff.

    Attributes:
        actions: The commonest actions that were done, with their median cost in ticks, or None.
        levels: By table of activities with a measure, the quarter and three quarters of it, in ticks.
    """

    actions: tuple[tuple[str, int | None], ...] = ()
    levels: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class HypotheticalChange:
    """A hypothetical past.

    Attributes:
        kind: What sort of change it is; of each sort the smallest that is enough is told.
        step: How much it asks, from 1.
        words: What would be otherwise.
        rows: The customer's rows as they would be.
    """

    kind: str
    step: int
    words: str
    rows: Past


@dataclass(frozen=True)
class _Given:
    """What changes are made of."""

    past: Past
    contract: DataContract
    task: Task
    cutoff: date
    usual: UsualValues
    tr: Language

    @property
    def customer(self) -> str:
        """Whose past it is."""
        return str(next(rows["customer_id"][0] for rows in self.past.values() if rows.num_rows))

    def on(self, days: int) -> date:
        """The day so many days before the cutoff."""
        return self.cutoff - timedelta(days=days)

    def list(self, name: str) -> list[Row]:
        """The rows of a table."""
        return list(self.past[name].to_pylist()) if name in self.past else []

    def with_rows(self, name: str, rows: Sequence[Row]) -> Past:
        """The past with other rows of one table."""
        return {**self.past, name: pa.Table.from_pylist(list(rows), schema=self.past[name].schema)}


def hypothetical_changes(
    past: Past, contract: DataContract, task: Task, cutoff: date, usual: UsualValues, tr: Language = ENGLISH
) -> list[HypotheticalChange]:
    """All changes that can be tried on a customer, the smallest first.

    Args:
        past: Their rows as they were known at the cutoff (`features.snapshots.counterfactual.known_customer_rows`).
        contract: Which tables and columns there are.
        task: Its windows bound what is taken away.
        cutoff: When.
        usual: What is usual in the log.
        tr: The language of the words.
    """
    given = _Given(past, contract, task, cutoff, usual, tr)
    makers: list[Callable[[_Given], Iterator[HypotheticalChange]]] = [_contacted, _left_alone, _activities]
    if not contract.only_subscriptions:
        makers += [_moved, _larger, _discounted, _ordered]
    found = [change for make in (*makers, _cheaper, _renewed) for change in make(given)]
    return sorted(found, key=lambda change: change.step)


def _contacted(given: _Given) -> Iterator[HypotheticalChange]:
    """A contact of each usual action."""
    if CONTACTS not in given.past:
        return
    rows, day = given.list(CONTACTS), given.on(LATELY)
    at: Row = {"customer_id": given.customer, "day": day, "seen": day, "time": _noon(day)}
    for action, cost in given.usual.actions:
        told = {**at, "action": action, "held_out": False, "cost": cost}
        words = given.tr("a contact ({action}) {days} days before", action=action, days=LATELY)
        yield HypotheticalChange(f"contact {action}", 1, words, given.with_rows(CONTACTS, [*rows, told]))


def _left_alone(given: _Given) -> Iterator[HypotheticalChange]:
    """Without the last contact, and without those of the shortest window."""
    rows = given.list(CONTACTS)
    if not (done := [row for row in rows if not row["held_out"]]):
        return
    last = max(done, key=_when)
    without = given.with_rows(CONTACTS, [row for row in rows if row is not last])
    words = given.tr("without their last contact ({action})", action=last["action"])
    yield HypotheticalChange("no contact", 1, words, without)
    shortest = given.task.windows[0].days
    kept = [row for row in rows if row["held_out"] or row["day"] < given.on(shortest)]
    if len(kept) < len(rows) - 1:
        words = given.tr("without any contact in the last {days} days", days=shortest)
        yield HypotheticalChange("no contact", 2, words, given.with_rows(CONTACTS, kept))


def _activities(given: _Given) -> Iterator[HypotheticalChange]:
    for table in given.contract.activities:
        if rows := given.list(f"activities.{table.name}"):
            yield from _more(given, table, rows)
            yield from _fewer(given, table, rows)
            yield from _measured(given, table, rows)


def _more(given: _Given, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """One and three activities more, like the last one."""
    name, words, last = f"activities.{table.name}", _words(table), max(rows, key=_when)
    for step, days in ((1, (LATELY,)), (2, (LATELY, 4, 1))):
        more = given.with_rows(name, [*rows, *(_again(last, given.on(d)) for d in days)])
        told = given.tr(
            "{count} more of the {activity}, like their last, in the last {days} days",
            count=len(days), activity=words, days=LATELY,
        )  # fmt: skip
        yield HypotheticalChange(f"more {words}", step, told, more)


def _fewer(given: _Given, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """Without the last activity, and without those of each window."""
    name, words, last = f"activities.{table.name}", _words(table), max(rows, key=_when)
    without = [row for row in rows if row is not last]
    told = given.tr("without the last of their {activity}", activity=words)
    yield HypotheticalChange(f"fewer {words}", 1, told, given.with_rows(name, without))
    for step, window in enumerate(given.task.windows, start=2):
        kept = [row for row in rows if row["day"] < given.on(window.days)]
        if len(kept) < len(without):
            without = kept
            told = given.tr("without any of their {activity} in the last {days} days", activity=words, days=window.days)
            yield HypotheticalChange(f"fewer {words}", step, told, given.with_rows(name, kept))


def _measured(given: _Given, table: ActivityColumns, rows: list[Row]) -> Iterator[HypotheticalChange]:
    """The last measure at what a quarter, and three quarters, of all do not exceed."""
    name = f"activities.{table.name}"
    valued = [row for row in rows if row["measure"] is not None]
    if not valued or name not in given.usual.levels:
        return
    last, what = max(valued, key=_when), table.measure.replace("_", " ")
    for level in given.usual.levels[name]:
        if level != last["measure"]:
            other = [{**row, "measure": level} if row is last else row for row in rows]
            now, then = (format_number(ticks / TICKS, "number") for ticks in (last["measure"], level))
            told = given.tr(
                "{measure} of the last of their {activity} {then} instead of {now}",
                measure=what, activity=_words(table), then=then, now=now,
            )  # fmt: skip
            yield HypotheticalChange(f"{what} of {_words(table)}", 1, told, given.with_rows(name, other))


def _moved(given: _Given) -> Iterator[HypotheticalChange]:
    """The last order at a later day."""
    orders = _purchases(given)
    if not orders:
        return
    last = orders[-1]
    silence = (given.cutoff - _day(last)).days
    for step, days in enumerate((d for d in DAYS if d < silence), start=1):
        rows = [_again(row, given.on(days)) if row in last else row for row in given.list(EVENTS)]
        then, now = (given.tr.many("{n} day", "{n} days", n) for n in (days, silence))
        told = given.tr("their last order {then} before instead of {now}", then=then, now=now)
        yield HypotheticalChange("last order later", step, told, given.with_rows(EVENTS, rows))


def _larger(given: _Given) -> Iterator[HypotheticalChange]:
    """The last order larger, line by line."""
    orders = _purchases(given) if given.contract.has_amount else []
    for step, times in enumerate(LARGER if orders else (), start=1):
        last = orders[-1]
        scaled = [{**row, **_scaled(row, times)} if row in last else row for row in given.list(EVENTS)]
        told = given.tr(
            "their last order {times} times as large ({money})", times=f"{times:g}", money=_money(_sum(last) * times)
        )
        yield HypotheticalChange("larger order", step, told, given.with_rows(EVENTS, scaled))


def _discounted(given: _Given) -> Iterator[HypotheticalChange]:
    """The last order with more taken off."""
    orders = _purchases(given) if given.contract.has_amount and given.contract.has_discount else []
    for step, off in enumerate(OFF[:2] if orders else (), start=1):
        last = orders[-1]
        rows = [{**row, **_off(row, off)} if row in last else row for row in given.list(EVENTS)]
        told = given.tr(
            "{share} more taken off their last order ({money})", share=f"{off:.0%}", money=_money(_sum(last) * off)
        )
        yield HypotheticalChange("discount", step, told, given.with_rows(EVENTS, rows))


def _ordered(given: _Given) -> Iterator[HypotheticalChange]:
    """One, two and three orders more, like the usual one."""
    orders = _purchases(given)
    if not orders:
        return
    usual, tr = _usual(orders), given.tr
    silence = (given.cutoff - _day(orders[-1])).days
    plans = [(d,) for d in DAYS if d <= silence] + [days for days in SEVERAL if days[0] <= silence]
    of = tr(" ({money})", money=_money(_sum(usual))) if given.contract.has_amount else ""
    for step, days in enumerate(plans, start=2):
        more = [
            {**_again(row, given.on(d)), "order_id": f"imagined {d}"} for d in days for row in usual
        ]  # a name that an order of the log has would join the two
        several = tr("{days} days", days=tr(" and ").join(map(str, days)))
        when = tr.many("{n} day", "{n} days", days[0]) if len(days) == 1 else several
        told = tr.many(
            "one more order like their usual one{of}, {when} before",
            "{n} more orders like their usual one{of}, {when} before",
            len(days), of=of, when=when,
        )  # fmt: skip
        yield HypotheticalChange("more orders", step, told, given.with_rows(EVENTS, [*given.list(EVENTS), *more]))


def _cheaper(given: _Given) -> Iterator[HypotheticalChange]:
    """The running terms at a lower price."""
    rows = given.list(TERMS)
    running = _running(rows)
    priced = [row for row in running if row["price"]]
    for step, off in enumerate(OFF if priced else (), start=1):
        other = [{**row, "price": round(row["price"] * (1 - off))} if row in priced else row for row in rows]
        now = sum(row["price"] for row in priced)
        told = given.tr(
            "the running term for {then} instead of {now} ({share} less)",
            then=_money(now * (1 - off)), now=_money(now), share=f"{off:.0%}",
        )  # fmt: skip
        yield HypotheticalChange("cheaper term", step, told, given.with_rows(TERMS, other))


def _renewed(given: _Given) -> Iterator[HypotheticalChange]:
    """The running term renewed early, at its price."""
    rows = given.list(TERMS)
    day = given.on(LATELY)
    if not (running := [row for row in _running(rows) if row["day"] < day]):
        return
    last = max(running, key=lambda row: (row["day"], row["term"]))
    ended = {**last, "part": "end", "day": day, "seen": day, "price": None, "cause": None, "cancelled": False}
    begun = {**last, "term": max(row["term"] for row in rows) + 1, "day": day, "seen": day}
    told = given.tr("the running term renewed {days} days before", days=LATELY)
    yield HypotheticalChange("renewal", 2, told, given.with_rows(TERMS, [*rows, ended, begun]))


def _purchases(given: _Given) -> list[list[Row]]:
    """The rows of each order with a positive net amount (any, where there is no money), by day and order."""
    orders: dict[str, list[Row]] = {}
    for row in given.list(EVENTS):
        orders.setdefault(row["order_id"], []).append(row)
    bought = [rows for rows in orders.values() if not given.contract.has_amount or _sum(rows) > 0]
    return sorted(bought, key=lambda rows: (_day(rows), rows[0]["order_id"]))


def _usual(orders: list[list[Row]]) -> list[Row]:
    """The order of median amount; of equal ones the last, and of two in the middle the smaller."""
    return sorted(orders, key=_sum)[(len(orders) - 1) // 2]


def _running(rows: list[Row]) -> list[Row]:
    ended = {row["term"] for row in rows if row["part"] == "end"}
    return [row for row in rows if row["part"] == "start" and row["term"] not in ended]


def _again(row: Row, day: date) -> Row:
    """A row as if it had happened on another day, at its time of the day, and been known at once."""
    return {**row, "day": day, "seen": day, "time": datetime.combine(day, row["time"].time())}


def _scaled(row: Row, times: float) -> Row:
    return {name: round(row[name] * times) for name in ("amount", "quantity", "discount") if row[name] is not None}


def _off(row: Row, off: float) -> Row:
    taken = round(max(row["amount"] or 0, 0) * off)
    return {"amount": (row["amount"] or 0) - taken, "discount": (row["discount"] or 0) + taken}


def _day(rows: Sequence[Row]) -> date:
    """The first day of an order."""
    return min(row["day"] for row in rows)


def _sum(rows: Sequence[Row]) -> int:
    return sum(row["amount"] or 0 for row in rows)


def _money(ticks: float) -> str:
    return format_number(ticks / TICKS, "money")


def _when(row: Row) -> tuple[Any, ...]:
    """Sorts rows by time; of one moment by what they say, so that the order of rows decides nothing."""
    return (row["time"], *(str(value) for name, value in sorted(row.items()) if name != "time"))


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12))


def _words(table: ActivityColumns) -> str:
    return table.name.replace("_", " ")
