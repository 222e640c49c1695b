"""Which columns hold the ids of customers and of orders: by their names, and where names do not help by their values.

The id of a customer comes back on other days. All rows with one id of an order are of one customer and one day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import ibis

from features.config_guess.column_profile import ColumnProfile
from features.config_guess.column_words import has_id_part, has_word, names_an_id_of
from features.engines.base import Engine

COMES_BACK = 1.05  # days for each id from which a column's ids come back
FEWEST_CUSTOMERS = 20  # that values alone can show; a column with fewer values is a category
FEWEST_ORDERS = 2  # a column with no more values holds no orders
LINES = 1.2  # rows for each id from which an order has several lines
ALIKE = 0.99
MOST_COLUMNS = 12  # that are looked at


@dataclass(frozen=True)
class IdFacts:
    """Counts of a column of ids.

    Attributes:
        rows: The rows with an id.
        ids: Different ids.
        days: Different pairs of an id and a day; equal to `ids` if there are no times.
    """

    rows: int
    ids: int
    days: int

    @property
    def days_each(self) -> float:
        """The mean number of days on which an id occurs."""
        return self.days / max(self.ids, 1)

    @property
    def rows_each(self) -> float:
        """The mean number of rows of an id."""
        return self.rows / max(self.ids, 1)


@dataclass(frozen=True)
class Choice:
    """A column for a role.

    Attributes:
        columns: The chosen column first, then others that are possible.
        by_name: Whether its name says so; otherwise only its values do.
    """

    columns: tuple[ColumnProfile, ...] = ()
    by_name: bool = True

    @property
    def column(self) -> ColumnProfile | None:
        """The chosen column, if there is one."""
        return self.columns[0] if self.columns else None


def count_ids(
    table: ibis.Table, columns: Sequence[ColumnProfile], time: ColumnProfile | None, engine: Engine
) -> dict[str, IdFacts]:
    """Counts the ids of columns, and on how many days each occurs.

    Args:
        table: The rows.
        columns: The columns that may hold ids.
        time: The column of times; None: there is none.
        engine: Where the rows are.

    Returns:
        The counts by column.
    """
    if not columns:
        return {}
    day = None
    if time is not None and time.time is not None:
        day = time.time.read(table[time.name], engine).written.date().cast("string")
    facts: dict[str, ibis.Value] = {}
    for i, column in enumerate(columns):
        text = table[column.name].cast("string")
        facts |= {f"rows{i}": text.count(), f"ids{i}": text.nunique()}
        facts[f"days{i}"] = (text + "|" + day).nunique() if day is not None else text.nunique()
    row = engine.to_arrow(table.aggregate(**facts)).to_pylist()[0]
    return {c.name: IdFacts(row[f"rows{i}"], row[f"ids{i}"], row[f"days{i}"]) for i, c in enumerate(columns)}


def id_columns(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """The columns whose values may be ids; those that are named like ids first, and only so many as can be counted."""
    possible = [c for c in columns if c.may_hold_ids and c.distinct > 1 and len(c.form) < 40]
    possible.sort(key=lambda c: (not _is_named(c), not has_id_part(c.name), -c.distinct))
    return [c for c in columns if c in possible[:MOST_COLUMNS]]


def choose_customer(columns: Sequence[ColumnProfile], facts: Mapping[str, IdFacts]) -> Choice:
    """The column of customers' ids.

    Args:
        columns: Those that may hold ids.
        facts: Of each of them, from `count_ids`.

    Returns:
        The choice; without a column if neither names nor values show one.
    """
    named = [c for c in columns if is_customer_name(c.name)]
    if named:
        named.sort(key=lambda c: (facts[c.name].days_each < COMES_BACK, c.filled < 0.5, -round(c.filled, 2)))
        return Choice(tuple(named))
    addresses = [c for c in columns if holds_addresses(c) and facts[c.name].days_each >= COMES_BACK]
    if addresses:
        return Choice(tuple(sorted(addresses, key=lambda c: -round(c.filled, 2))), by_name=False)
    return Choice(tuple(customers_by_values(columns, facts)), by_name=False)


def holds_addresses(column: ColumnProfile) -> bool:
    """Whether a column holds e-mail addresses, the only id of customers in the exports of many shops."""
    return "@" in column.form


def customers_by_values(columns: Sequence[ColumnProfile], facts: Mapping[str, IdFacts]) -> list[ColumnProfile]:
    """The columns whose values come back as customers' ids do, the one with the most ids first."""
    others = ("order", "row", "kind", "product", "personal", "amount", "quantity", "currency")
    possible = [
        c
        for c in columns
        if facts[c.name].days_each >= COMES_BACK
        and facts[c.name].ids >= max(FEWEST_CUSTOMERS, sqrt(c.rows) / 2)
        and not c.cents
        and ":" not in c.form  # a clock
        and not has_word(c.name, *others)
    ]
    return sorted(possible, key=lambda c: (not has_id_part(c.name), -facts[c.name].ids))


def choose_order(
    table: ibis.Table,
    columns: Sequence[ColumnProfile],
    customer: ColumnProfile,
    facts: Mapping[str, IdFacts],
    engine: Engine,
) -> Choice:
    """The column of orders' ids.

    Args:
        table: The rows.
        columns: Those that may hold ids, without those of customers.
        customer: The column of customers.
        facts: Of each column, from `count_ids`.
        engine: Where the rows are.

    Returns:
        The choice; without a column if neither names nor values show one.
    """
    named = [c for c in columns if names_an_id_of(c.name, "order") and facts[c.name].ids > FEWEST_ORDERS]
    if named:
        return Choice(tuple(named))
    lines = [
        c
        for c in columns
        if facts[c.name].rows_each >= LINES
        and facts[c.name].days_each <= 2 - ALIKE
        and facts[c.name].ids > facts[customer.name].ids
        and not has_word(c.name, "kind", "personal", "amount", "quantity")
    ]
    pairs = {
        f"c{i}": (table[c.name].cast("string") + "|" + table[customer.name].cast("string")).nunique()
        for i, c in enumerate(lines)
    }
    counts = engine.to_arrow(table.aggregate(**pairs)).to_pylist()[0] if pairs else {}
    alike = [c for i, c in enumerate(lines) if ALIKE * counts[f"c{i}"] <= facts[c.name].ids]
    return Choice(tuple(sorted(alike, key=lambda c: -facts[c.name].ids)), by_name=False)


def is_customer_name(name: str) -> bool:
    """Whether a name says that a column holds customers' ids: `customer`, `user_id`, `account_no`, `会员号`."""
    return names_an_id_of(name, "customer") or (names_an_id_of(name, "account") and has_id_part(name))


def _is_named(column: ColumnProfile) -> bool:
    return (
        is_customer_name(column.name) or names_an_id_of(column.name, "order") or names_an_id_of(column.name, "contract")
    )
