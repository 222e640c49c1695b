"""Guesses [events]: the roles of the columns of a log, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis

from features.config_guess.column_profile import MIN_FIT, ColumnProfile
from features.config_guess.column_words import has_id_part, has_word, match_rank, name_words, names_an_id_of
from features.config_guess.ids import (
    FEWEST_ORDERS,
    Choice,
    choose_customer,
    choose_order,
    count_ids,
    holds_addresses,
    id_columns,
)
from features.config_guess.offers import guess_offers
from features.config_guess.wording import N_, SectionDraft, quoted, quoted_names
from features.engines.base import Engine
from features.slugs import feature_slug
from features.sql_text import quote_name

MOST_KINDS, LONGEST_CODE = 5, 3
MINOR_UNITS = {"cent", "cents", "centimes", "pence", "minor", "centavos", "kopeks", "paise"}
PRODUCT_NAMES = ("revenue", "line_amount", "line_revenue", "amount_of_line")
TIME_REASONS = {
    "typed": N_("holds times"),
    "iso": N_("text in ISO 8601"),
    "formats": N_("text that reads as times"),
    "digits": N_("numbers that read as times"),
    "epoch": N_("numbers of seconds, or of parts of a second, since 1970"),
}
ADDRESS_REASON = N_(
    "e-mail addresses, for want of another id of the customer; [privacy] hash_ids = true stores hashes in their place"
)
COMES_BACK_REASON = N_(
    "its values come back on other days, as customers do, but its name does not say so: is it the customer?"
)


@dataclass(frozen=True)
class LogRoles:
    """The columns of a log that decide whether it is one.

    Attributes:
        times: The columns of times, the likeliest time of the event first.
        customers: The columns of customers.
        orders: The columns of orders.
    """

    times: Choice
    customers: Choice
    orders: Choice


def choose_roles(table: ibis.Table, columns: Sequence[ColumnProfile], engine: Engine) -> LogRoles:
    """Chooses the columns of the time, the customer and the order.

    Args:
        table: The rows.
        columns: All columns.
        engine: Where the rows are.

    Returns:
        The choices; one may be without a column.
    """
    times, ids = choose_times(columns), id_columns(columns)
    facts = count_ids(table, ids, times.column, engine)
    customers = choose_customer(ids, facts)
    others = [c for c in ids if c not in customers.columns[:1] and not names_an_id_of(c.name, "customer")]
    no_orders = Choice()
    if customers.column is None:
        named = tuple(c for c in others if names_an_id_of(c.name, "order") and c.distinct > FEWEST_ORDERS)
        return LogRoles(times, customers, Choice(named) if named else no_orders)
    return LogRoles(times, customers, choose_order(table, others, customers.column, facts, engine))


def choose_times(columns: Sequence[ColumnProfile]) -> Choice:
    """The columns of times: those named like the time of an event first, and of these a time before a day."""
    filled = [c for c in columns if c.time is not None and c.filled >= MIN_FIT]

    def likeliest(column: ColumnProfile) -> tuple[bool, bool, bool, int]:
        rank = match_rank(column.name, "event_time")
        late = has_word(column.name, "not_event_time")
        return late, rank is None, not column.has_clock, rank if rank is not None else 0

    ordered = sorted(filled, key=likeliest)
    return Choice(tuple(ordered), by_name=bool(ordered) and match_rank(ordered[0].name, "event_time") is not None)


def guess_events(draft: SectionDraft, columns: Sequence[ColumnProfile], roles: LogRoles) -> None:
    """Adds the keys of [events] to a draft, which has the source already.

    Args:
        draft: The section.
        columns: All columns.
        roles: The time, the customer and the order; a time and a customer are known.
    """
    tr = draft.tr
    by_values = ADDRESS_REASON if holds_addresses(roles.customers.columns[0]) else COMES_BACK_REASON
    why = tr("named like a customer's id") if roles.customers.by_name else tr(by_values)
    draft.choose("customer", roles.customers.columns, why)
    add_time(draft, "time", roles.times.columns)
    by_name = roles.orders.by_name
    draft.choose(
        "order",
        roles.orders.columns,
        tr("named like an order's id; its lines are one purchase")
        if by_name
        else tr("rows that share it are of one customer and one day, as the lines of an order are"),
        tr("is there a column of order ids? Without it, rows of a customer with the same time are one order"),
    )
    taken = {*roles.times.columns, *roles.customers.columns, *roles.orders.columns}
    others = [c for c in columns if c not in taken]
    add_money(draft, [c for c in others if c.is_number], columns)
    _add_kinds(draft, others)
    draft.ask("known_at", tr("does a column say when a row became known? Rows are then hidden until that day"))
    numbered = next((c.name for c in others if _is_row_id(c)), "")
    draft.ask("id", tr("does a column hold an id of the row? Repeated ids are then dropped"), numbered)
    add_personal(draft, columns)


def add_time(draft: SectionDraft, key: str, columns: Sequence[ColumnProfile]) -> None:
    """Adds a column of times, how its text is written, and the question for its time zone.

    Args:
        draft: The section.
        key: The role, such as 'time' or 'start'.
        columns: The chosen column, then other possible ones.
    """
    tr, column = draft.tr, columns[0]
    layout = column.time
    kind = layout.kind if layout else ""
    draft.choose(key, columns, tr(TIME_REASONS.get(kind, "")))
    if layout is not None and kind == "formats" and (len(layout.formats) == 1 or layout.rivals):
        question = (
            tr("; fits as well: {formats}. Which is right?", formats=", ".join(layout.rivals)) if layout.rivals else ""
        )
        fits = tr("fits {share} of the values or more", share=f"{MIN_FIT:.0%}")
        draft.add("time_format", layout.formats[0], f"{fits}{question}")
    if column.has_clock and not column.has_offset:
        draft.ask("timezone", tr('in which time zone are these times? Read as UTC unless set, such as "Europe/London"'))


def add_money(draft: SectionDraft, numbers: Sequence[ColumnProfile], columns: Sequence[ColumnProfile]) -> None:
    """Adds amount and quantity; a product of both if there is a unit price and no amount.

    Args:
        draft: The section.
        numbers: The columns of numbers that have no other role.
        columns: All columns.
    """
    tr = draft.tr
    units = _by_rank([c for c in numbers if has_word(c.name, "quantity")], "quantity")
    filled = [c for c in numbers if c.filled >= MIN_FIT and not has_id_part(c.name)]
    prices = [
        c
        for c in filled
        if has_word(c.name, "price") and not set(name_words(c.name)) & {"total", "disc", "discount", "tax", "cost"}
    ]
    named = [c for c in filled if has_word(c.name, "amount") and not has_word(c.name, "not_amount") and c not in prices]
    amounts, why = _by_rank(named, "amount"), tr("named like money; negative is a refund")
    if not amounts and not units:
        amounts = prices
    if not amounts and prices and units and _are_plain([units[0], prices[0]]):
        _add_product(draft, units[0], prices[0], columns)
    else:
        if not amounts:
            amounts = money_by_values([c for c in filled if c not in units])
            why = tr("decimals as money has them, but its name does not say so: is it the amount?")
        if amounts and set(name_words(amounts[0].name)) & MINOR_UNITS:
            why += tr("; if it counts cents, divide it by 100 in query")
        question = tr("which column is money? Without it churn can be predicted, value cannot")
        draft.choose("amount", amounts, why, _text_question(draft, "amount", columns) or question)
        if amounts and amounts[0].decimals_unclear:
            draft.add("decimal_separator", ".", tr("no number shows whether '.' or ',' separates decimals: which one?"))
    question = _text_question(draft, "quantity", columns) or tr("which column counts units?")
    draft.choose("quantity", units, tr("named like a number of units"), question)
    currencies = [c for c in columns if _is_currency(c)]
    if currencies and "amount" in draft.values:
        draft.choose("currency", currencies, tr("codes of currencies; set rates to convert them"))


def _text_question(draft: SectionDraft, role: str, columns: Sequence[ColumnProfile]) -> str:
    """What to do about a column that is named like a role and holds text that is no number; empty if there is none."""
    for c in columns:
        if has_word(c.name, role) and _is_text_of_numbers(c):
            return draft.tr(
                "{column} is written like {form}: compute the number in query",
                column=quoted(c.name),
                form=quoted(c.form),
            )
    return ""


def _is_text_of_numbers(column: ColumnProfile) -> bool:
    """Whether a column holds text with digits, such as '2 pcs', that is read neither as numbers nor as times."""
    return column.type.is_string() and not column.is_number and column.time is None and "9" in column.form


def money_by_values(numbers: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """The columns of numbers that look like money, with a currency or with cents, the largest sum first."""
    possible = [
        c
        for c in numbers
        if c.currency
        or (c.cents >= 0.2 and c.distinct >= 20 and c.total > 0 and not has_word(c.name, "not_amount", "personal"))
    ]
    return sorted(possible, key=lambda c: (not c.currency, -c.total))


def add_personal(draft: SectionDraft, columns: Sequence[ColumnProfile]) -> None:
    """Adds the columns that are named like personal data and play no other role."""
    tr, used = draft.tr, set[str]()
    for value in draft.values.values():
        used |= {value} if isinstance(value, str) else {entry for entry in value if isinstance(entry, str)}
    personal = [c for c in columns if has_word(c.name, "personal") and c.name not in used]
    if personal:
        why = tr("named like personal data: never read, not even by query")
        draft.add("personal", [c.name for c in personal], why)
    else:
        question = tr("are there names, addresses, birthdays? They are then never read, not even by query")
        draft.ask("personal", question, [])


def _add_product(
    draft: SectionDraft, units: ColumnProfile, price: ColumnProfile, columns: Sequence[ColumnProfile]
) -> None:
    """Adds the amount as units times unit price, by a query."""
    tr, existing = draft.tr, {c.name.lower() for c in columns}
    name = next(name for name in PRODUCT_NAMES if name not in existing)
    product = f"{quote_name(units.name)} * {quote_name(price.name)}"
    query = f"SELECT *, {product} AS {quote_name(name)} FROM source"  # noqa: S608 (quoted)
    draft.add("query", query, tr("units times unit price, since no column holds the amount"))
    draft.add("amount", name, tr("from the query; negative is a refund"))


def _add_kinds(draft: SectionDraft, columns: Sequence[ColumnProfile]) -> None:
    """Adds at most five columns with few enough values, none of them personal or free text."""
    tr, kinds, excluded = draft.tr, list[ColumnProfile](), list[ColumnProfile]()
    used = {value for value in draft.values.values() if isinstance(value, str)}
    for c in columns:
        named = has_word(c.name, "kind") or names_an_id_of(c.name, "kind")
        counts = has_word(c.name, "quantity", "amount") and _is_text_of_numbers(c)
        codes = (c.type.is_string() and not (_is_measure(c) or counts)) or (c.type.is_integer() and named)
        slugs = {feature_slug(kind.name) for kind in kinds}
        if (
            codes
            and c.time is None
            and c.given
            and not _is_row_id(c)
            and c.name not in used
            and feature_slug(c.name) not in slugs
        ):
            (excluded if c.free_text or has_word(c.name, "personal") else kinds).append(c)
    kinds = _by_rank(kinds, "kind")
    draft.values["kinds"] = [c.name for c in kinds[:MOST_KINDS]]
    why = tr("what, where or how: text or codes that repeat")
    why += tr("; possible too: {columns}", columns=quoted_names(kinds[MOST_KINDS:])) if kinds[MOST_KINDS:] else ""
    if excluded:
        why += tr("; left out as personal, free text or constant: {columns}", columns=quoted_names(excluded))
    draft.lines.append(f"kinds = [{quoted_names(kinds[:MOST_KINDS])}]  # {why}")
    if offers := guess_offers(draft.values["kinds"]):
        draft.add("offers", list(offers), tr("what can be offered to a customer; a store, country or channel cannot"))
    elif kinds:
        draft.ask("offers", tr("which of these can be offered to a customer? A store, country or channel cannot"), [])


def _is_row_id(column: ColumnProfile) -> bool:
    """Whether a column numbers the rows."""
    return column.is_unique and names_an_id_of(column.name, "row") and has_id_part(column.name)


def _is_measure(column: ColumnProfile) -> bool:
    """Whether text holds numbers with decimals or a currency, and so no categories."""
    return column.is_number and (column.currency or column.cents > 0 or column.decimals_unclear)


def _is_currency(column: ColumnProfile) -> bool:
    is_code = column.type.is_string() and column.form == "a" * LONGEST_CODE
    return is_code and column.filled >= MIN_FIT and has_word(column.name, "currency")


def _are_plain(columns: Sequence[ColumnProfile]) -> bool:
    """Whether a query can multiply columns: they are numbers in the data, and no text."""
    return all(c.type.is_numeric() for c in columns)


def _by_rank(columns: Sequence[ColumnProfile], role: str) -> list[ColumnProfile]:
    """Columns by the first of a role's words in their names; columns without one stay last, in their order."""
    return sorted(columns, key=lambda c: rank if (rank := match_rank(c.name, role)) is not None else 10**6)


def source_lines(draft: SectionDraft, source: str, table: str) -> None:
    """Adds where the rows are.

    Args:
        draft: The section.
        source: File, glob, folder, or the URL of a database.
        table: The table of the database; empty for files.
    """
    draft.values["source"] = source
    draft.lines.append(f"source = {quoted(source)}")
    if table:
        draft.values["table"] = table
        draft.lines.append(f"table = {quoted(table)}")
