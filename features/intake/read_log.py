"""Reads the log into the tables of the contract. Rows that cannot be used are set aside and counted, never lost.

Money is kept in whole ten-thousandths (TICKS a unit): sums of integers do not depend on the order of rows, so the same
log gives the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import ibis
from tqdm import tqdm

from features.config.data_contract import build_contract, feature_slug
from features.config.load import Config
from features.config.table_sections import Events
from features.engines.base import Engine
from features.errors import DataError, EmptyError, UsageError
from features.intake.columns import require_section_columns
from features.intake.customer_ids import EARLIER_ID, rows_of_customer, with_stored_ids
from features.intake.customer_table import with_customer_table
from features.intake.earlier_ids import earlier_ids_problem
from features.intake.identifiers import as_identifier, earlier_identifier
from features.intake.identity import join_persons
from features.intake.numbers import as_number, as_ticks
from features.intake.set_aside import count_set_aside, malformed_lines, refuse_unreadable
from features.intake.side_tables import read_side_tables
from features.intake.subscription_terms import extend_to_term_ends
from features.intake.tables import Tables
from features.intake.times import TimeReader
from features.json_files import json_digest
from features.money import GREATEST_FLOAT, LARGEST_AMOUNT


def read_tables(config: Config, engine: Engine, all_columns: bool = False) -> Tables:
    """Reads [events] and the tables beside them into the contract.

    Args:
        config: Names the sources and their columns.
        engine: Where it runs.
        all_columns: Read every column of a database and not only the named ones, to find rows that are equal in all.

    Returns:
        The tables, stored in the engine.

    Raises:
        DataError: Nothing to read, no usable row, too many unreadable ones, or times with and without an offset.
        UsageError: A column does not exist, or a query or time format is not understood.
    """
    events = config.events
    steps = tqdm(total=3, desc="reading", leave=False, disable=None)
    roles = {} if all_columns or (events.duplicates == "drop" and not events.id) else events.columns_by_role()
    source = engine.read_source(events.to_source("events"), config.folder, roles, events.id_columns())
    require_section_columns(source, events, "events")
    steps.update()
    rows_read = engine.count_rows(source)
    if not rows_read:
        raise EmptyError(f"{events.source}: has a header but no rows; expected one row for each thing a customer did")
    if events.duplicates == "drop" and not events.id:
        source = engine.store("deduplicated", source.distinct())
    rows = with_stored_ids(_normalise(source, events, TimeReader(events, engine, config.task.timezone)), config, engine)
    stored = engine.store("intake", rows)
    steps.update()
    if events.id:
        stored = engine.store("intake_once", _mark_repeated_ids(stored))
    tables = _summarise(stored, source, config, engine, rows_read)
    tables = replace(tables, earlier_ids=earlier_ids_problem(config, engine))
    steps.close()
    return _with_side_tables(tables, config, engine)


def _with_side_tables(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with those beside the events, by person; the fingerprint covers them too."""
    sides = read_side_tables(config, engine)
    if sides:
        contents = {name: [engine.fingerprint(side.rows), side.rows.columns] for name, side in sides.items()}
        tables = replace(tables, sides=sides, fingerprint=json_digest([tables.fingerprint, contents]))
    tables = extend_to_term_ends(with_customer_table(tables, config, engine), engine)
    return join_persons(tables, config, engine)


def _normalise(source: ibis.Table, events: Events, times: TimeReader) -> ibis.Table:
    """Every row of the source in the contract's types, with the reason why it is set aside, or null."""
    customer = as_identifier(source[events.customer])
    moment = times.read(source[events.time], "time")
    known = times.read(source[events.known_at], "known_at") if events.known_at else moment
    amount = as_number(source[events.amount]) if events.amount else ibis.null("float64")
    quantity = as_number(source[events.quantity]) if events.quantity else ibis.null("float64")
    discount = as_number(source[events.discount]) if events.discount else ibis.null("float64")
    order = as_identifier(source[events.order]) if events.order else ibis.null("string")
    checks = {
        "missing customer": customer.isnull(),
        "missing time": source[events.time].isnull(),
        "unreadable time": moment.isnull(),
    }
    if events.known_at:
        checks["unreadable known_at"] = source[events.known_at].notnull() & known.isnull()
    if events.until:
        checks["on or after until"] = moment >= ibis.literal(_until(events), "timestamp")
    if events.amount:
        checks |= {
            "missing amount": source[events.amount].isnull() | amount.isnan().fill_null(False),
            "unreadable amount": amount.isnull(),
            "infinite amount": amount.abs() > GREATEST_FLOAT,
            "amount beyond 1e12": amount.abs() > LARGEST_AMOUNT,
        }
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))
    day = moment.date()
    return source.select(
        customer_id=customer,
        order_id=ibis.coalesce(order, moment.cast("string")),
        time=moment,
        day=day,
        seen=ibis.greatest(day, ibis.coalesce(known, moment).date()),
        amount=as_ticks(amount, reason),
        quantity=as_ticks(quantity, reason),
        discount=as_ticks(discount, reason),
        reason=reason,
        **{EARLIER_ID: earlier_identifier(source[events.customer])},
        **({"event_id": as_identifier(source[events.id])} if events.id else {}),
        **{f"kind_{feature_slug(kind)}": source[kind].cast("string") for kind in events.kinds},
    )


def _until(events: Events) -> date:
    """The day of [events] until."""
    try:
        return date.fromisoformat(events.until)
    except ValueError:
        raise UsageError(f"[events] until: expected a date such as '2024-01-31', found {events.until!r}") from None


def _mark_repeated_ids(stored: ibis.Table) -> ibis.Table:
    """Sets aside all but the first of the usable rows that share an event id."""
    tie_breakers = [stored[c] for c in stored.columns if c not in ("event_id", "seen")]
    position = ibis.row_number().over(group_by=[stored.event_id, stored.reason], order_by=[stored.seen, *tie_breakers])
    repeated = stored.event_id.notnull() & stored.reason.isnull() & (position > 0)
    return stored.mutate(reason=repeated.ifelse("repeated event id", stored.reason)).drop("event_id")


def _summarise(stored: ibis.Table, source: ibis.Table, config: Config, engine: Engine, rows_read: int) -> Tables:
    """The usable events, with the facts about the whole log; raises DataError if too few rows can be used."""
    events = config.events
    aside = (*count_set_aside(stored, engine), *malformed_lines(events, engine, rows_read))
    usable = stored.filter(stored.reason.isnull()).drop("reason")
    refuse_unreadable(aside, source, events, engine, rows_read)
    facts = engine.to_arrow(
        usable.aggregate(
            rows=usable.count(),
            customers=usable.customer_id.nunique(),
            first=usable.day.min(),
            last=usable.day.max(),
            clock=(usable.time != usable.day.cast("timestamp")).any(),
        )
    ).to_pylist()[0]
    if not facts["rows"]:
        reasons = "; ".join(f"{a.reason}: {a.rows:,}" for a in aside)
        raise DataError(f"{events.source}: none of {rows_read:,} rows can be used ({reasons})")
    has_clock = bool(facts["clock"])
    end = _until(events) if events.until else facts["last"] + timedelta(days=0 if has_clock else 1)
    identity = {"content": engine.fingerprint(stored), "columns": stored.columns, "end": str(end)}
    kept = engine.count_rows(source) if events.duplicates == "drop" and not events.id else rows_read
    return Tables(
        events=usable,
        source=source,
        contract=build_contract(config, has_clock),
        sides={},
        rows_read=rows_read,
        rows=facts["rows"],
        customers=facts["customers"],
        first=facts["first"],
        last=facts["last"],
        end=end,
        set_aside=aside,
        duplicates_dropped=rows_read - kept,
        fingerprint=json_digest(identity),
    )


def read_customer_events(config: Config, engine: Engine, ids: Sequence[str]) -> ibis.Table:
    """The usable rows of one customer, in the columns of `Tables.events`; rows of other customers are not stored.

    An event id that a row of another customer has too is not noticed here; `read_tables`, which sees all rows, keeps
    only the first of them.

    Args:
        config: Names the source and its columns.
        engine: Where it runs.
        ids: The customer's stored ids.

    Returns:
        The rows, as an expression; none if the customer is to be forgotten.

    Raises:
        DataError: There is nothing to read.
        UsageError: A column does not exist, or a query or time format is not understood.
    """
    events = config.events
    compares_rows = events.duplicates == "drop" and not events.id
    source = engine.read_source(
        events.to_source("events"),
        config.folder,
        {} if compares_rows else events.columns_by_role(),
        events.id_columns(),
    )
    require_section_columns(source, events, "events")
    times = TimeReader(events, engine, config.task.timezone)
    rows = _normalise(source.distinct() if compares_rows else source, events, times)
    customer_rows = rows_of_customer(rows, ids, config, engine)
    if events.id:
        customer_rows = _mark_repeated_ids(engine.store("intake_of_one", customer_rows))
    return customer_rows.filter(customer_rows.reason.isnull()).drop("reason")
