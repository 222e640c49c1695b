"""Reads the tables beside the events: activities, contacts, and the terms of subscriptions.

Each is read like the events: rows that cannot be used are set aside and counted, and a row is visible from the day on
which it had happened and was known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import ibis

from features.config.data_contract import feature_slug
from features.config.load import Config
from features.config.table_sections import Activity, Contacts, Subscriptions, TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.intake.columns import blank_to_null, require_section_columns
from features.intake.customer_ids import EARLIER_ID, rows_of_customer, with_stored_ids
from features.intake.identifiers import as_identifier, earlier_identifier, identifier_text
from features.intake.numbers import as_number, as_ticks
from features.intake.set_aside import count_set_aside, malformed_lines, refuse_unreadable
from features.intake.tables import SetAsideRows, SideTable
from features.intake.times import TimeReader
from features.money import GREATEST_FLOAT, LARGEST_AMOUNT


@dataclass(frozen=True)
class SectionRows:
    """The rows of one section of the config, before they become rows of the contract.

    Attributes:
        place: The section as the config writes it, such as 'activities.visits'.
        section: Names the columns.
        source: The rows as they were read.
        times: Reads its times.
    """

    place: str
    section: TableSection
    source: ibis.Table
    times: TimeReader

    def timestamp(self, role: str) -> ibis.Value:
        """The column of a role as naive timestamps in the business's zone; null where a time cannot be read."""
        return self.times.read(self.column(role), role)

    def column(self, role: str) -> ibis.Value:
        """The column of a role as it was read; blank text is null."""
        return blank_to_null(self.source[getattr(self.section, role)])

    def number(self, role: str) -> ibis.Value:
        """The column of a role as numbers; null where it is not a number."""
        number = as_number(self.column(role))
        return number.isnan().ifelse(ibis.null("float64"), number)

    def configured(self, *roles: str) -> tuple[str, ...]:
        """Those of the given roles for which the section names a column."""
        return tuple(role for role in roles if getattr(self.section, role, ""))


@dataclass(frozen=True)
class RowSchema:
    """How rows of one kind of section become rows of the contract.

    Attributes:
        normalise: Returns every row of the source in the contract's types (customer_id, day, seen, its own columns)
            with the `reason` why it is set aside, or null.
        times: The roles that hold times; the first gives `day`.
        numbers: The roles that hold numbers.
        finish: Changes the usable rows at the end, if needed.
    """

    normalise: Callable[[SectionRows], ibis.Table]
    times: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    finish: Callable[[ibis.Table], ibis.Table] | None = None


def read_side_tables(config: Config, engine: Engine) -> dict[str, SideTable]:
    """Reads every table beside the events that a config names, except the customer table.

    Args:
        config: Names the sources and their columns.
        engine: Where it runs.

    Returns:
        The usable rows by key ('activities.visits', 'contacts', 'subscriptions'). All have customer_id, day and seen;
        activities also: time, measure (ticks), one text column a kind (`kind_<slug>`);
        contacts also: time, action, held_out (nothing was done), cost (ticks), propensity;
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
        if key in wanted or not feature_slug(name):
            other = f" and [{wanted[key][0]}]" if key in wanted else ""
            raise UsageError(f"[{place}]{other}: would give features of the same name or of no name; rename one")
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
    stored, rows_read, aside = read_section(
        place, section, schema, config, engine, lambda rows: with_stored_ids(rows, config, engine)
    )
    usable = stored.filter(stored.reason.isnull()).drop("reason")
    kept = engine.store(f"side_{key.replace('.', '_')}", schema.finish(usable) if schema.finish else usable)
    return SideTable(kept, rows_read, aside)


def read_section(
    place: str,
    section: TableSection,
    schema: RowSchema,
    config: Config,
    engine: Engine,
    prepare: Callable[[ibis.Table], ibis.Table],
) -> tuple[ibis.Table, int, tuple[SetAsideRows, ...]]:
    """Reads every row of a section in the types of the contract.

    Args:
        place: The section's name in the config, for messages.
        section: The section.
        schema: How its rows become rows of the contract.
        config: The business.
        engine: Where it runs.
        prepare: Changes all rows, with their reasons, before they are stored.

    Returns:
        The rows, stored, with the `reason` why a row is set aside or null; how many were read; what is set aside.

    Raises:
        DataError: As for `read_side_tables`.
        UsageError: A column does not exist, or a query is not understood.
    """
    source = engine.read_source(
        section.to_source(place), config.folder, section.columns_by_role(), section.id_columns()
    )
    require_section_columns(source, section, place)
    section_rows = SectionRows(place, section, source, TimeReader(section, engine, config.task.timezone, place))
    rows_read = engine.count_rows(section_rows.source)
    stored = engine.store(f"read {place}", prepare(schema.normalise(section_rows)))
    return stored, rows_read, _checked_set_aside(stored, section_rows, schema, rows_read, engine)


def _checked_set_aside(
    stored: ibis.Table, section_rows: SectionRows, schema: RowSchema, rows_read: int, engine: Engine
) -> tuple[SetAsideRows, ...]:
    """The rows that were set aside; raises DataError if these are too many, or all."""
    section, place = section_rows.section, section_rows.place
    aside = count_set_aside(stored, engine)
    malformed = malformed_lines(section, engine, rows_read, place)
    times, numbers = section_rows.configured(*schema.times), section_rows.configured(*schema.numbers)
    refuse_unreadable(aside, section_rows.source, section, engine, rows_read, place, times, numbers)
    if rows_read and rows_read == sum(rejected.rows for rejected in aside):
        reasons = "; ".join(f"{rejected.reason}: {rejected.rows:,}" for rejected in aside)
        raise DataError(f"{section.source}: none of {rows_read:,} rows of [{place}] can be used ({reasons})")
    return (*aside, *malformed)


def contract_rows(
    section_rows: SectionRows,
    time: str,
    checks: Mapping[str, ibis.Value],
    own_columns: Callable[[ibis.Value], Mapping[str, ibis.Value]],
) -> ibis.Table:
    """Every row of a section in the contract's types: customer_id, day, seen, its own columns, reason.

    Args:
        section_rows: The section.
        time: The role of the time that gives `day`.
        checks: More reasons to set a row aside, in the order in which they are tried.
        own_columns: Returns the section's own columns, given the reason.

    Returns:
        The rows, as an expression.
    """
    customer, moment = as_identifier(section_rows.source[section_rows.section.customer]), section_rows.timestamp(time)
    known = section_rows.timestamp("known_at") if section_rows.section.known_at else moment
    tests = {
        "missing customer": customer.isnull(),
        f"missing {time}": section_rows.column(time).isnull(),
        f"unreadable {time}": moment.isnull(),
    }
    if section_rows.section.known_at:
        tests["unreadable known_at"] = section_rows.column("known_at").notnull() & known.isnull()
    every = {**tests, **checks}
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in every.items()), else_=ibis.null("string"))
    day = moment.date()
    seen = ibis.greatest(day, ibis.coalesce(known, moment).date())
    earlier = {EARLIER_ID: earlier_identifier(section_rows.source[section_rows.section.customer])}
    columns = {"customer_id": customer, "day": day, "seen": seen, **own_columns(reason), "reason": reason, **earlier}
    return section_rows.source.select(**columns)


def number_checks(section_rows: SectionRows, role: str) -> dict[str, ibis.Value]:
    """The reasons to set a row aside because of its number; a row without a number stays."""
    if not section_rows.configured(role):
        return {}
    column, number = section_rows.column(role), section_rows.number(role)
    parsed = as_number(column)  # of which one that is not a number is null to Spark, but was read
    return {
        f"unreadable {role}": column.notnull() & parsed.isnull() & ~parsed.isnan().fill_null(False),
        f"infinite {role}": number.abs() > GREATEST_FLOAT,
        f"{role} beyond 1e12": number.abs() > LARGEST_AMOUNT,
    }


def _ticks(section_rows: SectionRows, role: str, reason: ibis.Value) -> ibis.Value:
    """The numbers of a role in ticks; null where there is none."""
    return as_ticks(section_rows.number(role), reason) if section_rows.configured(role) else ibis.null("int64")


def _activity_rows(section_rows: SectionRows) -> ibis.Table:
    """Rows of [activities.NAME] in the contract's types."""
    kinds = cast(Activity, section_rows.section).kinds
    return contract_rows(
        section_rows,
        "time",
        number_checks(section_rows, "measure"),
        lambda reason: {
            "time": section_rows.timestamp("time"),
            "measure": _ticks(section_rows, "measure", reason),
            **{f"kind_{feature_slug(kind)}": section_rows.source[kind].cast("string") for kind in kinds},
        },
    )


def _contact_rows(section_rows: SectionRows) -> ibis.Table:
    """Rows of [contacts] in the contract's types."""
    section = cast(Contacts, section_rows.section)
    action, has_propensity = as_identifier(section_rows.source[section.action]), bool(section.propensity)
    propensity = section_rows.number("propensity") if has_propensity else ibis.null("float64")
    checks = {
        "missing action": action.isnull(),
        **number_checks(section_rows, "cost"),
        **number_checks(section_rows, "propensity"),
        **({"impossible propensity": (propensity <= 0) | (propensity > 1)} if has_propensity else {}),
    }
    return contract_rows(
        section_rows,
        "time",
        checks,
        lambda reason: {
            "time": section_rows.timestamp("time"),
            "action": action,
            "held_out": action == identifier_text(section.control) if section.control else ibis.literal(False),
            "cost": _ticks(section_rows, "cost", reason),
            "propensity": propensity,
        },
    )


def _term_rows(section_rows: SectionRows) -> ibis.Table:
    """Rows of [subscriptions] in the contract's types, one a term; `_term_starts_and_ends` splits them."""
    section, start = cast(Subscriptions, section_rows.section), section_rows.timestamp("start")
    times = {role: section_rows.timestamp(role) for role in section_rows.configured("end", "end_known_at")}
    end, end_known = (times.get(role, ibis.null("timestamp")) for role in ("end", "end_known_at"))
    unreadable = {
        f"unreadable {role}": section_rows.column(role).notnull() & time.isnull() for role, time in times.items()
    }
    cause = as_identifier(section_rows.source[section.reason]) if section.reason else ibis.null("string")
    cancelled = [identifier_text(value) or value for value in section.cancelled]
    is_churn = cause.isin(cancelled).fill_null(False) if section.reason else ibis.literal(True)
    checks = {**unreadable, "impossible end": end < start, **number_checks(section_rows, "price")}
    return contract_rows(
        section_rows,
        "start",
        checks,
        lambda reason: {
            "end": end.date(),
            "end_seen": end_known.date(),
            "price": _ticks(section_rows, "price", reason),
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


ACTIVITY_SCHEMA = RowSchema(_activity_rows, ("time",), ("measure",))
CONTACTS_SCHEMA = RowSchema(_contact_rows, ("time",), ("cost", "propensity"))
SUBSCRIPTIONS_SCHEMA = RowSchema(_term_rows, ("start", "end"), ("price",), _term_starts_and_ends)


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
    times = TimeReader(section, engine, config.task.timezone, place)
    rows = schema.normalise(SectionRows(place, section, source, times))
    theirs = rows_of_customer(rows, ids, config, engine)
    customer_rows = engine.store("side_of_one", theirs.filter(theirs.reason.isnull()).drop("reason"))
    return schema.finish(customer_rows) if schema.finish else customer_rows
