"""The customer table into the contract: one row a customer, or one a version where it says when each became known.

Without a known-at a table says what is so today. What an attribute was at a past cutoff is then not known, so only
those that never change are read. Personal columns are dropped before anything is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any

import ibis

from features.config.data_contract import Attribute, slug
from features.config.load import Config
from features.config.sections import Customers
from features.engines.base import Engine
from features.errors import DataError, UsageError, sample
from features.intake.column_types import (
    as_identifier,
    as_utc_timestamp,
    blank_to_null,
    count_set_aside,
    refuse_mixed_zones,
    require_section_columns,
)
from features.intake.customer_ids import FORGOTTEN_REASON, with_stored_ids
from features.intake.tables import SetAsideRows, SideTable, Tables
from features.money import GREATEST_FLOAT
from features.task import is_label

CUSTOMER_TABLE, SINCE = "customers", "since"
ALWAYS_KNOWN = date(1900, 1, 1)  # known before every cutoff
# Columns of snapshots and of contributions, which no feature may be called.
RESERVED = ("customer_id", "cutoff", "base", "total")
Facts = Mapping[str, Any]


def attribute_column(slug: str) -> str:
    """The column that holds an attribute: a name that no other measure has."""
    return f"attribute:{slug}"


def with_customer_table(tables: Tables, config: Config, engine: Engine) -> Tables:
    """The tables with the customer table, where the config names one.

    Its rows are `customer_id, day, seen, time` (when it became known), `since` (a date) and one column an attribute.

    Raises:
        DataError: Nothing to read, too many rows that cannot be read, or zones that are mixed.
        UsageError: A column that is not there or not of a known type, or a name that a feature may not have.
    """
    section = config.customers
    if section is None:
        return tables
    source = _read(section, config, engine)
    attributes = _attributes(source, section, engine)
    rows_read = engine.count(source)
    rows = with_stored_ids(_normalise(source, section, attributes, engine), config, engine)
    stored = engine.store("customers_read", rows)
    aside = (*count_set_aside(stored, engine), *_malformed(engine))
    _refuse_unreadable(aside, section, rows_read + sum(a.rows for a in aside if a.reason == "malformed line"))
    rows = engine.store("customers", stored.filter(stored.reason.isnull()).drop("reason").distinct())
    identity = json.dumps([tables.fingerprint, engine.content(rows), rows.columns])
    return replace(
        tables,
        contract=replace(tables.contract, attributes=attributes, as_of_today=_as_of_today(section)),
        sides={**tables.sides, CUSTOMER_TABLE: SideTable(rows, rows_read, aside)},
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


def customer_facts(tables: Tables, engine: Engine) -> Facts | None:
    """What the audit says of the customer table; None where there is none.

    Returns:
        rows_read, rows (usable; one that repeats another is one), customers, without_row (customers of the log whom
        the table does not have), without_events (the other way round), set_aside, attributes (name, sort and, of
        text, the number of levels) and as_of_today (left out, since nothing says when they became so).
    """
    if CUSTOMER_TABLE not in tables.sides:
        return None
    side, contract = tables.sides[CUSTOMER_TABLE], tables.contract
    ids, log = side.rows.select("customer_id").distinct(), tables.events.select("customer_id").distinct()
    counts = {
        attribute_column(a.name): side.rows[attribute_column(a.name)].nunique()
        for a in contract.attributes
        if a.sort == "level"
    }
    levels = engine.arrow(side.rows.aggregate(**counts)).to_pylist()[0] if counts else {}
    return {
        "rows_read": side.rows_read,
        "rows": engine.count(side.rows),
        "customers": engine.count(ids),
        "without_row": engine.count(log.anti_join(ids, "customer_id")),
        "without_events": engine.count(ids.anti_join(log, "customer_id")),
        "set_aside": tuple(asdict(aside) for aside in side.set_aside),
        "attributes": tuple(
            {"name": a.name, "sort": a.sort, "levels": levels.get(attribute_column(a.name))}
            for a in contract.attributes
        ),
        "as_of_today": contract.as_of_today,
    }


def customer_lines(facts: Facts | None) -> list[str]:
    """The customer table as lines for a terminal."""
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
    named = ", ".join(_told(attribute) for attribute in facts["attributes"])
    return [*lines, f"{'':<15}attributes: {named or 'none'}"]


def customer_notes(facts: Facts | None) -> list[str]:
    """What is worth knowing about the customer table, in words."""
    if facts is None or not facts["as_of_today"]:
        return []
    return [
        f"as of today: {', '.join(facts['as_of_today'])} (no known_at, so what they were at a past cutoff is not "
        "known): left out; name them in [customers] constant if they never change"
    ]


def customer_breaches(tables: Tables, engine: Engine) -> list[str]:
    """Customers with several rows of which nothing says which holds when."""
    if CUSTOMER_TABLE not in tables.sides:
        return []
    rows = tables.sides[CUSTOMER_TABLE].rows
    today = rows.filter(rows.seen == ibis.literal(ALWAYS_KNOWN))
    each = today.group_by("customer_id").aggregate(rows=today.count())
    several = each.filter(each["rows"] > 1)
    found = engine.arrow(several.aggregate(customers=several.count(), rows=several["rows"].sum())).to_pylist()[0]
    if not found["customers"]:
        return []
    few = engine.arrow(several.order_by("customer_id").limit(5))["customer_id"].to_pylist()
    return [
        f"[customers] has {found['rows']:,} rows for {found['customers']:,} customers (such as {sample(few)}) that "
        "differ; expected one row a customer. Name the column of when a row became known in [customers] known_at, or "
        "keep one row of each with [customers] query"
    ]


def read_customer_rows(section: Customers, config: Config, engine: Engine) -> tuple[ibis.Table, ibis.Value]:
    """The customer table without its personal columns, and when each row became known: always, where nothing says.

    Raises:
        DataError: Nothing to read, or zones that are mixed.
        UsageError: A column that is not there.
    """
    source = _read(section, config, engine)
    if section.known_at:
        return source, as_utc_timestamp(
            blank_to_null(source[section.known_at]), section, engine, "known_at", CUSTOMER_TABLE
        )
    return source, _always_known()


def _always_known() -> ibis.Value:
    """ALWAYS_KNOWN as a timestamp in UTC."""
    return ibis.literal(datetime(ALWAYS_KNOWN.year, ALWAYS_KNOWN.month, ALWAYS_KNOWN.day), "timestamp")  # noqa: DTZ001


def _told(attribute: Facts) -> str:
    levels = f", {attribute['levels']:,} levels" if attribute["levels"] is not None else ""
    return f"{attribute['name']} ({attribute['sort']}{levels})"


def _read(section: Customers, config: Config, engine: Engine) -> ibis.Table:
    """The source without its personal columns, once it is known to have rows and what the section names."""
    source = engine.rows(section.rows(CUSTOMER_TABLE), config.folder, section.roles(), section.ids())
    require_section_columns(source, section, CUSTOMER_TABLE)
    if not engine.count(source):
        raise DataError(f"{section.source}: has a header but no rows; expected one row a customer")
    for role in (role for role in ("since", "known_at") if getattr(section, role)):
        refuse_mixed_zones(source, section, engine, role, CUSTOMER_TABLE)
    return source


def _as_of_today(section: Customers) -> tuple[str, ...]:
    return () if section.known_at else tuple(a for a in section.attributes if a not in section.constant)


def _attributes(source: ibis.Table, section: Customers, engine: Engine) -> tuple[Attribute, ...]:
    """The attributes that features may use, with what their columns hold."""
    used = section.attributes if section.known_at else section.constant
    wrong = [name for name in used if slug(name) in RESERVED or is_label(slug(name))]
    if wrong:
        raise UsageError(
            f"[customers] attributes: no feature can be called {slug(wrong[0])!r}; give column {wrong[0]!r} another "
            "name in [customers] query"
        )
    dated = _dated(source, [name for name in used if source[name].type().is_string()], section, engine)
    return tuple(
        Attribute(slug(name), "date" if name in dated else _sort(source[name]), name in section.constant)
        for name in section.attributes
        if name in used
    )


def _sort(column: ibis.Value) -> str:
    kind = column.type()
    if kind.is_boolean() or kind.is_string() or kind.is_null():
        return "level"
    if kind.is_numeric():
        return "number"
    if kind.is_date() or kind.is_timestamp():
        return "date"
    raise UsageError(
        f"[customers] attributes: column {column.get_name()!r} holds {kind}; expected numbers, yes or no, dates or text"
    )


def _dated(source: ibis.Table, texts: list[str], section: Customers, engine: Engine) -> set[str]:
    """The columns of text that hold dates, but for as few unreadable ones as the section allows."""
    if not texts:
        return set()
    counts = {}
    for place, name in enumerate(texts):
        told = blank_to_null(source[name])
        counts[f"given{place}"] = told.count()
        counts[f"dates{place}"] = as_utc_timestamp(told, section, engine, "attributes", CUSTOMER_TABLE).count()
    found = engine.arrow(source.aggregate(**counts)).to_pylist()[0]
    least = 1 - section.max_unreadable
    return {
        name for i, name in enumerate(texts) if found[f"dates{i}"] and found[f"dates{i}"] >= least * found[f"given{i}"]
    }


def _normalise(source: ibis.Table, section: Customers, attributes: tuple[Attribute, ...], engine: Engine) -> ibis.Table:
    """Every row in the contract's types, with the reason it is set aside or null."""
    customer = as_identifier(source[section.customer])
    checks = {"missing customer": customer.isnull()}
    known = _always_known()
    if section.known_at:
        told = blank_to_null(source[section.known_at])
        known = as_utc_timestamp(told, section, engine, "known_at", CUSTOMER_TABLE)
        checks |= {"missing known_at": told.isnull(), "unreadable known_at": known.isnull()}
    since: ibis.Value = ibis.null("date")
    if section.since:
        told = blank_to_null(source[section.since])
        since = as_utc_timestamp(told, section, engine, "since", CUSTOMER_TABLE).date()
        checks["unreadable since"] = told.notnull() & since.isnull()
    columns = {slug(name): name for name in section.attributes}
    values = {attribute_column(a.name): _value(source[columns[a.name]], a.sort, section, engine) for a in attributes}
    reason = ibis.cases(*((test, ibis.literal(name)) for name, test in checks.items()), else_=ibis.null("string"))
    day = known.date()
    return source.select(customer_id=customer, day=day, seen=day, time=known, since=since, **values, reason=reason)


def _value(column: ibis.Value, sort: str, section: Customers, engine: Engine) -> ibis.Value:
    """An attribute as a float, a date, or text; null where there is none."""
    if sort == "date":
        return as_utc_timestamp(blank_to_null(column), section, engine, "attributes", CUSTOMER_TABLE).date()
    if sort == "number":
        number = column.cast("float64")
        return (~number.isnan() & (number.abs() <= GREATEST_FLOAT)).ifelse(number, ibis.null("float64"))
    if column.type().is_boolean():
        return ibis.cases((column, "yes"), (~column, "no"), else_=ibis.null("string"))
    return blank_to_null(column).cast("string")


def _malformed(engine: Engine) -> tuple[SetAsideRows, ...]:
    """Lines of CSV with another number of columns than the header."""
    rejected = engine.rejected_lines()
    return (SetAsideRows("malformed line", rejected, ()),) if rejected else ()


def _refuse_unreadable(aside: tuple[SetAsideRows, ...], section: Customers, rows_read: int) -> None:
    """Stops where too many rows are set aside: what is left would not stand for the whole."""
    for one in aside:
        if one.reason != FORGOTTEN_REASON and one.rows > section.max_unreadable * rows_read:
            ids = f" (customers {sample(one.customers)})" if one.customers else ""
            raise DataError(
                f"{section.source}: {one.rows:,} of {rows_read:,} rows of [customers] cannot be used: {one.reason}{ids}"
                "; mend them, set [customers] time_format if times are written otherwise, or allow it with "
                f"[customers] max_unreadable (now {section.max_unreadable:g})"
            )
