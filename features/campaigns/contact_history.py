"""What a plan reads about the time before its cutoff: earlier contacts, attributes as text, a summary of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import pyarrow as pa

from features.config.table_sections import Customers
from features.engines.base import Engine
from features.intake.customer_ids import EARLIER_ID, with_stored_ids
from features.intake.customer_table import read_customer_rows
from features.intake.identifiers import as_identifier, earlier_identifier
from features.intake.identity import rows_at
from features.intake.log import Log
from features.money import TICKS
from features.point_in_time.history import history_marks, known_before, newest_rows, order_days
from features.task import Window


@dataclass(frozen=True)
class EarlierContacts:
    """Contacts received before a cutoff, of customers who had any.

    Attributes:
        customers: Their ids.
        days_since: Days from the last contact to the cutoff, 1 or more.
        recent: Contacts in [cutoff - window, cutoff).
    """

    customers: pa.ChunkedArray
    days_since: pa.ChunkedArray
    recent: pa.ChunkedArray


def read_earlier_contacts(log: Log, cutoff: date, window: Window) -> EarlierContacts:
    """Reads the contacts before a cutoff; the control does not count as a contact.

    Args:
        log: The log, with contacts.
        cutoff: Only what was known before it is used.
        window: The window before the cutoff in which recent contacts are counted.

    Returns:
        The customers with contacts, by id.

    Raises:
        DataError: The log cannot be read.
        UsageError: A column is not there.
    """
    with log.stages() as (engine, tables):
        rows = tables.sides["contacts"].rows
        contacts = known_before(rows.filter(~rows.held_out), cutoff, engine)
        by_customer = contacts.group_by("customer_id").aggregate(
            days_since=contacts.age.min(), recent=(contacts.age <= window.days).sum().cast("int64")
        )
        table = engine.to_arrow(by_customer.order_by("customer_id"))
    return EarlierContacts(table["customer_id"], table["days_since"], table["recent"])


def read_days_since_actions(log: Log, cutoff: date, actions: Sequence[str]) -> pa.Table:
    """Reads how long ago each customer last received each action before a cutoff.

    Args:
        log: The log, with contacts.
        cutoff: Only what was known before it is used.
        actions: The actions to look for.

    Returns:
        customer_id, action and days_since (1 or more), of customers who received one, by customer and action.

    Raises:
        DataError: The log cannot be read.
        UsageError: A column is not there.
    """
    with log.stages() as (engine, tables):
        rows = tables.sides["contacts"].rows
        wanted = rows.filter(~rows.held_out & rows.action.isin(list(actions)))
        contacts = known_before(wanted, cutoff, engine)
        last = contacts.group_by("customer_id", "action").aggregate(days_since=contacts.age.min())
        return engine.to_arrow(last.order_by("customer_id", "action"))


def count_contacts_by_evidence(log: Log, cutoff: date, actions: Sequence[str]) -> tuple[int, int]:
    """Count the contacts with some actions that were assigned at random, by their propensity, and the other ones.

    Args:
        log: The log.
        cutoff: Only what was known before it is used.
        actions: The actions.

    Returns:
        How many of their contacts have a propensity below 1, and how many have none.

    Raises:
        DataError: The log cannot be read.
    """
    if log.config.contacts is None:
        return 0, 0
    with log.stages() as (engine, tables):
        rows = tables.sides["contacts"].rows
        contacts = known_before(rows.filter(~rows.held_out & rows.action.isin(list(actions))), cutoff, engine)
        is_random = contacts.propensity.notnull() & (contacts.propensity < 1)
        counts = contacts.aggregate(random=is_random.sum(), other=(~is_random).sum())
        row = engine.to_arrow(counts).to_pylist()[0]
    return int(row["random"] or 0), int(row["other"] or 0)


@dataclass(frozen=True)
class LogSummary:
    """What a plan stores about the log before its cutoff.

    Attributes:
        spread: Variance divided by squared mean of the net spend of recent buyers; None if fewer than two customers
            bought, or their total is not positive.
        day: The cutoff, or the end of the log if that is earlier; later events may still be added to the log.
        marks: Figures by which the log before that day can be recognised; see `marks_before`.
    """

    spread: float | None
    day: date
    marks: dict[str, int]


def summarise_log(log: Log, cutoff: date, window: Window) -> LogSummary:
    """Computes the spread of spend in [cutoff - window, cutoff), and the marks by which the log can be recognised.

    Args:
        log: The log.
        cutoff: The cutoff of the plan.
        window: The window before the cutoff in which a customer must have bought.

    Returns:
        The summary.

    Raises:
        DataError: The log cannot be read, or the output has ids of an earlier rule that differ from the log's.
    """
    with log.stages() as (engine, tables):
        tables.require_present_ids()
        spread = _spend_spread(engine.store("standing_orders", order_days(tables)), cutoff, window, engine)
        day = min(cutoff, tables.end)
        return LogSummary(spread, day, history_marks(tables, day, engine))


def _spend_spread(rows: ibis.Table, cutoff: date, window: Window, engine: Engine) -> float | None:
    orders = known_before(rows, cutoff, engine)
    recent = orders.filter(orders.age <= window.days)
    purchased = recent.amount.sum().over(group_by=[recent.customer_id, recent.order_id]) > 0
    by_customer = (
        recent.mutate(bought=purchased)
        .group_by("customer_id")
        .aggregate(spend=lambda t: t.amount.sum().cast("int64"), bought=lambda t: t.bought.any())
    )
    table = engine.to_arrow(by_customer.filter(by_customer.bought).order_by("customer_id"))
    spend = table["spend"].to_numpy() / TICKS
    mean = float(spend.mean()) if len(spend) else 0.0
    return float(spend.var(ddof=1)) / mean**2 if len(spend) > 1 and mean > 0 else None


def read_attributes(log: Log, section: Customers, cutoff: date, names: Sequence[str]) -> pa.Table:
    """Reads columns of the customer table as text, as known before a cutoff.

    Args:
        log: The log.
        section: The section [customers] of its config.
        cutoff: Only what was known before it is used.
        names: The columns.

    Returns:
        customer_id and one column for each of the names. If the table does not say when a row became known, the values
        are those of today, which is what a rule about whom to contact needs.

    Raises:
        DataError: The table cannot be read.
        UsageError: A column is not there.
    """
    config, engine = log.config, log.engine
    with log.stages() as (_, tables):
        source, known = read_customer_rows(section, config, engine)
        customer = as_identifier(source[section.customer])
        texts = {f"text{place}": _text(source[name]) for place, name in enumerate(names)}
        given = {EARLIER_ID: earlier_identifier(source[section.customer])}
        rows = source.select(customer_id=customer, day=known.date(), seen=known.date(), time=known, **texts, **given)
        rows = rows_at(with_stored_ids(rows, config, engine), tables.persons, cutoff, engine)
        usable = engine.store("standing", rows.filter(rows.customer_id.notnull() & rows.seen.notnull()))
        last = newest_rows(known_before(usable, cutoff, engine), usable.columns)
        table = engine.to_arrow(last.select("customer_id", *texts).order_by("customer_id"))
    return table.rename_columns(["customer_id", *names])


def _text(column: ibis.Value) -> ibis.Value:
    """A column as text: booleans as 'yes' or 'no', integers without a decimal point."""
    if column.type().is_boolean():
        return ibis.cases((column, "yes"), (~column, "no"), else_=ibis.null("string"))
    return as_identifier(column)
