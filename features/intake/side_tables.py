"""Reads the tables beside the events: activities, contacts, and the terms of subscriptions.

Each is read like the events: rows that cannot be used are set aside and counted, and a row is visible from the day on
which it had happened and was known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import ibis

from features.config.load import Config
from features.config.table_sections import Activity, Contacts, Subscriptions, TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.intake.columns import require_section_columns
from features.intake.customer_ids import EARLIER_ID, rows_of_customer, with_stored_ids
from features.intake.identifiers import as_identifier, earlier_identifier, identifier_text
from features.intake.section_rows import SectionRows, first_reason, section_rows
from features.intake.set_aside import (
    count_set_aside,
    malformed_lines,
    money_at_stake,
    refuse_unreadable,
    without_empty_rows,
)
from features.intake.tables import SetAsideRows, SideTable
from features.slugs import feature_slug

ANSWER_ROLES = ("opened", "clicked", "converted")  # of contacts
NO_ANSWERS = ("0", "0.0", "no", "n", "false", "f", "none", "null", "nan", "-")  # texts that mean no, in lower case


@dataclass(frozen=True)
class RowSchema:
    """How rows of one kind of section become rows of the contract.

    Attributes:
        normalise: Returns every row of the source in the contract's types (customer_id, day, seen, its own columns)
            with the `reason` why it is set aside, or null, and the money at `stake` (`SectionRows.stake`).
        finish: Changes the usable rows at the end, if needed.
    """

    normalise: Callable[[SectionRows], ibis.Table]
    finish: Callable[[ibis.Table], ibis.Table] | None = None


def read_side_tables(config: Config, engine: Engine) -> dict[str, SideTable]:
    """Reads every table beside the events that a config names, except the customer table.

    Args:
        config: Names the sources and their columns.
        engine: Where it runs.

    Returns:
        The usable rows by key ('activities.visits', 'contacts', 'subscriptions'). All have customer_id, day and seen;
        activities also: time, measure (ticks), one text column a kind (`kind_<slug>`);
        contacts also: time, action, held_out (nothing was done), cost (ticks), propensity, and of opened, clicked and
        converted (booleans) those that the config names;
        subscriptions, where the start and the end of a term are rows of their own, each with its own day, also:
        term (a number within the customer), part ('start' or 'end'), price (ticks, on the start), cause (why it ended)
        and cancelled (whether that is churn), both on the end.

    Raises:
        DataError: Nothing to read, no usable row, too many unreadable ones, or times with and without an offset.
        UsageError: A column does not exist, a query is not understood, or two sections give features of the same name.
    """
    return {
        key: read_side_table(key, place, section, schema, config, engine)
        for key, (place, section, schema) in _configured_sections(config).items()
    }


def _configured_sections(config: Config) -> dict[str, tuple[str, TableSection, RowSchema]]:
    """The sections to read, by key: the name in the config, the section and its schema."""
    wanted: dict[str, tuple[str, TableSection, RowSchema]] = {}
    for name, activity in config.activities.items():
        key, place = f"activities.{feature_slug(name)}", f"activities.{name}"
        if key in wanted:
            raise UsageError(
                f"[{wanted[key][0]}] and [{place}] would give features of the same name ({feature_slug(name)!r}); "
                "rename one of them"
            )
        wanted[key] = (place, activity, ACTIVITY_SCHEMA)
    if config.contacts:
        wanted["contacts"] = ("contacts", config.contacts, CONTACTS_SCHEMA)
    if config.subscriptions:
        wanted["subscriptions"] = ("subscriptions", config.subscriptions, SUBSCRIPTIONS_SCHEMA)
    return wanted


def read_side_table(
    key: str, place: str, section: TableSection, schema: RowSchema, config: Config, engine: Engine
) -> SideTable:
    """Reads one section into rows of the contract.

    Args:
        key: Of the table, as in `read_side_tables`.
        place: The section's name in the config, for messages.
        section: The section.
        schema: How its rows become rows of the contract.
        config: The business.
        engine: Where it runs.

    Returns:
        The usable rows, stored, and what was set aside.

    Raises:
        DataError: As for `read_side_tables`.
        UsageError: A column does not exist, or a query is not understood.
    """
    read = read_section(place, section, schema, config, engine, lambda rows: with_stored_ids(rows, config, engine))
    usable = read.rows.filter(read.rows.reason.isnull()).drop("reason")
    kept = engine.store(f"side_{key.replace('.', '_')}", schema.finish(usable) if schema.finish else usable)
    return replace(read, rows=kept)


def read_section(
    place: str,
    section: TableSection,
    schema: RowSchema,
    config: Config,
    engine: Engine,
    prepare: Callable[[ibis.Table], ibis.Table],
) -> SideTable:
    """Reads every row of a section in the types of the contract.

    Args:
        place: The section's name in the config, for messages.
        section: The section.
        schema: How its rows become rows of the contract.
        config: The business.
        engine: Where it runs.
        prepare: Changes all rows, with their reasons, before they are stored.

    Returns:
        The table; its rows, stored, have the `reason` why a row is set aside, or null.

    Raises:
        DataError: As for `read_side_tables`.
        UsageError: A column does not exist, or a query is not understood.
    """
    source = engine.read_source(
        section.to_source(place), config.folder, section.columns_by_role(), section.id_columns()
    )
    require_section_columns(source, section, place)
    malformed, files = malformed_lines(section, engine, place), tuple(engine.files_read)
    source, empty = without_empty_rows(source, section, engine)
    rows = section_rows(place, section, source, engine, config.task.timezone)
    normalised = schema.normalise(rows)
    stored = engine.store(f"read {place}", prepare(normalised.drop("stake")))
    rows_read = engine.count_rows(stored)
    aside = (*empty, *_checked_set_aside(stored, normalised, rows, rows_read), *malformed)
    return SideTable(stored, rows_read + sum(e.rows for e in empty), aside, files)


def _checked_set_aside(
    stored: ibis.Table, normalised: ibis.Table, rows: SectionRows, rows_read: int
) -> tuple[SetAsideRows, ...]:
    """The rows that were set aside; raises DataError if these are too many, or all."""
    section, place, engine = rows.section, rows.place, rows.engine
    aside = count_set_aside(stored, engine)
    stakes = money_at_stake(normalised, aside, engine)
    refuse_unreadable(aside, rows, rows_read, stakes)
    if rows_read and rows_read == sum(rejected.rows for rejected in aside):
        reasons = "; ".join(f"{rejected.reason}: {rejected.rows:,}" for rejected in aside)
        raise DataError(f"{section.source}: none of {rows_read:,} rows of [{place}] can be used ({reasons})")
    return aside


def contract_rows(
    rows: SectionRows,
    time: str,
    checks: Mapping[str, ibis.Value],
    own_columns: Callable[[ibis.Value], Mapping[str, ibis.Value]],
) -> ibis.Table:
    """Every row of a section in the contract's types: customer_id, day, seen, its own columns, reason, stake.

    Args:
        rows: The section.
        time: The role of the time that gives `day`.
        checks: More reasons to set a row aside, in the order in which they are tried.
        own_columns: Returns the section's own columns, given the reason.

    Returns:
        The rows, as an expression.
    """
    customer, moment = as_identifier(rows.source[rows.section.customer]), rows.timestamp(time)
    known = rows.timestamp("known_at") if rows.section.known_at else moment
    tests = {
        "missing customer": customer.isnull(),
        **rows.time_checks(time, required=True),
        **rows.time_checks("known_at"),
        **rows.currency_checks(),
    }
    reason, day = first_reason({**tests, **checks}), moment.date()
    seen = ibis.greatest(day, ibis.coalesce(known, moment).date())
    columns = {"customer_id": customer, "day": day, "seen": seen, **own_columns(reason), "reason": reason}
    columns[EARLIER_ID] = earlier_identifier(rows.source[rows.section.customer])
    return rows.source.select(**columns, stake=rows.stake())


def _activity_rows(rows: SectionRows) -> ibis.Table:
    """Rows of [activities.NAME] in the contract's types."""
    kinds = cast(Activity, rows.section).kinds
    return contract_rows(
        rows,
        "time",
        rows.number_checks("measure"),
        lambda reason: {
            "time": rows.timestamp("time"),
            "measure": rows.ticks("measure", reason),
            **{f"kind_{feature_slug(kind)}": rows.source[kind].cast("string") for kind in kinds},
        },
    )


def _contact_rows(rows: SectionRows) -> ibis.Table:
    """Rows of [contacts] in the contract's types."""
    section = cast(Contacts, rows.section)
    action, has_propensity = as_identifier(rows.source[section.action]), bool(section.propensity)
    propensity = rows.number("propensity")
    checks = {
        "missing action": action.isnull(),
        **rows.number_checks("cost"),
        **rows.number_checks("propensity"),
        **({"impossible propensity": (propensity <= 0) | (propensity > 1)} if has_propensity else {}),
    }
    return contract_rows(
        rows,
        "time",
        checks,
        lambda reason: {
            "time": rows.timestamp("time"),
            "action": action,
            "held_out": action == identifier_text(section.control) if section.control else ibis.literal(False),
            "cost": rows.ticks("cost", reason),
            "propensity": propensity,
            **{role: is_yes(rows.column(role)) for role in rows.configured(*ANSWER_ROLES)},
        },
    )


def is_yes(column: ibis.Value) -> ibis.Value:
    """Whether the answer in a column is yes: true, a number above 0, a time, or text that is not a no; never null."""
    kind = column.type()
    if kind.is_boolean():
        return column.fill_null(False)
    if kind.is_numeric():
        number = column.cast("float64")
        return ((number > 0) & ~number.isnan()).fill_null(False)
    if kind.is_string():
        return (column.strip().lower().notin(NO_ANSWERS)).fill_null(False)
    return column.notnull()


def _term_rows(rows: SectionRows) -> ibis.Table:
    """Rows of [subscriptions] in the contract's types, one a term; `_term_starts_and_ends` splits them."""
    section, start = cast(Subscriptions, rows.section), rows.timestamp("start")
    end, end_known = (
        rows.timestamp(role) if rows.configured(role) else ibis.null("timestamp") for role in ("end", "end_known_at")
    )
    checks = {**rows.time_checks("end"), **rows.time_checks("end_known_at")}
    cause = as_identifier(rows.source[section.reason]) if section.reason else ibis.null("string")
    cancelled = [identifier_text(value) or value for value in section.cancelled]
    is_churn = cause.isin(cancelled).fill_null(False) if section.reason else ibis.literal(True)
    checks |= {"impossible end": end < start, **rows.number_checks("price")}
    return contract_rows(
        rows,
        "start",
        checks,
        lambda reason: {
            "end": end.date(),
            "end_seen": end_known.date(),
            "price": rows.ticks("price", reason),
            "cause": cause,
            "cancelled": is_churn,
        },
    )


def _term_starts_and_ends(terms: ibis.Table) -> ibis.Table:
    """The start and the end of each term as rows of their own, so that neither is visible too early."""
    order = [
        terms.day,
        *(terms[name].asc(nulls_first=True) for name in ("end", "end_seen", "price", "cause")),
        terms.seen,
    ]
    numbered = terms.mutate(term=ibis.row_number().over(group_by=terms.customer_id, order_by=order))
    starts = numbered.mutate(part=ibis.literal("start"), cause=ibis.null("string"), cancelled=ibis.null("boolean"))
    ended = numbered.filter(numbered.end.notnull())
    ends = ended.mutate(
        part=ibis.literal("end"),
        day=ended.end,
        seen=ibis.greatest(ended.end, ended.seen, ibis.coalesce(ended.end_seen, ended.end)),
        price=ibis.null("int64"),
    )
    columns = ("customer_id", "day", "seen", "term", "part", "price", "cause", "cancelled")
    return ibis.union(starts.select(columns), ends.select(columns))


ACTIVITY_SCHEMA = RowSchema(_activity_rows)
CONTACTS_SCHEMA = RowSchema(_contact_rows)
SUBSCRIPTIONS_SCHEMA = RowSchema(_term_rows, _term_starts_and_ends)


def read_customer_side_rows(key: str, config: Config, engine: Engine, ids: Sequence[str]) -> ibis.Table:
    """The usable rows of one customer in one table beside the events.

    Args:
        key: Of the table, as in `read_side_tables`.
        config: Names the sources and their columns.
        engine: Where it runs.
        ids: The customer's stored ids.

    Returns:
        The rows, in the columns of `read_side_tables`; none if the customer is to be forgotten.

    Raises:
        DataError: There is nothing to read.
        UsageError: A column does not exist, or a query is not understood.
    """
    place, section, schema = _configured_sections(config)[key]
    source = engine.read_source(
        section.to_source(place), config.folder, section.columns_by_role(), section.id_columns()
    )
    require_section_columns(source, section, place)
    rows = schema.normalise(section_rows(place, section, source, engine, config.task.timezone)).drop("stake")
    theirs = rows_of_customer(rows, ids, config, engine)
    customer_rows = engine.store("side_of_one", theirs.filter(theirs.reason.isnull()).drop("reason"))
    return schema.finish(customer_rows) if schema.finish else customer_rows
