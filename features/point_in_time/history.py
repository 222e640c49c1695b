"""What had happened and was known before each cutoff; the only module with comparisons of times and cutoffs.

A row is visible at a cutoff if it happened and became known before it. Both times are whole days in the business's
time zone and a cutoff is the begin of a day, so `seen < cutoff` is the whole test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pyarrow as pa

from features.engines.base import Engine
from features.intake.tables import OWN_ID, OWNED, Tables
from features.task import Task, Window

KEYS = ("customer_id", "cutoff")
KNOWN_BY = "known_by"  # of moments: the day before which a label's rows must have been known


@dataclass(frozen=True)
class Past:
    """The history of customers as known at each cutoff, in stored stages that every family of features may read.

    Attributes:
        tables: The contract. Its rows are not restricted to any cutoff: use `visible` on them.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, ascending.
        moments: One row a cutoff (`cutoff`, a date).
        engine: Where it runs.
        orders: The part of an order that happened, and became known, on one day: customer_id, order_id, day, seen,
            amount, refund, quantity, discount (ticks), lines, time.
        visible_orders: One row a customer, cutoff and order as then known: day, time and hour (its first), amount,
            refund, quantity, discount, lines, age, purchase (its net amount is positive).
        days: One row a customer, cutoff and day with a purchase: spend, age, place (0: the last day), gap
            (days since the one before, null for the first).
        compared: The history of the customers that these are compared with; None: with each other.
        length: How many days of events and activities before each cutoff count; None: all. Features at cutoffs that see
            the same length of history can be compared, although the log grows.
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
    length: int | None = None

    @property
    def everyone(self) -> Past:
        """The history over which fits and means of all customers are computed, without counterfactual customers."""
        return self.compared or self

    def visible(self, rows: ibis.Table, whole: bool = False) -> ibis.Table:
        """Rows (customer_id, day, seen, ...) at every cutoff before which they were known, with `cutoff` and `age`.

        If the history is limited to a length, older rows are left out, except where the `whole` past is asked for: of
        contracts and attributes, which hold from their day on.
        """
        return _recent(with_age(visible_at_cutoffs(rows, self.moments)), None if whole else self.length)

    def newest(self, rows: ibis.Table) -> ibis.Table:
        """Of rows (customer_id, day, seen, ...) the one of each customer that was known last before each cutoff."""
        return newest_rows(self.visible(rows, whole=True), rows.columns)

    def pane(self, age: ibis.Value) -> ibis.Value:
        """The position, from 0, of the first window of the task that holds an age."""
        return window_index(age, self.task.windows)


def build_history(
    tables: Tables,
    task: Task,
    cutoffs: Sequence[date],
    engine: Engine,
    stage: Callable[[str, ibis.Table], ibis.Table],
    length: int | None = None,
) -> Past:
    """Stores the stages that all families of features share.

    Args:
        tables: The contract.
        task: Horizon, cohort and windows.
        cutoffs: The cutoffs, in any order.
        engine: Where it runs.
        stage: Stores an expression's rows under a name and returns the stored table.
        length: As in `Past`.

    Returns:
        The history.
    """
    has_amount = tables.contract.has_amount
    dates = tuple(sorted(set(cutoffs)))
    moments = engine.store_arrow("cutoffs", cutoff_table(dates))
    orders = stage("orders", order_days(tables))
    visible_orders = stage("visible", _visible_orders(orders, moments, has_amount, length))
    days = stage("days", _purchase_days(visible_orders))
    return Past(tables, task, dates, moments, engine, orders, visible_orders, days, length=length)


def visible_at_cutoffs(rows: ibis.Table, moments: ibis.Table) -> ibis.Table:
    """Rows joined to every cutoff before which they happened and were known, and at which they are the customer's."""
    return rows.join(moments, (rows.seen < moments.cutoff) & _is_owned(rows, moments.cutoff))


def owned_columns(rows: ibis.Table) -> tuple[str, ...]:
    """The columns that say at which cutoffs rows are the customer's; none unless ids were joined at known dates."""
    return tuple(name for name in OWNED if name in rows.columns)


def _is_owned(rows: ibis.Table, cutoff: ibis.Value) -> ibis.Value:
    """Whether rows are the customer's at a cutoff."""
    if not owned_columns(rows):
        return ibis.literal(True)
    begun = (rows.owned_from < cutoff).fill_null(True)
    return begun & (rows.owned_until >= cutoff).fill_null(True)


def newest_rows(known: ibis.Table, columns: Sequence[str]) -> ibis.Table:
    """Of visible rows, the one of each customer and cutoff that became known last; on the same day, by `time`.

    Ties are broken by all other columns, so that the order of a file decides nothing.
    """
    time_columns = [name for name in ("seen", "time") if name in columns]
    other_columns = [name for name in columns if name not in ("customer_id", OWN_ID, *time_columns, *OWNED)]
    order = [ibis.desc(known[name], nulls_first=False) for name in (*time_columns, *other_columns)]
    if OWN_ID in columns:  # of rows that became known at once, first the one of the id that names the person
        order[len(time_columns) : len(time_columns)] = [(known[OWN_ID] != known.customer_id).asc(), known[OWN_ID].asc()]
    place = ibis.row_number().over(ibis.window(group_by=KEYS, order_by=order))
    numbered = known.mutate(place=place)
    return numbered.filter(numbered.place == 0).drop("place")


def days_since(rows: ibis.Table, name: str) -> ibis.Value:
    """Days from a column of dates to the cutoff of the row, from 1 on; null if the date is not before it."""
    past = rows[name] < rows.cutoff
    return past.ifelse(rows.cutoff.delta(rows[name], unit="day").cast("int64"), ibis.null("int64"))


def rows_in_horizon(rows: ibis.Table, moments: ibis.Table, horizon: Window, start: int = 0) -> ibis.Table:
    """Rows joined to every cutoff in whose label interval they happened.

    Args:
        rows: day and others.
        moments: One row a cutoff; or a cutoff and `known_by`, before which the rows must have been known (`seen`).
        horizon: The end of the label interval, [cutoff + start, cutoff + horizon).
        start: Days from the cutoff to the start of the interval.

    Returns:
        The rows with the columns of `moments`.
    """
    known = rows.seen < moments[KNOWN_BY] if KNOWN_BY in moments.columns else ibis.literal(True)
    return rows.join(moments, _is_in_horizon(rows, moments, horizon, start) & known & _is_owned(rows, moments.cutoff))


def late_in_horizon(rows: ibis.Table, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """The customers, cutoffs and `known_by` with a row in the label interval that was not known before `known_by`.

    Args:
        rows: customer_id, day and seen.
        moments: One row a cutoff and `known_by`; what happened after it is not late.
        horizon: The length of the label interval.

    Returns:
        customer_id and the columns of `moments`, each once.
    """
    late = (rows.seen >= moments[KNOWN_BY]) & (rows.day < moments[KNOWN_BY])
    joined = rows.join(moments, _is_in_horizon(rows, moments, horizon) & late & _is_owned(rows, moments.cutoff))
    return joined.select("customer_id", *moments.columns).distinct()


def known_later(rows: ibis.Table) -> ibis.Table:
    """The rows (day, seen, ...) that became known on a later day than they happened."""
    return rows.filter(rows.seen > rows.day)


def label_keys(rows: ibis.Table) -> tuple[str, ...]:
    """The columns that tell labels apart: customer and cutoff, and where labels are as known at a time, that time."""
    return (*KEYS, KNOWN_BY) if KNOWN_BY in rows.columns else KEYS


def _is_in_horizon(rows: ibis.Table, moments: ibis.Table, horizon: Window, start: int = 0) -> ibis.Value:
    """Whether rows happened in [cutoff + start, cutoff + horizon)."""
    begun = rows.day >= (moments.cutoff + ibis.interval(days=start) if start else moments.cutoff)
    return begun & (rows.day < moments.cutoff + ibis.interval(days=horizon.days))


def rows_after_contact(rows: ibis.Table, contacts: ibis.Table, horizon: Window) -> ibis.Table:
    """Rows of contacted customers that happened in [contact_day, contact_day + horizon).

    Args:
        rows: customer_id, day and others.
        contacts: customer_id, cutoff and contact_day; and `known_by`, if the rows must have been known (`seen`) before.
        horizon: The length of the interval.

    Returns:
        The rows with the other columns of `contacts`.
    """
    within_horizon = (rows.day >= contacts.contact_day) & (
        rows.day < contacts.contact_day + ibis.interval(days=horizon.days)
    )
    known = rows.seen < contacts[KNOWN_BY] if KNOWN_BY in contacts.columns else ibis.literal(True)
    theirs = (rows.customer_id == contacts.customer_id) & _is_owned(rows, contacts.cutoff)
    joined = rows.join(contacts, [theirs, within_horizon, known])
    columns = [contacts[name] for name in contacts.columns if name != "customer_id"]
    return joined.select(*(rows[name] for name in rows.columns), *columns)


def late_after_contact(rows: ibis.Table, contacts: ibis.Table, days: ibis.Table, horizon: Window) -> ibis.Table:
    """The contacts and `known_by` with a row after the contact that was not known before `known_by`.

    Args:
        rows: customer_id, day, seen and others.
        contacts: customer_id, cutoff and contact_day.
        days: One row a `known_by`; one before the end of a contact's horizon is left out.
        horizon: The length of the interval after a contact.

    Returns:
        The columns of `contacts` and `known_by`, each once.
    """
    late = rows_after_contact(known_later(rows), contacts, horizon)
    passed = late.contact_day + ibis.interval(days=horizon.days) <= days[KNOWN_BY]
    joined = late.join(days, passed & (late.seen >= days[KNOWN_BY]))
    return joined.select(*contacts.columns, KNOWN_BY).distinct()


def days_before_contact(rows: ibis.Table, contacts: ibis.Table, window: Window) -> ibis.Table:
    """Contacts with rows on their day before them, or on the days before it.

    Args:
        rows: customer_id, day and time.
        contacts: customer_id, cutoff, contact_day and contact_time.
        window: How many days before the day of the contact are looked at.

    Returns:
        customer_id, cutoff, same_day (1: a row on the day of the contact and before it, else 0) and days: on how many
        days of the window there was a row.
    """
    theirs = (rows.customer_id == contacts.customer_id) & _is_owned(rows, contacts.cutoff)
    recent = rows.day >= contacts.contact_day - ibis.interval(days=window.days)
    joined = rows.join(contacts, [theirs, recent, rows.time < contacts.contact_time])
    near = joined.select(
        customer_id=rows.customer_id, cutoff=contacts.cutoff, day=rows.day, same=rows.day == contacts.contact_day
    ).distinct()
    return near.group_by(KEYS).aggregate(
        same_day=near.same.cast("int64").sum().cast("int64"), days=(~near.same).cast("int64").sum().cast("int64")
    )


def terms_at_cutoffs(terms: ibis.Table, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """Terms joined to every cutoff at which they matter for a label.

    These are the terms that begin before the horizon's end and whose end was not yet known at the cutoff.

    Args:
        terms: start, start_seen, end and end_seen (when they had happened and were known; the end is null while the
            term runs), as dates.
        moments: One row a cutoff; or a cutoff and `known_by`: a start that was not known before it is left out, and a
            term whose end was not known before it runs.
        horizon: Of the labels.

    Returns:
        The rows with the columns of `moments`; `start` and `end` in days from the cutoff, `end` in [0, horizon]: the
        horizon's length means that the term still runs when the horizon ends, and 0 also that it had ended before
        without being known; and `known`: the start was known at the cutoff, so that the customer belonged to the
        cohort.
    """
    begun = terms.start < moments.cutoff + ibis.interval(days=horizon.days)
    unfinished = terms.end_seen.isnull() | (terms.end_seen >= moments.cutoff)
    joined = terms.join(moments, begun & unfinished & _is_owned(terms, moments.cutoff))
    if KNOWN_BY in joined.columns:
        joined = joined.filter(joined.start_seen < joined[KNOWN_BY])
        joined = joined.mutate(end=(joined.end_seen < joined[KNOWN_BY]).ifelse(joined.end, ibis.null("date")))
    start, end = (joined[name].delta(joined.cutoff, unit="day").cast("int64") for name in ("start", "end"))
    known = joined.start_seen < joined.cutoff
    return joined.mutate(start=start, end=end.fill_null(horizon.days).clip(0, horizon.days), known=known)


def late_terms(terms: ibis.Table, moments: ibis.Table, horizon: Window) -> ibis.Table:
    """The customers, cutoffs and `known_by` with a start or end before the horizon's end that was known only later.

    Args:
        terms: As for `terms_at_cutoffs`.
        moments: One row a cutoff and `known_by`.
        horizon: Of the labels.

    Returns:
        customer_id and the columns of `moments`, each once.
    """
    stop = moments.cutoff + ibis.interval(days=horizon.days)
    started = (terms.start < stop) & (terms.start_seen >= moments[KNOWN_BY])
    ended = ((terms.end < stop) & (terms.end_seen >= moments[KNOWN_BY])).fill_null(False)
    joined = terms.join(moments, (started | ended) & _is_owned(terms, moments.cutoff))
    return joined.select("customer_id", *moments.columns).distinct()


def with_age(rows: ibis.Table) -> ibis.Table:
    """Adds age: days from `day` to the cutoff, from 1 on."""
    return rows.mutate(age=rows.cutoff.delta(rows.day, unit="day").cast("int64"))


def window_index(age: ibis.Value, windows: Sequence[Window]) -> ibis.Value:
    """The position, from 0, of the first window that holds an age; the number of windows if none does."""
    tests = [(age <= w.days, ibis.literal(place, "int8")) for place, w in enumerate(windows)]
    return ibis.cases(*tests, else_=ibis.literal(len(windows), "int8"))


def cutoff_table(cutoffs: Sequence[date]) -> pa.Table:
    """One row a cutoff, ascending."""
    return pa.table({"cutoff": pa.array(sorted(set(cutoffs)), pa.date32())})


def order_days(tables: Tables) -> ibis.Table:
    """The part of an order that happened, and became known, on one day: it never straddles a cutoff."""
    events = tables.events
    return events.group_by("customer_id", "order_id", "day", "seen", *owned_columns(events)).aggregate(
        amount=events.amount.sum().fill_null(0).cast("int64"),
        refund=(-ibis.least(events.amount, 0)).sum().fill_null(0).cast("int64"),
        quantity=events.quantity.sum().fill_null(0).cast("int64"),
        discount=events.discount.sum().fill_null(0).cast("int64"),
        lines=events.count(),
        time=events.time.min(),
    )


def _recent(aged: ibis.Table, length: int | None) -> ibis.Table:
    """Rows of at most this age in days; all rows without a limit."""
    return aged if length is None else aged.filter(aged.age <= length)


def _visible_orders(orders: ibis.Table, moments: ibis.Table, has_amount: bool, length: int | None) -> ibis.Table:
    """Orders as known at each cutoff, with age in days, and whether they are purchases."""
    past = _recent(with_age(visible_at_cutoffs(orders, moments)), length)
    sums = ("amount", "refund", "quantity", "discount", "lines")
    visible_orders = with_age(
        past.group_by("customer_id", "cutoff", "order_id").aggregate(
            day=past.day.min(),
            time=past.time.min(),
            hour=past.time.min().hour().cast("int64"),
            **{name: past[name].sum().cast("int64") for name in sums},
        )
    )
    is_purchase = (visible_orders.amount > 0) if has_amount else ibis.literal(True)
    return visible_orders.mutate(purchase=is_purchase)


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
    """Totals that tell one log's history from another's, the same on any engine.

    Args:
        tables: The contract.
        day: Only events known before it count.
        engine: Where it runs.

    Returns:
        events, customers, ticks (of net amount) and age_days (of all events together).
    """
    past = known_before(tables.events, day, engine)
    totals = engine.to_arrow(
        past.aggregate(
            events=past.count(),
            customers=past.customer_id.nunique(),
            ticks=past.amount.sum().fill_null(0).cast("int64"),
            age_days=past.age.sum().fill_null(0).cast("int64"),
        )
    )
    return {name: int(totals[name][0].as_py()) for name in totals.column_names}


def known_before(rows: ibis.Table, cutoff: date, engine: Engine) -> ibis.Table:
    """Rows that happened and were known before a cutoff, with their age in days.

    Args:
        rows: customer_id, day, seen and others.
        cutoff: The cutoff.
        engine: Where it runs.

    Returns:
        The rows with `cutoff` and `age`.
    """
    return with_age(visible_at_cutoffs(rows, engine.store_arrow("standing_cutoff", cutoff_table([cutoff]))))
