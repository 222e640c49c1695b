"""Reads the log into the tables of the contract. Rows that cannot be used are set aside and counted, never lost.

Money is kept in whole ten-thousandths (TICKS a unit): sums of integers do not depend on the order of rows, so the same
log gives the same bits on any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import cast

import ibis
from tqdm import tqdm

from features.config.data_contract import build_contract
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
from features.intake.reused_orders import split_reused_orders
from features.intake.section_rows import SectionRows, first_reason, section_rows
from features.intake.set_aside import (
    count_set_aside,
    malformed_lines,
    money_at_stake,
    refuse_unreadable,
    without_empty_rows,
)
from features.intake.side_tables import read_side_tables
from features.intake.subscription_terms import extend_to_term_ends, one_row_per_term
from features.intake.tables import SetAsideRows, Tables
from features.label_delay import NO_WAIT, USUAL, ArrivalCounts, LabelDelay, usual_delay
from features.parsing import FIRST_TIME, LAST_TIME
from features.slugs import feature_slug
from features.storage.json_files import json_digest
from features.task import Window

EPOCH = date(1970, 1, 1).toordinal()


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
    source = _read_events(config, engine, all_columns)
    malformed, files = malformed_lines(events, engine), tuple(engine.files_read)
    steps.update()
    source, empty = without_empty_rows(source, events, engine)
    rows_read = engine.count_rows(source)
    if not rows_read:
        raise EmptyError(f"{events.source}: has a header but no rows; expected one row for each thing a customer did")
    if events.duplicates == "drop" and not events.id:
        source = engine.store("deduplicated", source.distinct())
    rows = section_rows("events", events, source, engine, config.task.timezone)
    normalised = _normalise(rows)
    stored = engine.store("intake", with_stored_ids(normalised.drop("stake"), config, engine))
    steps.update()
    if events.id:
        stored = engine.store("intake_once", _mark_repeated_ids(stored))
    reused = 0
    if events.order:
        stored, reused = split_reused_orders(stored, bool(events.amount), engine)
    aside = count_set_aside(stored, engine)
    stakes = money_at_stake(normalised, aside, engine)
    refuse_unreadable(aside, rows, rows_read, stakes)
    tables = _summarise(stored, source, config, engine, (*empty, *aside, *malformed))
    dropped = rows_read - engine.count_rows(stored)
    read = rows_read + sum(e.rows for e in empty)
    tables = replace(tables, rows_read=read, duplicates_dropped=dropped, files=files, reused_orders=reused)
    tables = replace(tables, earlier_ids=earlier_ids_problem(config, engine))
    steps.close()
    return _with_side_tables(tables, config, engine)


def _read_events(config: Config, engine: Engine, all_columns: bool = False) -> ibis.Table:
    """The rows of [events]; of a database only the named columns, unless all are asked for or rows are compared."""
    events = config.events
    every = all_columns or (events.duplicates == "drop" and not events.id)
    roles = events.columns_by_role()
    source = engine.read_source(events.to_source("events"), config.folder, roles, events.id_columns(), every)
    require_section_columns(source, events, "events")
    return source


def _with_side_tables(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with those beside the events, by person; the fingerprint covers them too."""
    sides = read_side_tables(config, engine)
    if sides:
        contents = {name: [engine.fingerprint(side.rows), side.rows.columns] for name, side in sides.items()}
        tables = replace(tables, sides=sides, fingerprint=json_digest([tables.fingerprint, contents]))
    tables = extend_to_term_ends(with_customer_table(tables, config, engine), engine)
    return _with_label_delay(join_persons(tables, config, engine), config, engine)


def _with_label_delay(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with the days that labels wait for late rows, by [task] label_delay.

    Args:
        tables: The contract.
        config: Its sections, and how long to wait.
        engine: Where the tables are.

    Returns:
        The tables, the same if nothing can be late.
    """
    key, horizon = config.task.label_delay, config.task.horizon
    if key == NO_WAIT or (key == USUAL and not _says_when_known(config)):
        return tables
    delays = []
    for rows in _rows_of_labels(tables, config):
        counts = _arrival_counts(rows, tables, horizon, engine)
        delay = usual_delay(counts, horizon) if key == USUAL else LabelDelay(Window.parse(key).days, given=True)
        delays.append(replace(delay, wait=_days_to_wait(counts, delay.days, tables)))
    longest = max(delays, key=lambda delay: (delay.wait, delay.days))
    recorded = tables.recorded_tables and replace(tables.recorded_tables, label_delay=longest)
    return replace(tables, label_delay=longest, recorded_tables=recorded)


def _says_when_known(config: Config) -> bool:
    """Whether any table that labels read says when a row became known."""
    terms = config.subscriptions if config.task.churn == "cancelled" else None
    return bool(config.events.known_at or (terms and (terms.known_at or terms.end_known_at)))


def _rows_of_labels(tables: Tables, config: Config) -> Sequence[ibis.Table]:
    """The rows, with day and seen, that labels are computed from: events, and for contracts the ends of terms."""
    events = tables.recorded.events.select("day", "seen")
    if config.task.churn != "cancelled":
        return [events]
    terms = one_row_per_term(tables.recorded.sides["subscriptions"].rows)
    ends = terms.filter(terms.end.notnull()).select(day=terms.end, seen=terms.end_seen)
    return [ends] if config.only_subscriptions else [events, ends]


def _arrival_counts(rows: ibis.Table, tables: Tables, horizon: Window, engine: Engine) -> ArrivalCounts:
    """The counts of rows before the end of the log that were known by a horizon after it.

    Later times may be mistyped.
    """
    inside = (rows.day < ibis.literal(tables.end)) & (rows.seen < ibis.literal(tables.end + horizon.delta))
    past = rows.filter(inside)
    table = engine.to_arrow(past.group_by("day", "seen").aggregate(rows=past.count()))
    day, seen = (table[name].to_numpy().astype("datetime64[D]").astype(int) for name in ("day", "seen"))
    return ArrivalCounts(day + EPOCH, seen - day, table["rows"].to_numpy().astype(int))


def _days_to_wait(counts: ArrivalCounts, delay: int, tables: Tables) -> int:
    """The days before the end of the log whose rows have not had the delay to arrive.

    The log was read on the last day on which a row became known within the delay.
    """
    usual = counts.where(counts.delay <= delay)
    if not len(usual.day):
        return delay
    after_last = timedelta(days=0 if tables.contract.has_clock else 1)
    read_on = max(tables.end, date.fromordinal(usual.last_seen) + after_last)
    return max((tables.end - read_on).days + delay, 0)


def _normalise(rows: SectionRows) -> ibis.Table:
    """Every row of the events in the contract's types, with the reason why it is set aside (or null) and its stake."""
    events, source = cast(Events, rows.section), rows.source
    customer, moment = as_identifier(source[events.customer]), rows.timestamp("time")
    known = rows.timestamp("known_at") if events.known_at else moment
    order = as_identifier(source[events.order]) if events.order else ibis.null("string")
    checks = {
        "missing customer": customer.isnull(),
        **rows.time_checks("time", required=True),
        **rows.time_checks("known_at"),
        **({"on or after until": moment >= ibis.literal(_until(events), "timestamp")} if events.until else {}),
        **rows.currency_checks(),
        **rows.number_checks("amount", required=True),
        **rows.number_checks("quantity"),
        **rows.number_checks("discount"),
    }
    reason, day = first_reason(checks), moment.date()
    return source.select(
        customer_id=customer,
        order_id=ibis.coalesce(order, moment.cast("string")),
        time=moment,
        day=day,
        seen=ibis.greatest(day, ibis.coalesce(known, moment).date()),
        amount=rows.ticks("amount", reason),
        quantity=rows.ticks("quantity", reason),
        discount=rows.ticks("discount", reason),
        reason=reason,
        **{EARLIER_ID: earlier_identifier(source[events.customer])},
        **({"event_id": as_identifier(source[events.id])} if events.id else {}),
        **{f"kind_{feature_slug(kind)}": source[kind].cast("string") for kind in events.kinds},
        stake=rows.stake(),
    )


def _until(events: Events) -> date:
    """The day of [events] until."""
    try:
        until = date.fromisoformat(events.until)
    except ValueError:
        raise UsageError(f"[events] until: expected a date such as '2024-01-31', found {events.until!r}") from None
    if not FIRST_TIME < until < LAST_TIME:
        raise UsageError(f"[events] until: expected a date from {FIRST_TIME} to {LAST_TIME}, found {events.until!r}")
    return until


def _mark_repeated_ids(stored: ibis.Table) -> ibis.Table:
    """Sets aside all but the first of the usable rows that share an event id."""
    tie_breakers = [stored[c] for c in stored.columns if c not in ("event_id", "seen")]
    position = ibis.row_number().over(group_by=[stored.event_id, stored.reason], order_by=[stored.seen, *tie_breakers])
    repeated = stored.event_id.notnull() & stored.reason.isnull() & (position > 0)
    return stored.mutate(reason=repeated.ifelse("repeated event id", stored.reason)).drop("event_id")


def _summarise(
    stored: ibis.Table, source: ibis.Table, config: Config, engine: Engine, aside: tuple[SetAsideRows, ...]
) -> Tables:
    """The usable events, with the facts about the whole log; raises DataError if no row can be used."""
    events = config.events
    usable = stored.filter(stored.reason.isnull()).drop("reason")
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
        raise DataError(
            f"{events.source}: none of {engine.count_rows(stored):,} rows can be used ({reasons}); "
            "check that [events] names the right columns"
        )
    has_clock = bool(facts["clock"])
    end = _until(events) if events.until else facts["last"] + timedelta(days=0 if has_clock else 1)
    identity = {"content": engine.fingerprint(stored), "columns": stored.columns, "end": str(end)}
    return Tables(
        events=usable,
        source=source,
        contract=build_contract(config, has_clock),
        sides={},
        rows_read=engine.count_rows(stored),
        rows=facts["rows"],
        customers=facts["customers"],
        first=facts["first"],
        last=facts["last"],
        end=end,
        set_aside=aside,
        duplicates_dropped=0,
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
    source = _read_events(config, engine)
    source = source.distinct() if compares_rows else source
    rows = _normalise(section_rows("events", events, source, engine, config.task.timezone)).drop("stake")
    customer_rows = rows_of_customer(rows, ids, config, engine)
    if events.id:
        customer_rows = _mark_repeated_ids(engine.store("intake_of_one", customer_rows))
    if events.order:
        stored = engine.store("orders_of_one", customer_rows)
        customer_rows, _ = split_reused_orders(stored, bool(events.amount), engine)
    return customer_rows.filter(customer_rows.reason.isnull()).drop("reason")
