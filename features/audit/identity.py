"""What the audit says of [identity]: how many ids are joined, and joins that look wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from features.engines.base import Engine
from features.errors import printable, sample
from features.intake.customer_table import few_matches_text, matches_few
from features.intake.tables import Tables

MANY_IDS = 20  # a person with more ids may be several: a household, a shop, everybody without an account
Facts = Mapping[str, Any]


def identity_facts(tables: Tables, engine: Engine) -> Facts | None:
    """Facts on the joins of ids; None without [identity].

    Args:
        tables: The contract.
        engine: Where the tables are.

    Returns:
        rows_read, rows (usable), set_aside, ids (that are joined to a person), without_events (ids among them that the
        log does not have), strangers (a few of these), known_customer (one of the log, for comparison), persons, merged
        (persons with two or more ids), most_ids and most_ids_customer (the person with most ids), customers_of_several
        (ids joined to several persons), customers_in_circles (ids joined to their own person) and dated (whether joins
        have days).
    """
    if tables.identity is None:
        return None
    rows, persons = tables.identity.rows, tables.persons
    ids = rows.select("customer_id", "has_events").distinct()
    strangers = ids.filter(~ids.has_events).order_by("customer_id")
    most = max(persons.ids, key=lambda name: (len(persons.ids[name]), name), default="")
    known = engine.to_arrow(tables.events.aggregate(first=tables.events.customer_id.min()))["first"][0].as_py()
    return {
        "rows_read": tables.identity.rows_read,
        "rows": engine.count_rows(rows),
        "set_aside": tuple(asdict(aside) for aside in tables.identity.set_aside),
        "ids": engine.count_rows(ids),
        "without_events": engine.count_rows(strangers),
        "strangers": tuple(engine.to_arrow(strangers.limit(5))["customer_id"].to_pylist()),
        "known_customer": known,
        "persons": len(persons.ids),
        "merged": sum(len(ids) > 1 for ids in persons.ids.values()),
        "most_ids": len(persons.ids.get(most, ())),
        "most_ids_customer": most,
        "customers_of_several": persons.several,
        "customers_in_circles": persons.circles,
        "dated": persons.is_dated,
    }


def identity_lines(ids: Facts | None) -> list[str]:
    """The lines on joined ids in the printed audit, from the facts on ids."""
    facts = None if ids is None else ids["identity"]
    if facts is None:
        return []
    lines = [
        f"identity       {facts['rows']:,} joins usable of {facts['rows_read']:,} read: {facts['ids']:,} ids, "
        f"{facts['without_events']:,} of them without events, of {facts['persons']:,} persons"
    ]
    for row in facts["set_aside"]:
        some = ", ".join(printable(one, "") for one in row["customers"])
        lines.append(f"{'':<15}set aside, {row['reason']}: {row['rows']:,}{f' (ids such as {some})' if some else ''}")
    return lines


def identity_notes(facts: Facts | None) -> list[str]:
    """Notes on joins that look wrong, one sentence or more a note."""
    return [] if facts is None else [f"[identity] {note}" for note in _notes(facts)]


def _notes(facts: Facts) -> Iterator[str]:
    """The notes, without the name of the section."""
    if not facts["rows"]:
        yield "has no rows yet: every id is a customer of its own"
        return
    if matches_few(facts["ids"] - facts["without_events"], facts["ids"], facts["ids"]):
        yield few_matches_text(facts["ids"], facts["without_events"], facts["strangers"], facts["known_customer"])
    if several := facts["customers_of_several"]:
        yield (
            f"{len(several):,} ids are joined to several persons (such as {sample(several, 3)}), who are taken for "
            "one, with the name of the first: correct the rows if they are not the same person"
        )
    if circles := facts["customers_in_circles"]:
        yield (
            f"{len(circles):,} ids are joined in a circle, or to themselves (such as {sample(circles, 3)}): these "
            "joins change nothing"
        )
    if facts["most_ids"] > MANY_IDS:
        yield (
            f"one person has {facts['most_ids']:,} ids ({facts['most_ids_customer']!r}): is it one person, or a "
            "household, a shop or a placeholder for everybody without an account?"
        )
    if not facts["dated"]:
        yield (
            "has no joined_at: its joins count at past cutoffs too, as if they had been known then, so models may "
            "learn from what only became known later. Name the column of the day on which ids were joined, if there "
            "is one"
        )
