"""The tables beside the events: what else customers do or meet, what was done to them, the terms of their contracts.

Each is read like the events: rows that cannot be used are set aside and counted, and a row is seen from the day on
which it had happened and was known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import ibis

from features.config.data_contract import slug
from features.config.load import Config
from features.config.sections import Activity, Contacts, Subscriptions, TableSection
from features.engines.base import Engine
from features.errors import DataError, UsageError
from features.intake.column_types import (
    as_identifier,
    as_number,
    as_ticks,
    as_utc_timestamp,
    blank_to_null,
    count_set_aside,
    malformed_lines,
    refuse_mixed_zones,
    refuse_unreadable,
    require_section_columns,
)
from features.intake.customer_ids import with_stored_ids
from features.intake.tables import SetAsideRows, SideTable
from features.money import GREATEST_FLOAT, LARGEST


@dataclass(frozen=True)
class SourceSection:
    """A section on its way to rows of the contract.

    Attributes:
        place: The section as the config writes it, 'activities.visits'.
        section: Names the columns.
        source: Its rows as they are.
        engine: Where it runs.
    """

    place: str
    section: TableSection
    source: ibis.Table
    engine: Engine

    def moment(self, role: str) -> ibis.Value:
        """The column of a role as naive timestamps in UTC; null where it cannot be read."""
        return as_utc_timestamp(self.given(role), self.section, self.engine, role, self.place)

    def given(self, role: str) -> ibis.Value:
        """The column of a role as it is; blank text is null."""
        return blank_to_null(self.source[getattr(self.section, role)])

    def number(self, role: str) -> ibis.Value:
        """The column of a role as numbers; null where it is none."""
        number = as_number(self.given(role))
        return number.isnan().ifelse(ibis.null("float64"), number)

    def named(self, *roles: str) -> tuple[str, ...]:
        """Those of some roles for which the section names a column."""
        return tuple(role for role in roles if getattr(self.section, role, ""))


@dataclass(frozen=True)
class SectionSchema:
    """How the rows of a sort of section become rows of the contract.

    Attributes:
        normalise: Gives every row of the source in the contract's types (customer_id, day, seen, its own columns) with
            the `reason` why it is set aside, or null.
        times: The roles that hold times, the first of them the one of `day`.
        numbers: The roles that hold numbers.
        finish: What is done with the usable rows, if anything.
    """

    normalise: Callable[[SourceSection], ibis.Table]
    times: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    finish: Callable[[ibis.Table], ibis.Table] | None = None


def read_side_tables(config: Config, engine: Engine) -> dict[str, SideTable]:
    """Reads every table beside the events that a config names.

    Args:
        config: Names the sources and their columns.
        engine: Where it runs.

    Returns:
        By key ('activities.visits', 'contacts', 'subscriptions'), the usable rows: customer_id, day, seen and
        of activities: time, measure (ticks), one text column a kind (`kind_<slug>`);
        of contacts: time, action, held_out (nothing was done), cost (ticks), propensity;
        of subscriptions, where the start and the end of a term are rows of their own, each with its own day:
        term (a number within the customer), part ('start' or 'end'), price (ticks, on the start), cause (why it ended)
        and cancelled (whether that is churn), both on the end.

    Raises:
        DataError: Nothing to read, no usable row, too many unreadable ones, or zones that are mixed.
        UsageError: A column that is not there, a query that is not understood, or two sections of one name.
    """
    return {
        key: read_side_table(key, place, section, form, config, engine)
        for key, (place, section, form) in _wanted(config).items()
    }


def _wanted(config: Config) -> dict[str, tuple[str, TableSection, SectionSchema]]:
    """The sections to read: by key, the place in the config, the section and its form."""
    wanted: dict[str, tuple[str, TableSection, SectionSchema]] = {}
    for name, activity in config.activities.items():
        key, place = f"activities.{slug(name)}", f"activities.{name}"
        if key in wanted or not slug(name):
            other = f" and [{wanted[key][0]}]" if key in wanted else ""
            raise UsageError(f"[{place}]{other}: would give features of the same name, or of none; rename one")
        wanted[key] = (place, activity, ACTIVITY_SCHEMA)
    if config.contacts:
        wanted["contacts"] = ("contacts", config.contacts, CONTACTS_SCHEMA)
    if config.subscriptions:
        wanted["subscriptions"] = ("subscriptions", config.subscriptions, SUBSCRIPTIONS_SCHEMA)
    return wanted


def read_side_table(
    key: str, place: str, section: TableSection, form: SectionSchema, config: Config, engine: Engine
) -> SideTable:
    """Reads one section into rows of the contract, in the given form; arguments and errors as in `read_sides`."""
    source = engine.rows(section.rows(place), config.folder, section.roles(), section.ids())
    reading = SourceSection(place, section, source, engine)
    require_section_columns(reading.source, section, place)
    for role in reading.named(*form.times, "known_at", "end_known_at"):
        refuse_mixed_zones(reading.source, section, engine, role, place)
    rows_read, stage = engine.count(reading.source), f"side_{key.replace('.', '_')}"
    stored = engine.store(f"{stage}_read", with_stored_ids(form.normalise(reading), config, engine))
    aside = _counted(stored, reading, form, rows_read)
    good = stored.filter(stored.reason.isnull()).drop("reason")
    kept = engine.store(stage, form.finish(good) if form.finish else good)
    return SideTable(kept, rows_read, aside)


def _counted(
    stored: ibis.Table, reading: SourceSection, form: SectionSchema, rows_read: int
) -> tuple[SetAsideRows, ...]:
    """What was set aside; stops where it is too much, or everything."""
    section, place, engine = reading.section, reading.place, reading.engine
    aside = count_set_aside(stored, engine)
    stray = malformed_lines(section, engine, rows_read, place)
    times, numbers = reading.named(*form.times), reading.named(*form.numbers)
    refuse_unreadable(aside, reading.source, section, engine, rows_read, place, times, numbers)
    if rows_read and rows_read == sum(found.rows for found in aside):
        reasons = "; ".join(f"{found.reason}: {found.rows:,}" for found in aside)
        raise DataError(f"{section.source}: none of {rows_read:,} rows of [{place}] can be used ({reasons})")
    return (*aside, *stray)


def contract_rows(
    reading: SourceSection,
    time: str,
    checks: Mapping[str, ibis.Value],
    own: Callable[[ibis.Value], Mapping[str, ibis.Value]],
) -> ibis.Table:
    """Every row of a section in the contract's types: customer_id, day, seen, columns of its own, reason.

    Args:
        reading: The section.
        time: The role of the time that gives `day`.
        checks: More reasons to set a row aside, in order.
        own: The section's own columns, given the reason.
    """
    customer, moment = as_identifier(reading.source[reading.section.customer]), reading.moment(time)
    known = reading.moment("known_at") if reading.section.known_at else moment
    tests = {
        "missing customer": customer.isnull(),
        f"missing {time}": reading.given(time).isnull(),
        f"unreadable {time}": moment.isnull(),
    }
    if reading.section.known_at:
        tests["unreadable known_at"] = reading.given("known_at").notnull() & known.isnull()
    every = {**tests, **checks}
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in every.items()), else_=ibis.null("string"))
    day = moment.date()
    seen = ibis.greatest(day, ibis.coalesce(known, moment).date())
    return reading.source.select(customer_id=customer, day=day, seen=seen, **own(reason), reason=reason)


def number_checks(reading: SourceSection, role: str) -> dict[str, ibis.Value]:
    """The reasons to set a row aside for its number; a row without one stays."""
    if not reading.named(role):
        return {}
    told, number = reading.given(role), reading.number(role)
    read = as_number(told)  # of which one that is not a number is null to Spark, but was read
    return {
        f"unreadable {role}": told.notnull() & read.isnull() & ~read.isnan().fill_null(False),
        f"infinite {role}": number.abs() > GREATEST_FLOAT,
        f"{role} beyond 1e12": number.abs() > LARGEST,
    }


def _ticks(reading: SourceSection, role: str, reason: ibis.Value) -> ibis.Value:
    """The numbers of a role in ticks; null where there is none."""
    return as_ticks(reading.number(role), reason) if reading.named(role) else ibis.null("int64")


def _activity(reading: SourceSection) -> ibis.Table:
    kinds = cast(Activity, reading.section).kinds
    return contract_rows(
        reading,
        "time",
        number_checks(reading, "measure"),
        lambda reason: {
            "time": reading.moment("time"),
            "measure": _ticks(reading, "measure", reason),
            **{f"kind_{slug(kind)}": reading.source[kind].cast("string") for kind in kinds},
        },
    )


def _contact(reading: SourceSection) -> ibis.Table:
    section = cast(Contacts, reading.section)
    action, has_propensity = as_identifier(reading.source[section.action]), bool(section.propensity)
    propensity = reading.number("propensity") if has_propensity else ibis.null("float64")
    checks = {
        "missing action": action.isnull(),
        **number_checks(reading, "cost"),
        **number_checks(reading, "propensity"),
        **({"impossible propensity": (propensity <= 0) | (propensity > 1)} if has_propensity else {}),
    }
    return contract_rows(
        reading,
        "time",
        checks,
        lambda reason: {
            "time": reading.moment("time"),
            "action": action,
            "held_out": action == section.control if section.control else ibis.literal(False),
            "cost": _ticks(reading, "cost", reason),
            "propensity": propensity,
        },
    )


def _term(reading: SourceSection) -> ibis.Table:
    """One row a term; `_parts` makes two of those that end."""
    section, start = cast(Subscriptions, reading.section), reading.moment("start")
    times = {role: reading.moment(role) for role in reading.named("end", "end_known_at")}
    end, told = (times.get(role, ibis.null("timestamp")) for role in ("end", "end_known_at"))
    unreadable = {f"unreadable {role}": reading.given(role).notnull() & time.isnull() for role, time in times.items()}
    cause = as_identifier(reading.source[section.reason]) if section.reason else ibis.null("string")
    left = cause.isin(section.cancelled).fill_null(False) if section.reason else ibis.literal(True)
    checks = {**unreadable, "impossible end": end < start, **number_checks(reading, "price")}
    return contract_rows(
        reading,
        "start",
        checks,
        lambda reason: {
            "end": end.date(),
            "end_seen": told.date(),
            "price": _ticks(reading, "price", reason),
            "cause": cause,
            "cancelled": left,
        },
    )


def _parts(terms: ibis.Table) -> ibis.Table:
    """The start and the end of each term as rows of their own, so that neither is seen before it came."""
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


ACTIVITY_SCHEMA = SectionSchema(_activity, ("time",), ("measure",))
CONTACTS_SCHEMA = SectionSchema(_contact, ("time",), ("cost", "propensity"))
SUBSCRIPTIONS_SCHEMA = SectionSchema(_term, ("start", "end"), ("price",), _parts)


def read_customer_side_rows(key: str, config: Config, engine: Engine, customer: str) -> ibis.Table:
    """The usable rows of one customer in one table beside the events, by its key as in `read_sides`.

    Raises:
        DataError: There is nothing to read.
        UsageError: A column that is not there, or a query that is not understood.
    """
    place, section, form = _wanted(config)[key]
    source = engine.rows(section.rows(place), config.folder, section.roles(), section.ids())
    require_section_columns(source, section, place)
    rows = form.normalise(SourceSection(place, section, source, engine))
    mine = engine.store(
        "side_of_one", rows.filter((rows.customer_id == customer) & rows.reason.isnull()).drop("reason")
    )
    return form.finish(mine) if form.finish else mine
