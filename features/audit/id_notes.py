"""What is odd about the ids of a log: placeholders, ids with many rows, ids that are order numbers, shared orders.

`regulars check` and `regulars init` print it, and training repeats it if a log has too little to learn from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ibis

from features.audit.exclusion_lists import exclusion_findings
from features.audit.identity import identity_facts, identity_notes
from features.config.load import Config
from features.engines.base import Engine
from features.errors import sample
from features.intake.customer_ids import stored_spellings
from features.intake.identifiers import SCIENTIFIC
from features.intake.tables import Tables
from features.sql_text import quote_name, quote_text

# What programs and people write where a customer is unknown, in lower case, without brackets around it.
PLACEHOLDERS = frozenset(
    """nan null none nil na n/a n.a. #n/a #na nat undefined unknown unbekannt inconnu desconocido guest gast invite
    invitado anonymous anonym anonyme anon nobody default dummy missing blank empty test no_customer walk-in walkin cash
    - -- ? 0 00 000 -1 0000 00000 000000 未知 匿名 游客 访客 散客 空 无 无名""".split()
    + ["not set", "no customer", "not available", "walk in", "cash customer", "guest user", "guest customer"]
)
# Of these, what real ids are like too: placeholders only where they hold many more rows than customers usually do.
CODES_TOO = frozenset(
    """na nil anon nobody default dummy missing blank empty test cash gast invite 00 000 0000 00000 000000""".split()
)
BRACKETS = r"^[(<\[{]|[)>\]}]\z"
MAX_ROWS_SHARE = 0.05  # of the rows: an id with more is named
TIMES_MEAN = 3  # and with at least so many times the rows of a customer on average
ONE_ORDER = 0.98  # share of customers with one order from which ids look like order numbers
MIN_CUSTOMERS = 20  # with fewer customers, one order each is no sign
MAX_SHARED = 0.01  # share of orders with several customers that is not worth a note
MOST_NAMED = 8
NO_SHARED_ORDERS = {"shared_orders": None, "shared_examples": ()}  # of a log without a column of orders
Facts = Mapping[str, Any]


def id_facts(tables: Tables, config: Config, engine: Engine) -> Facts:
    """Counts by which odd ids are recognised.

    Args:
        tables: The contract.
        config: The business.
        engine: Where the tables are.

    Returns:
        customers; placeholders and heavy (each customer and the share of the rows, the largest first); one_order (the
        share of customers with one order); shared_orders (the share of orders with several customers, null without a
        column of orders) and shared_examples; twins (how many ids differ from another one only in case); scientific
        (how many ids are written so) and scientific_customer.
    """
    events = tables.events
    each = engine.store(
        "rows_by_id", events.group_by("customer_id").aggregate(rows=events.count(), orders=events.order_id.nunique())
    )
    counts = engine.to_arrow(
        each.aggregate(
            customers=each.count(),
            rows=each["rows"].sum().cast("int64"),
            once=(each.orders == 1).sum(),
            folded=each.customer_id.lower().nunique(),
            scientific=each.customer_id.re_search(SCIENTIFIC).sum(),
            example=each.customer_id.min(where=each.customer_id.re_search(SCIENTIFIC)),
        )
    ).to_pylist()[0]
    rows, customers = int(counts["rows"] or 0), int(counts["customers"] or 0)
    usual = TIMES_MEAN * rows / max(customers, 1)
    doubtful = _is_any_of(CODES_TOO, each.customer_id, config) & (each["rows"] <= usual)  # may be a person's code
    is_placeholder = _is_any_of(PLACEHOLDERS, each.customer_id, config) & ~doubtful
    least = max(MAX_ROWS_SHARE * rows, usual)
    return {
        "customers": customers,
        "placeholders": tuple(_shares(each.filter(is_placeholder), rows, engine)),
        "heavy": tuple(_shares(each.filter(~is_placeholder & (each["rows"] > least)), rows, engine)),
        "one_order": int(counts["once"] or 0) / max(customers, 1),
        **(_shared_orders(tables, engine) if config.events.order else NO_SHARED_ORDERS),
        "twins": 0 if config.privacy.hash_ids else customers - int(counts["folded"] or 0),
        "scientific": int(counts["scientific"] or 0),
        "scientific_customer": counts["example"],
    }


def _is_any_of(words: Collection[str], ids: ibis.Value, config: Config) -> ibis.Value:
    """Whether an id is one of some words in any case; hashed ids are compared with the hashes of common spellings."""
    if not config.privacy.hash_ids:
        return ids.lower().re_replace(BRACKETS, "").isin(sorted(words))
    texts = {form for text in words for form in (text, text.upper(), text.capitalize(), f"({text})")}
    texts |= {each for each in ("NaN", "NaT", "N/a") if each.lower() in words}
    return ids.isin(stored_spellings(config, sorted(texts)))


def _shares(ids: ibis.Table, rows: int, engine: Engine) -> Iterator[dict[str, Any]]:
    """Ids with their share of the rows, the largest first."""
    ordered = ids.order_by(ibis.desc("rows"), "customer_id").limit(MOST_NAMED)
    for row in engine.to_arrow(ordered).to_pylist():
        yield {"customer": row["customer_id"], "share": row["rows"] / rows}


def _shared_orders(tables: Tables, engine: Engine) -> dict[str, Any]:
    """The share of orders that several customers have, and some of them."""
    events = tables.events
    orders = events.group_by("order_id").aggregate(customers=events.customer_id.nunique())
    shared = orders.filter(orders.customers > 1)
    examples = engine.to_arrow(shared.order_by("order_id").limit(3))["order_id"].to_pylist()
    return {
        "shared_orders": engine.count_rows(shared) / max(engine.count_rows(orders), 1),
        "shared_examples": tuple(examples),
    }


def id_notes(facts: Facts, tables: Tables, config: Config) -> list[str]:
    """What is odd about the ids, one sentence or more a note.

    Args:
        facts: From `id_facts`.
        tables: The contract.
        config: The business.

    Returns:
        The notes; empty if nothing is odd.
    """
    return [*_many_rows(facts, config), *order_number_notes(facts, tables), *_other_notes(facts)]


@dataclass(frozen=True)
class IdAudit:
    """What `check` says of ids.

    Attributes:
        facts: From `id_facts`, and `identity`: the joins of ids (`identity_facts`; None without [identity]).
        breaches: What must be repaired.
        notes: What is worth knowing.
    """

    facts: Facts
    breaches: tuple[str, ...]
    notes: tuple[str, ...]


def audit_ids(tables: Tables, config: Config, engine: Engine) -> IdAudit:
    """Audits the ids of a log, the joins of ids, and the lists of excluded customers.

    Args:
        tables: The contract.
        config: The business.
        engine: Where the tables are.

    Returns:
        The audit.
    """
    recorded = tables.recorded
    facts, joins = id_facts(recorded, config, engine), identity_facts(recorded, engine)
    breaches, notes = exclusion_findings(recorded, config, engine)
    all_notes = (*id_notes(facts, recorded, config), *identity_notes(joins), *notes)
    return IdAudit({**facts, "identity": joins}, tuple(breaches), all_notes)


def odd_ids(tables: Tables, config: Config, engine: Engine) -> list[str]:
    """What is odd about the ids, for somebody who has no audit yet.

    Args:
        tables: The contract.
        config: The business.
        engine: Where the tables are.

    Returns:
        The notes; empty if nothing is odd.
    """
    recorded = tables.recorded
    return id_notes(id_facts(recorded, config, engine), recorded, config)


def _many_rows(facts: Facts, config: Config) -> Iterator[str]:
    """Notes on placeholders and on ids with many rows."""
    if placeholders := facts["placeholders"]:
        total = sum(item["share"] for item in placeholders)
        yield (
            f"placeholders are read as customers: {_with_shares(placeholders)}, together {total:.1%} of the rows. If "
            "they stand for unknown people, leave their rows out" + _filter_example(placeholders, config)
        )
    if heavy := facts["heavy"]:
        one = len(heavy) == 1
        yield (
            f"{'one id holds' if one else 'a few ids hold'} much of the log: {_with_shares(heavy)}. "
            f"{'Is it a customer' if one else 'Are they customers'}, or a till, a shop or everybody without an account?"
        )


def _with_shares(items: Iterable[Facts]) -> str:
    """Ids with their shares, in words."""
    return ", ".join(f"{item['customer']!r} ({item['share']:.1%})" for item in items)


def _filter_example(items: Iterable[Facts], config: Config) -> str:
    """An example of a query that leaves ids out; none if ids are hashed, or if there is a query already."""
    if config.privacy.hash_ids or config.events.query:
        return " in [events] query"
    texts = ", ".join(quote_text(item["customer"]) for item in items)
    sql = f"SELECT * FROM source WHERE {quote_name(config.events.customer)} NOT IN ({texts})"  # noqa: S608 (quoted)
    return f": [events] query = {json.dumps(sql, ensure_ascii=False)}"


def order_number_notes(facts: Facts, tables: Tables) -> list[str]:
    """Says that customer ids look like order numbers; empty if they do not, or if terms stand for the events."""
    if tables.contract.only_subscriptions or facts["customers"] < MIN_CUSTOMERS or facts["one_order"] < ONE_ORDER:
        return []
    return [
        f"{facts['one_order']:.1%} of the {facts['customers']:,} customer ids occur in one order only: are they "
        "numbers of orders, invoices or visits? [events] customer must name a column that is the same each time a "
        "customer comes back"
    ]


def _other_notes(facts: Facts) -> Iterator[str]:
    """Notes on orders that several customers share, and on ids in scientific notation."""
    if (facts["shared_orders"] or 0) > MAX_SHARED:
        yield (
            f"{facts['shared_orders']:.1%} of the order ids are shared by several customers (such as "
            f"{sample(facts['shared_examples'])}): each customer's part counts as an order. Is [events] order the "
            "right column, or do some rows have the wrong customer?"
        )
    if facts.get("twins"):  # facts of an earlier version have none
        yield (
            f"{facts['twins']:,} customer ids differ from another one only in upper and lower case, and count as other "
            "customers. If they are the same people, write lower(...) around the column in [events] query"
        )
    if facts["scientific"]:
        yield (
            f"{facts['scientific']:,} customer ids are numbers in scientific notation (such as "
            f"{facts['scientific_customer']!r}): the program that wrote them dropped digits, so several customers may "
            "share one id. Export the column as text"
        )
