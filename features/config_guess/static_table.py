"""Recognises tables that are no log: one row a customer as of today, often with a label such as 'Churn'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.config_guess.column_profile import ColumnProfile
from features.config_guess.column_words import has_id_part, has_word, is_chinese, names_an_id_of
from features.config_guess.events import LogRoles

FEWEST_ROWS = 5
MOST_LABELS = 3  # values of a label: yes and no, and perhaps unknown


@dataclass(frozen=True)
class StaticTable:
    """A table with one row a customer.

    Attributes:
        id: The column of which no value occurs twice; None: no column holds ids.
        label: The column that seems to say who left; None: there is none.
    """

    id: ColumnProfile | None
    label: ColumnProfile | None


def find_static_table(columns: Sequence[ColumnProfile], roles: LogRoles) -> StaticTable | None:
    """Whether a table is no log: nobody occurs twice, and there is a label or no time of an event.

    Args:
        columns: All columns.
        roles: What a log would need.

    Returns:
        The id and the label; None if the table may be a log.
    """
    rows = columns[0].rows if columns else 0
    label = next((c for c in columns if is_label(c)), None)
    customer = roles.customers.column if roles.customers.by_name else None
    unique = [c for c in columns if c.is_unique and c.may_hold_ids and not names_an_id_of(c.name, "order")]
    ids = [c for c in unique if c == customer] or [c for c in unique if has_id_part(c.name)] or unique
    if rows < FEWEST_ROWS or (customer is not None and not customer.is_unique):
        return None
    dated = roles.times.column is not None and not has_word(roles.times.column.name, "not_event_time")
    if label is not None and not roles.orders.columns and not (dated and roles.customers.columns and not ids):
        return StaticTable(ids[0] if ids else None, label)
    if dated or roles.orders.columns or (roles.customers.columns and not ids):
        return None
    if roles.times.column is not None and not ids:
        return None
    return StaticTable(ids[0] if ids else None, None)


def is_label(column: ColumnProfile) -> bool:
    """Whether a column seems to say who left: it is named so, and has two or three values."""
    return 2 <= column.distinct <= MOST_LABELS and has_word(column.name, "label") and column.time is None


def snapshot_note(source: str, table: StaticTable, rows: int) -> str:
    """What such a table is, and what to do.

    Args:
        source: The data, for the message.
        table: Its id and label.
        rows: The number of its rows.

    Returns:
        The note.
    """
    each = f", and no value of {table.id.name!r} occurs twice" if table.id else ", and no column of customers or times"
    label = f" {table.label.name!r} looks like a label; Regulars works out itself who left." if table.label else ""
    return (
        f"{source}: this is a snapshot, not a log: {rows:,} rows{each}.{label} Regulars learns from what customers did "
        "and when. What to do: get the rows behind this table, with a customer and a time in each (orders, payments, "
        "visits, calls), or the terms of contracts with their start and end, and run `regulars init` on that file. "
        "This table may then stand beside it as [customers]: the written config has the lines"
    )


def written_in_chinese(columns: Sequence[ColumnProfile]) -> bool:
    """Whether the names of the columns are Chinese."""
    return is_chinese([column.name for column in columns])
