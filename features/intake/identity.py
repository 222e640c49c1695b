"""[identity]: several ids of one person become one customer, as was known at each cutoff.

Tables are read with the ids that they have. Then each row is given to the customer whom its id belongs to: in
`Tables.recorded` to the person as known at the end of the log, and in the tables themselves, if joins have dates, once
to each customer to whom it belongs at some cutoff. Such a row says at which cutoffs it is theirs (`owned_from`,
`owned_until`), and is not seen before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import cast

import ibis
import pyarrow as pa

from features.config.load import Config
from features.config.table_sections import Identity
from features.engines.base import Engine
from features.engines.open import open_engine
from features.intake.customer_ids import FORGOTTEN_REASON, known_names, read_forgotten, stored_spellings
from features.intake.customer_table import CUSTOMER_TABLE
from features.intake.identifiers import as_identifier
from features.intake.section_rows import SectionRows, first_reason
from features.intake.side_tables import RowSchema, contract_rows, read_section
from features.intake.tables import OWN_ID, OWNED, SetAsideRows, SideTable, Tables
from features.persons import NO_PERSONS, Join, Ownership, Persons, join_ids
from features.storage.json_files import json_digest

IDENTITY = "identity"
NEVER_SEEN = date(2999, 12, 31)  # as the day on which a row is seen: after every cutoff
OUTCOME_TABLES = ("contacts", "subscriptions")  # that labels read, as they read the events
Owners = Mapping[str, list[Ownership]]


def read_persons(config: Config, engine: Engine) -> tuple[Persons, SideTable | None]:
    """Reads which ids belong to one person, by stored ids.

    Args:
        config: Names the table and its columns.
        engine: Where it runs.

    Returns:
        The persons, and the table for the audit: customer_id, person, seen; None without [identity].

    Raises:
        DataError: There is nothing to read, too many rows cannot be used, or times come with and without an offset.
        UsageError: A column does not exist, a query is not understood, or there is no key for hashed ids.
    """
    section = config.identity
    if section is None:
        return NO_PERSONS, None
    schema = RowSchema(_dated_rows if section.joined_at else _undated_rows)
    read = read_section(IDENTITY, section, schema, config, engine, lambda rows: _nameless_if_hashed(rows, config))
    usable = read.rows.filter(read.rows.reason.isnull()).select("customer_id", "person", "seen").distinct()
    rows = engine.to_arrow(usable.order_by("customer_id", "person", "seen"))
    ids, persons = (stored_spellings(config, rows[name].to_pylist()) for name in ("customer_id", "person"))
    days = rows["seen"].to_pylist() if section.joined_at else [None] * rows.num_rows
    forgotten = read_forgotten(config)
    gone = [node for node in {*ids, *persons} if forgotten.has(node)]
    joined = join_ids(map(Join, ids, persons, days), gone)
    table = pa.table({"customer_id": pa.array(ids, pa.string()), "person": pa.array(persons, pa.string())})
    return joined, replace(read, rows=engine.store_arrow("identity", table))


def _nameless_if_hashed(rows: ibis.Table, config: Config) -> ibis.Table:
    """Rows of which those set aside have no id, if ids are hashed: a message may name them."""
    if not config.privacy.hash_ids:
        return rows
    return rows.mutate(customer_id=rows.reason.isnull().ifelse(rows.customer_id, ibis.null("string")))


def _dated_rows(rows: SectionRows) -> ibis.Table:
    """Rows of [identity] with the day on which each join became known."""
    person = _person(rows)
    return contract_rows(rows, "joined_at", {"missing person": person.isnull()}, lambda _: {"person": person})


def _undated_rows(rows: SectionRows) -> ibis.Table:
    """Rows of [identity] whose joins were always known."""
    customer, person = as_identifier(rows.source[rows.section.customer]), _person(rows)
    reason = first_reason({"missing customer": customer.isnull(), "missing person": person.isnull()})
    columns = {"customer_id": customer, "person": person, "seen": ibis.null("date"), "reason": reason}
    return rows.source.select(**columns, stake=rows.stake())


def _person(rows: SectionRows) -> ibis.Value:
    return as_identifier(rows.source[cast(Identity, rows.section).person])


def join_persons(tables: Tables, config: Config, engine: Engine) -> Tables:
    """Gives every row to the customer whom its id belongs to, by [identity].

    Args:
        tables: The contract with the ids that the tables have.
        config: Names the table of joins.
        engine: Where the tables are.

    Returns:
        The contract by person; the fingerprint covers the joins.

    Raises:
        DataError: As for `read_persons`.
        UsageError: As for `read_persons`.
    """
    persons, identity = read_persons(config, engine)
    if identity is not None:
        tables = replace(tables, identity=_with_events(identity, tables, engine))
    if not persons.ids:
        return tables
    tables = _without_forgotten(tables, persons, engine)
    at_end = {x: [Ownership(name)] for name, ids in persons.ids.items() for x in ids if x != name}
    recorded = _owned_tables(tables, at_end, at_end, engine, "person")
    customers = engine.to_arrow(recorded.events.aggregate(n=recorded.events.customer_id.nunique()))["n"][0].as_py()
    joined = {
        "customers": customers,
        "persons": persons,
        "fingerprint": json_digest([tables.fingerprint, _digestible(persons)]),
    }
    if not persons.is_dated:
        return replace(recorded, **joined)
    every_id = [x for ids in persons.ids.values() for x in ids]
    first_days = _first_days(tables, every_id, engine)
    owners = {x: persons.owners(x) for x in every_id}
    with_labels = {x: persons.label_owners(x, first_days) for x in every_id}
    at_cutoffs = _owned_tables(tables, owners, with_labels, engine, "owner")
    return replace(at_cutoffs, **joined, recorded_tables=replace(recorded, **joined))


def customer_names(config: Config, persons: Persons, customer: str, cutoff: date) -> tuple[str, ...]:
    """The names that a customer may have in outputs of a cutoff, the likelier first.

    Args:
        config: The business.
        persons: The ids of each person.
        customer: The id that somebody gave, in any spelling; or its hash, if ids are hashed.
        cutoff: The cutoff.

    Returns:
        One or two names.

    Raises:
        UsageError: The id is blank, or there is no key for hashed ids.
    """
    return tuple(dict.fromkeys(persons.name_at(name, cutoff) for name in known_names(config, customer)))


def persons_of(config: Config) -> Persons:
    """The ids of each person, read with an engine of their own; errors as for `read_persons`."""
    if config.identity is None:
        return NO_PERSONS
    with open_engine(config.engine, config.folder) as engine:
        return read_persons(config, engine)[0]


def rows_at(rows: ibis.Table, persons: Persons, cutoff: date, engine: Engine) -> ibis.Table:
    """Rows given to the customers to whom their ids belong at one cutoff, with the id that they had (`own_id`).

    Args:
        rows: With `customer_id`, the stored ids that a table has.
        persons: The ids of each person.
        cutoff: The cutoff.
        engine: Where the rows are.

    Returns:
        The rows, without those of persons who are to be forgotten; the same rows if no ids are joined.
    """
    if not persons.ids:
        return rows
    owners = {x: [Ownership(persons.name_at(x, cutoff))] for ids in persons.ids.values() for x in ids}
    kept = rows.filter(~rows.customer_id.isin(sorted(persons.forgotten))) if persons.forgotten else rows
    return _owned_rows(kept, engine.store_arrow("owners at a cutoff", _owner_table(owners)), CUSTOMER_TABLE)


def _with_events(identity: SideTable, tables: Tables, engine: Engine) -> SideTable:
    """The joins, each with whether the log has events of the id (`has_events`)."""
    known = tables.events.select("customer_id").distinct().mutate(has_events=True)
    joined = identity.rows.left_join(known, "customer_id")
    rows = joined.select("customer_id", "person", has_events=joined.has_events.fill_null(False))
    return replace(identity, rows=engine.store("joins", rows))


def _without_forgotten(tables: Tables, persons: Persons, engine: Engine) -> Tables:
    """The tables without rows of persons of whom another id is to be forgotten."""
    if not persons.forgotten:
        return tables
    listed = pa.table({"customer_id": pa.array(sorted(persons.forgotten), pa.string())})
    gone = engine.store_arrow("forgotten_ids", listed)
    sides = {key: replace(side, rows=side.rows.anti_join(gone, "customer_id")) for key, side in tables.sides.items()}
    events = engine.store("remembered_events", tables.events.anti_join(gone, "customer_id"))
    rows = engine.count_rows(events)
    aside = {part.reason: part for part in tables.set_aside}
    before = aside.get(FORGOTTEN_REASON, SetAsideRows(FORGOTTEN_REASON, 0, ()))
    aside[FORGOTTEN_REASON] = replace(before, rows=before.rows + tables.rows - rows)
    kept = tuple(part for part in aside.values() if part.rows)
    return replace(tables, events=events, sides=sides, rows=rows, set_aside=kept)


def _first_days(tables: Tables, ids: list[str], engine: Engine) -> dict[str, date]:
    """The first day on which each of some ids has a row in a table that labels read."""
    wanted = engine.store_arrow("joined_ids", pa.table({"customer_id": pa.array(ids, pa.string())}))
    parts = [tables.events, *(tables.sides[name].rows for name in OUTCOME_TABLES if name in tables.sides)]
    days = ibis.union(*(part.select("customer_id", "day") for part in parts)) if len(parts) > 1 else parts[0]
    theirs = days.semi_join(wanted, "customer_id")
    first = engine.to_arrow(theirs.group_by("customer_id").aggregate(day=theirs.day.min()))
    return dict(zip(first["customer_id"].to_pylist(), first["day"].to_pylist(), strict=True))


def _owned_tables(tables: Tables, owners: Owners, outcome_owners: Owners, engine: Engine, stage: str) -> Tables:
    """The tables with their rows given to owners; those of tables that labels read to `outcome_owners`."""
    plain, outcomes = (
        engine.store_arrow(f"{stage}s of {name}", _owner_table(given))
        for name, given in (("rows", owners), ("outcomes", outcome_owners))
    )
    sides = {}
    for place, (key, side) in enumerate(tables.sides.items()):
        rows = _owned_rows(side.rows, outcomes if key in OUTCOME_TABLES else plain, key)
        sides[key] = replace(side, rows=engine.store(f"{stage} side {place}", rows))
    events = engine.store(f"{stage} events", _owned_rows(tables.events, outcomes, "events"))
    return replace(tables, events=events, sides=sides)


def _owner_table(owners: Owners) -> pa.Table:
    """One row an id and interval: own_id, owner, and if there are limits not_before, owned_from and owned_until.

    `not_before` is the day before which no feature may see the rows. Ids that always stay as they are have no row.
    """
    rows = [
        (own_id, owner.customer, NEVER_SEEN if owner.before_first else owner.start, owner.start, owner.end)
        for own_id, intervals in owners.items()
        if intervals != [Ownership(own_id)]
        for owner in intervals
    ]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    types = (pa.string(), pa.string(), pa.date32(), pa.date32(), pa.date32())
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    table = pa.table(arrays, names=[OWN_ID, "owner", "not_before", *OWNED])
    limited = any(table[name].null_count < table.num_rows for name in OWNED)
    return table if limited else table.drop_columns(["not_before", *OWNED])


def _owned_rows(rows: ibis.Table, owners: ibis.Table, key: str) -> ibis.Table:
    """Rows given to the owners of their ids, once for each interval of cutoffs.

    If intervals have limits, they become columns, and `seen` is never before the start (except in the customer table,
    where the newest row holds, whenever it was joined). The customer table keeps the id that a row had.
    """
    joined = rows.left_join(owners, rows.customer_id == owners[OWN_ID])
    columns = {name: joined[name] for name in rows.columns}
    columns["customer_id"] = ibis.coalesce(joined.owner, joined.customer_id)
    if key == CUSTOMER_TABLE:
        columns[OWN_ID] = joined.customer_id
    columns |= {name: joined[name] for name in OWNED if name in owners.columns}
    if key != CUSTOMER_TABLE and "not_before" in owners.columns:
        columns["seen"] = ibis.greatest(joined.seen, ibis.coalesce(joined.not_before, joined.seen))
    if key == "subscriptions":  # terms are numbered within the customer
        order = [joined.customer_id, joined.term]
        columns["term"] = ibis.dense_rank().over(group_by=columns["customer_id"], order_by=order)
    return joined.select(**columns)


def _digestible(persons: Persons) -> list[list[str]]:
    """The joins as JSON has them."""
    joins = [[name, str(day), person] for name, (day, person) in sorted(persons.absorbed.items())]
    return [*joins, sorted(persons.forgotten)]
