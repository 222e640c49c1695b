"""Reads the customer table into the contract: one row a customer, or one a version if the table has known_at.

A table without known_at holds today's values. What an attribute was at a past cutoff is then unknown, so only those
that never change ([customers] constant) are read. Personal columns are dropped before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

import ibis

from features.config.data_contract import CustomerAttribute, feature_slug
from features.config.load import Config
from features.config.table_sections import Customers
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.columns import blank_to_null, require_section_columns
from features.intake.customer_ids import EARLIER_ID, FORGOTTEN_REASON, with_stored_ids
from features.intake.identifiers import as_identifier, earlier_identifier
from features.intake.set_aside import count_set_aside
from features.intake.tables import OWN_ID, SetAsideRows, SideTable, Tables
from features.intake.times import TimeReader, read_as_written
from features.json_files import json_digest
from features.money import GREATEST_FLOAT
from features.task import is_label

CUSTOMER_TABLE, SINCE = "customers", "since"
ALWAYS_KNOWN = date(1900, 1, 1)  # known before every cutoff
# Columns of snapshots and of contributions; no feature may have these names.
RESERVED = ("customer_id", "cutoff", "base", "total")
FEW_MATCHES = 0.05  # a table of which a smaller share of customers is in the log matches almost nobody
Facts = Mapping[str, Any]


def attribute_column(name: str) -> str:
    """The column of an attribute; no measure of another family has such a name."""
    return f"attribute:{name}"


def with_customer_table(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with the customer table, if the config names one.

    Its rows are `customer_id, day, seen, time` (when it became known), `since` (a date) and one column an attribute.

    Args:
        tables: The events and the tables beside them.
        config: Names the table and its columns.
        engine: Where it runs.

    Returns:
        The tables; the fingerprint covers the customer table too.

    Raises:
        DataError: There is nothing to read, too many rows cannot be read, or times come with and without an offset.
        UsageError: A column does not exist or has an unknown type, or an attribute has a name that no feature may have.
    """
    section = config.customers
    if section is None:
        return tables
    source = _read(section, config, engine)
    attributes = _attributes(source, section, engine)
    rows_read = engine.count_rows(source)
    times = TimeReader(section, engine, config.task.timezone, CUSTOMER_TABLE)
    rows = with_stored_ids(_normalise(source, section, attributes, times), config, engine)
    stored = engine.store("customers_read", rows)
    aside = (*count_set_aside(stored, engine), *_malformed(engine))
    _refuse_unreadable(aside, section, rows_read + sum(a.rows for a in aside if a.reason == "malformed line"))
    rows = engine.store("customers", stored.filter(stored.reason.isnull()).drop("reason").distinct())
    return replace(
        tables,
        contract=replace(tables.contract, attributes=attributes, undated_attributes=_as_of_today(section)),
        sides={**tables.sides, CUSTOMER_TABLE: SideTable(rows, rows_read, aside)},
        fingerprint=json_digest([tables.fingerprint, engine.fingerprint(rows), rows.columns]),
    )


def customer_facts(tables: Tables, engine: Engine) -> Facts | None:
    """What the audit says of the customer table; None if there is none.

    Returns:
        rows_read, rows (usable; equal rows count once), customers, without_row (customers of the log who are not in the
        table), without_events (customers of the table who are not in the log), strangers (a few of these),
        known_customer (one of the log, for comparison), set_aside, attributes (name, sort and,
        for text, the number of levels) and as_of_today (attributes left out because nothing says since when they hold).
    """
    if CUSTOMER_TABLE not in tables.sides:
        return None
    side, contract = tables.sides[CUSTOMER_TABLE], tables.contract
    ids, log = side.rows.select("customer_id").distinct(), tables.events.select("customer_id").distinct()
    counts = {
        attribute_column(a.name): side.rows[attribute_column(a.name)].nunique()
        for a in contract.attributes
        if a.value_type == "level"
    }
    levels = engine.to_arrow(side.rows.aggregate(**counts)).to_pylist()[0] if counts else {}
    strangers = ids.anti_join(log, "customer_id").order_by("customer_id")
    return {
        "rows_read": side.rows_read,
        "rows": engine.count_rows(side.rows),
        "customers": engine.count_rows(ids),
        "without_row": engine.count_rows(log.anti_join(ids, "customer_id")),
        "without_events": engine.count_rows(strangers),
        "strangers": tuple(engine.to_arrow(strangers.limit(5))["customer_id"].to_pylist()),
        "known_customer": engine.to_arrow(log.aggregate(first=log.customer_id.min()))["first"][0].as_py(),
        "set_aside": tuple(asdict(aside) for aside in side.set_aside),
        "attributes": tuple(
            {"name": a.name, "sort": a.value_type, "levels": levels.get(attribute_column(a.name))}
            for a in contract.attributes
        ),
        "as_of_today": contract.undated_attributes,
    }


def customer_lines(facts: Facts | None) -> list[str]:
    """The lines on the customer table in the printed audit."""
    if facts is None:
        return []
    lines = [
        f"customer table {facts['rows']:,} usable of {facts['rows_read']:,} read, {facts['customers']:,} customers",
        f"{'':<15}{facts['without_row']:,} customers of the log have no row in it, "
        f"{facts['without_events']:,} of its customers no event",
    ]
    for row in facts["set_aside"]:
        ids = f" (customers such as {', '.join(row['customers'])})" if row["customers"] else ""
        lines.append(f"{'':<15}set aside, {row['reason']}: {row['rows']:,}{ids}")
    attribute_names = ", ".join(_attribute_text(attribute) for attribute in facts["attributes"])
    return [*lines, f"{'':<15}attributes: {attribute_names or 'none'}"]


def customer_notes(facts: Facts | None) -> list[str]:
    """Notes on the customer table, in words."""
    if facts is None:
        return []
    notes, known = [], facts["customers"] - facts["without_events"]
    if matches_few(known, facts["customers"], known + facts["without_row"]):
        few = few_matches_text(facts["customers"], facts["without_events"], facts["strangers"], facts["known_customer"])
        notes.append(f"[customers] {few}")
    if facts["as_of_today"]:
        notes.append(
            f"as of today: {', '.join(facts['as_of_today'])} (no known_at, so their values at past cutoffs are "
            "unknown): left out; name them in [customers] constant if they never change"
        )
    return notes


def matches_few(known: int, customers: int, log_customers: int) -> bool:
    """Whether a table matches almost nobody.

    Args:
        known: Customers of the table who are in the log.
        customers: Customers of the table.
        log_customers: Customers of the log.

    Returns:
        True if fewer are known than a small share of the smaller of both numbers.
    """
    return known < FEW_MATCHES * min(customers, log_customers)


def few_matches_text(customers: int, unknown: int, strangers: Sequence[str], known_customer: str) -> str:
    """Says that a table matches almost nobody.

    Args:
        customers: Customers of the table.
        unknown: Those of them who have no event.
        strangers: A few of these.
        known_customer: A customer of the events.

    Returns:
        The note, without the name of the table.
    """
    return (
        f"matches almost nobody: {customers - unknown:,} of its {customers:,} customers are in the events (it has "
        f"{sample(strangers, 3)}; the events have ids such as {known_customer!r}). Do both name the same customers?"
    )


def customer_breaches(tables: Tables, engine: Engine) -> list[str]:
    """Breaches of the contract: customers with several rows and nothing that says which holds when."""
    if CUSTOMER_TABLE not in tables.sides:
        return []
    rows = tables.sides[CUSTOMER_TABLE].rows
    undated = rows.filter(rows.seen == ibis.literal(ALWAYS_KNOWN))
    key = OWN_ID if OWN_ID in rows.columns else "customer_id"  # ids of one person may have a row each
    each = undated.group_by(customer_id=undated[key]).aggregate(rows=undated.count())
    several = each.filter(each["rows"] > 1)
    counts = engine.to_arrow(several.aggregate(customers=several.count(), rows=several["rows"].sum())).to_pylist()[0]
    if not counts["customers"]:
        return []
    examples = engine.to_arrow(several.order_by("customer_id").limit(5))["customer_id"].to_pylist()
    return [
        f"[customers] has {counts['rows']:,} rows for {counts['customers']:,} customers (such as {sample(examples)}) "
        "that differ; expected one row a customer. Set [customers] known_at to the column that says when a row became "
        "known, or keep one row of each with [customers] query"
    ]


def read_customer_rows(section: Customers, config: Config, engine: Engine) -> tuple[ibis.Table, ibis.Value]:
    """The customer table without its personal columns, and when each row became known.

    Args:
        section: The [customers] section.
        config: The business.
        engine: Where it runs.

    Returns:
        The rows, and a timestamp in the business's zone for each; ALWAYS_KNOWN if the section has no known_at.

    Raises:
        DataError: There is nothing to read, or times come with and without an offset.
        UsageError: A column does not exist.
    """
    source = _read(section, config, engine)
    if section.known_at:
        times = TimeReader(section, engine, config.task.timezone, CUSTOMER_TABLE)
        return source, times.read(blank_to_null(source[section.known_at]), "known_at")
    return source, _always_known()


def _always_known() -> ibis.Value:
    """ALWAYS_KNOWN as a timestamp."""
    return ibis.literal(datetime(ALWAYS_KNOWN.year, ALWAYS_KNOWN.month, ALWAYS_KNOWN.day), "timestamp")  # noqa: DTZ001


def _attribute_text(attribute: Facts) -> str:
    """An attribute in the printed audit."""
    levels = f", {attribute['levels']:,} levels" if attribute["levels"] is not None else ""
    return f"{attribute['name']} ({attribute['sort']}{levels})"


def _read(section: Customers, config: Config, engine: Engine) -> ibis.Table:
    """The source without its personal columns; checks that it has rows and the columns that the section names."""
    source = engine.read_source(
        section.to_source(CUSTOMER_TABLE), config.folder, section.columns_by_role(), section.id_columns()
    )
    require_section_columns(source, section, CUSTOMER_TABLE)
    if not engine.count_rows(source):
        raise DataError(f"{section.source}: has a header but no rows; expected one row a customer")
    return source


def _as_of_today(section: Customers) -> tuple[str, ...]:
    """The attributes whose past values are unknown."""
    return () if section.known_at else tuple(a for a in section.attributes if a not in section.constant)


def _attributes(source: ibis.Table, section: Customers, engine: Engine) -> tuple[CustomerAttribute, ...]:
    """The attributes that features may use, with the types of their columns."""
    usable = section.attributes if section.known_at else section.constant
    reserved = [name for name in usable if feature_slug(name) in RESERVED or is_label(feature_slug(name))]
    if reserved:
        raise UsageError(
            f"[customers] attributes: no feature can be called {feature_slug(reserved[0])!r}; "
            f"give column {reserved[0]!r} another name in [customers] query"
        )
    date_columns = _date_columns(source, [name for name in usable if source[name].type().is_string()], section, engine)
    return tuple(
        CustomerAttribute(
            feature_slug(name),
            "date" if name in date_columns else _attribute_type(source[name]),
            name in section.constant,
        )
        for name in section.attributes
        if name in usable
    )


def _attribute_type(column: ibis.Value) -> str:
    """The type of an attribute: 'level', 'number' or 'date'."""
    kind = column.type()
    if kind.is_boolean() or kind.is_string() or kind.is_null():
        return "level"
    if kind.is_numeric():
        return "number"
    if kind.is_date() or kind.is_timestamp():
        return "date"
    raise UsageError(
        f"[customers] attributes: column {column.get_name()!r} holds {kind}; expected numbers, booleans, dates or text"
    )


def _date_columns(source: ibis.Table, names: list[str], section: Customers, engine: Engine) -> set[str]:
    """The columns of text that hold dates; as many may be unreadable as the section allows."""
    if not names:
        return set()
    counts = {}
    for number, name in enumerate(names):
        text = blank_to_null(source[name])
        counts[f"given{number}"] = text.count()
        dates = read_as_written(text, section, engine, "attributes", CUSTOMER_TABLE).written
        counts[f"dates{number}"] = dates.count()
    counted = engine.to_arrow(source.aggregate(**counts)).to_pylist()[0]
    least = 1 - section.max_unreadable
    return {
        name
        for i, name in enumerate(names)
        if counted[f"dates{i}"] and counted[f"dates{i}"] >= least * counted[f"given{i}"]
    }


def _normalise(
    source: ibis.Table, section: Customers, attributes: tuple[CustomerAttribute, ...], times: TimeReader
) -> ibis.Table:
    """Every row in the contract's types, with the reason why it is set aside, or null."""
    customer = as_identifier(source[section.customer])
    checks = {"missing customer": customer.isnull()}
    known = _always_known()
    if section.known_at:
        known_at = blank_to_null(source[section.known_at])
        known = times.read(known_at, "known_at")
        checks |= {"missing known_at": known_at.isnull(), "unreadable known_at": known.isnull()}
    since: ibis.Value = ibis.null("date")
    if section.since:
        signup = blank_to_null(source[section.since])
        since = times.read(signup, "since").date()
        checks["unreadable since"] = signup.notnull() & since.isnull()
    columns = {feature_slug(name): name for name in section.attributes}
    values = {attribute_column(a.name): _value(source[columns[a.name]], a.value_type, times) for a in attributes}
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))
    day = known.date()
    values |= {"reason": reason, EARLIER_ID: earlier_identifier(source[section.customer])}
    return source.select(customer_id=customer, day=day, seen=day, time=known, since=since, **values)


def _value(column: ibis.Value, value_type: str, times: TimeReader) -> ibis.Value:
    """An attribute as a float, a date, or text; null where there is no value."""
    if value_type == "date":
        return times.read(blank_to_null(column), "attributes").date()
    if value_type == "number":
        number = column.cast("float64")
        return (~number.isnan() & (number.abs() <= GREATEST_FLOAT)).ifelse(number, ibis.null("float64"))
    if column.type().is_boolean():
        return ibis.cases((column, "yes"), (~column, "no"), else_=ibis.null("string"))
    return blank_to_null(column).cast("string")


def _malformed(engine: Engine) -> tuple[SetAsideRows, ...]:
    """Lines of CSV whose number of columns differs from the header's."""
    rejected = engine.count_rejected_lines()
    return (SetAsideRows("malformed line", rejected, ()),) if rejected else ()


def _refuse_unreadable(aside: tuple[SetAsideRows, ...], section: Customers, rows_read: int) -> None:
    """Raises DataError if too many rows are set aside: the rest would not represent all of them."""
    for rejected in aside:
        if rejected.reason != FORGOTTEN_REASON and rejected.rows > section.max_unreadable * rows_read:
            ids = f" (customers {sample(rejected.customers)})" if rejected.customers else ""
            raise DataError(
                f"{section.source}: {rejected.rows:,} of {rows_read:,} rows of [customers] cannot be used: "
                f"{rejected.reason}{ids}; repair them, set [customers] time_format if times have another layout, "
                f"or allow them with [customers] max_unreadable (now {section.max_unreadable:g})"
            )
