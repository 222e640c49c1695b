"""Outputs whose ids were read by an earlier rule: recognised, taken over if no id differs, else refused with advice."""

from __future__ import annotations

from dataclasses import replace

import ibis

from features.config.load import Config
from features.engines.base import Engine
from features.engines.open import open_engine
from features.intake.customer_ids import output_id_rule, record_id_rule, stored_spellings
from features.intake.identifiers import RULE_VERSION, as_identifier, earlier_identifier, identifier_text
from features.intake.set_aside import mask_text

FOLDERS = "scores, contributions, csv, segments, uplift, plans and monitor"


def earlier_ids_problem(config: Config, engine: Engine) -> str:
    """What to do about an output whose customers have other ids now; empty if there is nothing to do.

    An output of an earlier rule whose ids are all the same by the present rule is recorded as one of the present rule.

    Args:
        config: The business.
        engine: Where the events can be read.

    Returns:
        One sentence or more, or an empty text.

    Raises:
        DataError: The events cannot be read.
        UsageError: A column does not exist, or the query is not understood.
    """
    if output_id_rule(config) == RULE_VERSION:
        return ""
    earlier, present = _ids_by_both_rules(config, engine)
    changed = ibis.union(earlier.anti_join(present, "id"), present.anti_join(earlier, "id"))
    count = engine.count_rows(changed)
    if not count:
        record_id_rule(config)
        return ""
    example = engine.to_arrow(changed.order_by("id").limit(1))["id"][0].as_py()
    if config.privacy.hash_ids:
        example = mask_text(example)
    return (
        f"{config.output} was made when ids were read by another rule, by which {count:,} ids of [events] differ from "
        f"those of now, such as {example!r} (now 1001, 1001.0 and ' 1001 ' are one customer, and 00042 is not 42). Its "
        "scores, segments and plans may name customers whom the log does not have any more. Measure running plans with "
        f"the version of Regulars that made them. Then remove the folders {FOLDERS} of {config.output}, but keep "
        "forgotten.json and ids.json, and run `regulars score` again"
    )


def earlier_names(config: Config, customer: str) -> frozenset[str]:
    """The stored ids under which an output of an earlier rule may name a customer; empty for other outputs.

    Args:
        config: The business.
        customer: The customer's id, in any spelling; not hashed.

    Returns:
        The ids of all spellings in the events.

    Raises:
        DataError: The events cannot be read.
        UsageError: A column does not exist, the query is not understood, or there is no key for hashed ids.
    """
    if output_id_rule(config) == RULE_VERSION:
        return frozenset()
    with open_engine(config.engine, config.folder) as engine:
        earlier, _ = _ids_by_both_rules(config, engine)
        same = engine.to_arrow(earlier.filter(as_identifier(earlier.id) == identifier_text(customer)))
    return frozenset(stored_spellings(config, same["id"].to_pylist()))


def _ids_by_both_rules(config: Config, engine: Engine) -> tuple[ibis.Table, ibis.Table]:
    """The distinct ids of the events (`id`), as the earlier rule read them and as the present one does."""
    events = config.events
    roles, ids, source = {"customer": events.customer}, events.id_columns(), events.to_source("events")
    earlier, present = (
        engine.read_source(read, config.folder, roles, ids)[events.customer]
        for read in (replace(source, ids=()), source)
    )
    columns = earlier_identifier(earlier).name("id"), as_identifier(present).name("id")
    first, second = (column.as_table().distinct() for column in columns)
    return (
        engine.store("earlier_ids", first.filter(first.id.notnull())),
        engine.store("present_ids", second.filter(second.id.notnull())),
    )
