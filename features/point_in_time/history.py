"""What had happened and was known before each cutoff; the only module that writes a time predicate.

A row is visible at a cutoff when it happened and became known before it. Both clocks are read in whole UTC days
and a cutoff is a midnight, so `seen < cutoff` says it all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import Tables
from features.task import Task, Window

KEYS = ("customer_id", "cutoff")


@dataclass(frozen=True)
class Past:
    """The customers' past as it stood at each cutoff, in stored stages that every family of features may read.

    Attributes:
        tables: The contract. Its rows know no cutoff: use `visible` on them.
        task: Horizon, cohort and windows.
        cutoffs: When, ascending.
        moments: One row a cutoff (`cutoff`, a date).
        engine: Where it runs.
        orders: What happened, and became known, of an order on one day: customer_id, order_id, day, seen, amount,
            refund, quantity, discount (ticks), lines, time.
        visible_orders: One row a customer, cutoff and order as it stood: day, time and hour (its first), amount,
            refund, quantity, discount, lines, age, purchase (its net amount is positive).
        days: One row a customer, cutoff and day with a purchase: spend, age, place (0: the last day), gap
            (days since the one before, null for the first).
        compared: The past of those whom these customers are compared with; None: with each other.
    """

    tables: Tables
    task: Task
    cutoffs: tuple[date, ...]
    moments: ibis.Table
    engine: Engine
    orders: ibis.Table
    visible_orders: ibis.Table
    days: ibis.Table
    compared: Past | None = None

    @property
    def everyone(self) -> Past:
        """The past over which fits and means of all customers are taken: imagined customers do not count there."""
        return self.compared or self

    def visible(self, rows: ibis.Table) -> ibis.Table:
        """Rows (customer_id, day, seen, ...) at every cutoff before which they were known, with `cutoff` and `age`."""
        return with_age(visible_at_cutoffs(rows, self.moments))

    def newest(self, rows: ibis.Table) -> ibis.Table:
        """Of rows (customer_id, day, seen, ...) the one of each customer that was known last before each cutoff."""
        return newest_rows(self.visible(rows), rows.columns)

    def pane(self, age: ibis.Value) -> ibis.Value:
        """The first window of the task, counted from 0, that holds an age."""
        return window_index(age, self.task.windows)


def build_history(
    tables: Tables, task: Task, cutoffs: Sequence[date], engine: Engine, stage: Callable[[str, ibis.Table], ibis.Table]
) -> Past:
    """Stores the stages that all families share; `stage` keeps an expression's rows under a name."""
    has_amount = tables.contract.has_amount
    when = tuple(sorted(set(cutoffs)))
    moments = engine.load("cutoffs", cutoff_table(when))
    orders = stage("orders", order_days(tables))
    seen = stage("visible", _visible_orders(orders, moments, has_amount))
    return Past(tables, task, when, moments, engine, orders, seen, stage("days", _purchase_days(seen)))


def visible_at_cutoffs(rows: ibis.Table, moments: ibis.Table) -> ibis.Table:
    """Rows joined to every cutoff before which they happened and were known."""
    return rows.join(moments, rows.seen < moments.cutoff)


def newest_rows(known: ibis.Table, columns: Sequence[str]) -> ibis.Table:
    """The last known of the visible rows of each customer and cutoff; of those known on one day, by `time`.

    Rows that became known at once are told apart by all other columns, so that the order of a file decides nothing.
    """
    clocks = [name for name in ("seen", "time") if name in columns]
    others = [name for name in columns if name not in ("customer_id", *clocks)]
    order = [ibis.desc(known[name], nulls_first=False) for name in (*clocks, *others)]
    place = ibis.row_number().over(ibis.window(group_by=KEYS, order_by=order))
    numbered = known.mutate(place=place)
    return numbered.filter(numbered.place == 0).drop("place")


def days_since(rows: ibis.Table, name: str) -> ibis.Value:
    """Days from a column of dates to the row's cutoff, from 1 on; null where the date is not before it."""
    past = rows[name] < rows.cutoff
    return past.ifelse(rows.cutoff.delta(rows[name], unit="day").cast("int64"), ibis.null("int64"))


def rows_in_horizon(rows: ibis.Table, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """Rows joined to every cutoff in whose label's interval, [cutoff, cutoff + horizon), they happened."""
    inside = (rows.day >= moments.cutoff) & (rows.day < moments.cutoff + ibis.interval(days=horizon.days))
    return rows.join(moments, inside)


def rows_after_contact(rows: ibis.Table, contacts: ibis.Table, horizon: Window) -> ibis.Table:
    """Rows of contacted customers that happened in [day, day + horizon) of the contact's own day.

    Args:
        rows: customer_id, day and others.
        contacts: customer_id, cutoff and contact_day.
        horizon: How far ahead.

    Returns:
        The rows with the contact's `cutoff`.
    """
    soon = (rows.day >= contacts.contact_day) & (rows.day < contacts.contact_day + ibis.interval(days=horizon.days))
    joined = rows.join(contacts, [rows.customer_id == contacts.customer_id, soon])
    return joined.select(*(rows[name] for name in rows.columns), contacts.cutoff)


def terms_at_cutoffs(terms: ibis.Table, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """Terms joined to every cutoff before whose horizon's end they begin and before which no end of theirs was known.

    Args:
        terms: start, start_seen, end and end_seen (when they had come and were known; an end is null while the term
            runs), as dates.
        moments: One row a cutoff.
        horizon: Of the labels.

    Returns:
        The rows with `cutoff`, and start and end in days from it: end lies in [0, horizon], where the horizon's length
        means that the term is in force when the horizon ends, and 0 also that it had ended before, unknown to all;
        `known`: the term was known, so that its customer belonged to the cohort.
    """
    begun = terms.start < moments.cutoff + ibis.interval(days=horizon.days)
    joined = terms.join(moments, begun & (terms.end_seen.isnull() | (terms.end_seen >= moments.cutoff)))
    start, end = (joined[name].delta(joined.cutoff, unit="day").cast("int64") for name in ("start", "end"))
    known = joined.start_seen < joined.cutoff
    return joined.mutate(start=start, end=end.fill_null(horizon.days).clip(0, horizon.days), known=known)


def with_age(rows: ibis.Table) -> ibis.Table:
    """Adds age: days from `day` to the cutoff, from 1 on."""
    return rows.mutate(age=rows.cutoff.delta(rows.day, unit="day").cast("int64"))


def window_index(age: ibis.Value, windows: Sequence[Window]) -> ibis.Value:
    """The first window, counted from 0, that holds an age; their number where none does."""
    tests = [(age <= w.days, ibis.literal(place, "int8")) for place, w in enumerate(windows)]
    return ibis.cases(*tests, else_=ibis.literal(len(windows), "int8"))


def cutoff_table(cutoffs: Sequence[date]) -> pa.Table:
    """One row a cutoff, ascending."""
    return pa.table({"cutoff": pa.array(sorted(set(cutoffs)), pa.date32())})


def order_days(tables: Tables) -> ibis.Table:
    """The part of an order that happened, and became known, on one day: it never straddles a cutoff."""
    e = tables.events
    return e.group_by("customer_id", "order_id", "day", "seen").aggregate(
        amount=e.amount.sum().fill_null(0).cast("int64"),
        refund=(-ibis.least(e.amount, 0)).sum().fill_null(0).cast("int64"),
        quantity=e.quantity.sum().fill_null(0).cast("int64"),
        discount=e.discount.sum().fill_null(0).cast("int64"),
        lines=e.count(),
        time=e.time.min(),
    )


def _visible_orders(orders: ibis.Table, moments: ibis.Table, has_amount: bool) -> ibis.Table:
    """Orders as they stood at each cutoff, with age in days, and whether they are purchases."""
    past = visible_at_cutoffs(orders, moments)
    sums = ("amount", "refund", "quantity", "discount", "lines")
    whole = with_age(
        past.group_by("customer_id", "cutoff", "order_id").aggregate(
            day=past.day.min(),
            time=past.time.min(),
            hour=past.time.min().hour().cast("int64"),
            **{name: past[name].sum().cast("int64") for name in sums},
        )
    )
    bought = (whole.amount > 0) if has_amount else ibis.literal(True)
    return whole.mutate(purchase=bought)


def _purchase_days(orders: ibis.Table) -> ibis.Table:
    """One row a day with a purchase: its spend, and the gap to the one before (null for the first)."""
    bought = orders.filter(orders.purchase)
    days = bought.group_by("customer_id", "cutoff", "day", "age").aggregate(spend=bought.amount.sum())
    order = ibis.window(group_by=KEYS, order_by=days.day)
    return days.mutate(
        spend=days.spend.cast("int64"),
        gap=(days.age.lag().over(order) - days.age).cast("int64"),
        place=ibis.row_number().over(ibis.window(group_by=KEYS, order_by=days.day.desc())),
    )


def history_marks(tables: Tables, day: date, engine: Engine) -> dict[str, int]:
    """What tells a log's past from another's, on any engine: its events known before a day, counted and summed.

    Returns:
        events, customers, ticks (of net amount) and age_days (of all events together).
    """
    past = known_before(tables.events, day, engine)
    found = engine.arrow(
        past.aggregate(
            events=past.count(),
            customers=past.customer_id.nunique(),
            ticks=past.amount.sum().fill_null(0).cast("int64"),
            age_days=past.age.sum().fill_null(0).cast("int64"),
        )
    )
    return {name: int(found[name][0].as_py()) for name in found.column_names}


def known_before(rows: ibis.Table, cutoff: date, engine: Engine) -> ibis.Table:
    """Rows that happened and were known before the cutoff, with their age in days."""
    return with_age(visible_at_cutoffs(rows, engine.load("standing_cutoff", cutoff_table([cutoff]))))
