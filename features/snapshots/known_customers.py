"""Whether a log knows a customer, from a scan of the columns of ids alone."""

from __future__ import annotations

import ibis

from features.config.load import Config
from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import UsageError
from features.intake.customer_ids import EARLIER_ID, known_names, with_stored_ids
from features.intake.identifiers import as_identifier, earlier_identifier
from features.intake.identity import read_persons
from features.intake.log import Log
from features.sources.source import require_columns

MOST_SIMILAR = 3  # ids that are named


def require_known_customer(log: Log, customer: str) -> None:
    """Refuses a customer whom no row of [events] and [subscriptions] names; reads only the columns of ids.

    Args:
        log: The log of the business.
        customer: The id as the user knows it, in any spelling, or the stored hash.

    Raises:
        UsageError: No row names the customer.
        DataError: A source cannot be read.
    """
    config, similar = log.config, set[tuple[int, str]]()
    given = known_names(config, customer)
    with log.engine.temporary_stages():
        persons, _ = read_persons(config, log.engine)
        names = {one for name in given for one in persons.ids_of(name)}
        for place, section in _sections(config):
            ids = _stored_ids(place, section, config, log.engine)
            if log.engine.count_rows(ids.filter(ids.customer_id.isin(sorted(names))).limit(1)):
                return
            if not config.privacy.hash_ids:
                similar |= set(_similar(ids, given[0], log.engine))
    tables = " and ".join(
        f"[{place}] ({section.source}, column {section.customer!r})" for place, section in _sections(config)
    )
    hint = f"; close to it: {', '.join(name for _, name in sorted(similar)[:MOST_SIMILAR])}" if similar else ""
    raise UsageError(f"customer {customer!r} is in no row of {tables}; check the id{hint}")


def _sections(config: Config) -> list[tuple[str, TableSection]]:
    """The tables whose customers can be in a cohort, by name."""
    terms: list[tuple[str, TableSection]] = (
        [("subscriptions", config.subscriptions)] if config.subscriptions is not None else []
    )
    return terms if config.only_subscriptions else [("events", config.events), *terms]


def _stored_ids(place: str, section: TableSection, config: Config, engine: Engine) -> ibis.Table:
    """The distinct stored ids of a table."""
    source = engine.read_source(
        section.to_source(place), config.folder, {"customer": section.customer}, section.id_columns()
    )
    require_columns(place, {"customer": section.customer}, source.columns)
    given = source[section.customer]
    ids = source.select(customer_id=as_identifier(given), **{EARLIER_ID: earlier_identifier(given)}).distinct()
    return engine.store("known_ids", with_stored_ids(ids.filter(ids.customer_id.notnull()), config, engine))


def _similar(ids: ibis.Table, customer: str, engine: Engine) -> list[tuple[int, str]]:
    """The ids that differ in the fewest characters, with their distance."""
    most = max(1, len(customer) // 4)
    distances = ids.select("customer_id", distance=ids.customer_id.levenshtein(ibis.literal(customer)))
    near = distances.filter(distances.distance <= most).order_by("distance", "customer_id").limit(MOST_SIMILAR)
    return [(row["distance"], row["customer_id"]) for row in engine.to_arrow(near).to_pylist()]
