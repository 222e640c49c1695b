"""Reads the customer table into the contract: one row a customer, or one a version if the table has known_at.

A table without known_at holds today's values. What an attribute was at a past cutoff is then unknown, so only those
that never change ([customers] constant) are read. Personal columns are dropped before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any, cast

import ibis

from features.config.data_contract import CustomerAttribute
from features.config.load import Config
from features.config.table_sections import Customers
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.columns import blank_to_null, require_section_columns
from features.intake.customer_ids import EARLIER_ID, FORGOTTEN_REASON, with_stored_ids
from features.intake.identifiers import as_identifier, earlier_identifier
from features.intake.section_rows import SectionRows, first_reason, section_rows
from features.intake.set_aside import (
    MALFORMED,
    TOTAL,
    count_set_aside,
    malformed_lines,
    refuse_unreadable,
    without_empty_rows,
)
from features.intake.tables import OWN_ID, SetAsideRows, SideTable, Tables
from features.intake.times import ATTRIBUTES, TimeReader
from features.money import GREATEST_FLOAT
from features.parsing import is_given
from features.slugs import feature_slug
from features.storage.json_files import json_digest
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
    source, empty = without_empty_rows(_read(section, config, engine), section, engine)
    source_rows = section_rows(CUSTOMER_TABLE, section, source, engine, config.task.timezone)
    attributes = _attributes(source_rows)
    rows_read = engine.count_rows(source)
    stored = engine.store("customers_read", with_stored_ids(_normalise(source_rows, attributes), config, engine))
    aside, unreadable = count_set_aside(stored, engine), _unreadable_attributes(source_rows, attributes)
    refuse_unreadable(aside, source_rows, rows_read, {})
    _refuse_unusable(aside, section, rows_read)
    aside = (*empty, *aside, *malformed_lines(section, engine, CUSTOMER_TABLE), *unreadable)
    rows_read += sum(e.rows for e in empty)
    rows = engine.store("customers", stored.filter(stored.reason.isnull()).drop("reason").distinct())
    return replace(
        tables,
        contract=replace(tables.contract, attributes=attributes, undated_attributes=_as_of_today(section)),
        sides={**tables.sides, CUSTOMER_TABLE: SideTable(rows, rows_read, aside, tuple(engine.files_read))},
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
    malformed_lines(section, engine, CUSTOMER_TABLE)  # raises DataError if most of them are malformed
    if not engine.count_rows(source):
        raise DataError(f"{section.source}: has a header but no rows; expected one row a customer")
    return source


def _as_of_today(section: Customers) -> tuple[str, ...]:
    """The attributes whose past values are unknown."""
    return () if section.known_at else tuple(a for a in section.attributes if a not in section.constant)


def _attributes(rows: SectionRows) -> tuple[CustomerAttribute, ...]:
    """The attributes that features may use, with the types of their columns."""
    section, source = cast(Customers, rows.section), rows.source
    usable = section.attributes if section.known_at else section.constant
    reserved = [name for name in usable if feature_slug(name) in RESERVED or is_label(feature_slug(name))]
    if reserved:
        raise UsageError(
            f"[customers] attributes: no feature can be called {feature_slug(reserved[0])!r}; "
            f"give column {reserved[0]!r} another name in [customers] query"
        )
    texts = [name for name in usable if source[name].type().is_string()]
    types = {name: _attribute_type(source[name]) for name in usable} | _types_of_texts(rows, texts)
    return tuple(
        CustomerAttribute(feature_slug(name), types[name], name in section.constant)
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


def _types_of_texts(rows: SectionRows, names: list[str]) -> dict[str, str]:
    """The types of columns of text that hold dates or numbers; as many may be unreadable as the section allows.

    Text of digits alone is a code, and so a category, unless there are blank texts: then a program that wrote a column
    of numbers left gaps in it.
    """
    if not names:
        return {}
    counts = {}
    for i, name in enumerate(names):
        text = blank_to_null(rows.source[name])
        counts[f"given{i}"] = text.count()
        counts[f"dates{i}"] = rows.times.read(text, ATTRIBUTES).count()
        counts[f"gaps{i}"] = (rows.source[name].notnull() & ~is_given(rows.source[name])).sum().fill_null(0)
        counts[f"codes{i}"] = text.re_search("^0[0-9]+$").sum().fill_null(0)
    counted = rows.engine.to_arrow(rows.source.aggregate(**counts)).to_pylist()[0]
    least, types = 1 - rows.section.max_unreadable, {}
    for i, name in enumerate(names):
        given, dates, gaps, codes = (counted[f"{key}{i}"] for key in ("given", "dates", "gaps", "codes"))
        if dates and dates >= least * given:
            types[name] = "date"
        elif given and not codes:
            style = rows.numbers.style(rows.source[name], ATTRIBUTES)
            is_number = style.readable > 0 and style.readable >= least * style.given and (gaps or not style.whole)
            types |= {name: "number"} if is_number else {}
    return types


def _unreadable_attributes(rows: SectionRows, attributes: tuple[CustomerAttribute, ...]) -> tuple[SetAsideRows, ...]:
    """The rows, which are kept, whose number or date cannot be read in a column of text, by attribute."""
    names = {feature_slug(name): name for name in cast(Customers, rows.section).attributes}
    columns = {a.name: rows.source[names[a.name]] for a in attributes if a.value_type != "level"}
    lost = {
        a.name: (is_given(columns[a.name]) & _value(rows, columns[a.name], a.value_type).isnull()).sum().fill_null(0)
        for a in attributes
        if a.name in columns and columns[a.name].type().is_string()
    }
    counts = rows.engine.to_arrow(rows.source.aggregate(**lost)).to_pylist()[0] if lost else {}
    return tuple(
        SetAsideRows(f"unreadable {name} (left empty, the row is kept)", int(n), ()) for name, n in counts.items() if n
    )


def _normalise(rows: SectionRows, attributes: tuple[CustomerAttribute, ...]) -> ibis.Table:
    """Every row in the contract's types, with the reason why it is set aside, or null."""
    section, source = cast(Customers, rows.section), rows.source
    customer = as_identifier(source[section.customer])
    known = rows.timestamp("known_at") if section.known_at else _always_known()
    since = rows.timestamp("since").date() if section.since else ibis.null("date")
    reason = first_reason(
        {
            "missing customer": customer.isnull(),
            **rows.time_checks("known_at", required=True),
            **rows.time_checks("since"),
        }
    )
    columns = {feature_slug(name): name for name in section.attributes}
    values = {attribute_column(a.name): _value(rows, source[columns[a.name]], a.value_type) for a in attributes}
    day = known.date()
    values |= {"reason": reason, EARLIER_ID: earlier_identifier(source[section.customer])}
    return source.select(customer_id=customer, day=day, seen=day, time=known, since=since, **values)


def _value(rows: SectionRows, column: ibis.Value, value_type: str) -> ibis.Value:
    """An attribute as a float, a date, or text; null where there is no value."""
    if value_type == "date":
        return rows.times.read(blank_to_null(column), ATTRIBUTES).date()
    if value_type == "number":
        number = rows.numbers.read(column, ATTRIBUTES)
        return (~number.isnan() & (number.abs() <= GREATEST_FLOAT)).ifelse(number, ibis.null("float64"))
    if column.type().is_boolean():
        return ibis.cases((column, "yes"), (~column, "no"), else_=ibis.null("string"))
    return blank_to_null(column).cast("string")


def _refuse_unusable(aside: tuple[SetAsideRows, ...], section: Customers, rows_read: int) -> None:
    """Raises DataError if too many rows are set aside for any reason: the rest would not represent all of them."""
    for rejected in aside:
        is_row = rejected.reason not in (FORGOTTEN_REASON, MALFORMED, TOTAL)
        if is_row and rejected.rows > section.max_unreadable * rows_read:
            ids = f" (customers {sample(rejected.customers)})" if rejected.customers else ""
            raise DataError(
                f"{section.source}: {rejected.rows:,} of {rows_read:,} rows of [customers] cannot be used: "
                f"{rejected.reason}{ids}; repair them, set [customers] time_format if times have another layout, "
                f"or allow them with [customers] max_unreadable (now {section.max_unreadable:g})"
            )
