"""A config to fill in, for data whose roles cannot be guessed: all columns with what they hold and what they may be."""

from __future__ import annotations

from collections.abc import Sequence

from features.config_guess.column_profile import ColumnProfile
from features.config_guess.column_words import has_word, names_an_id_of
from features.config_guess.events import LogRoles, add_personal, add_time
from features.config_guess.ids import is_customer_name
from features.config_guess.static_table import StaticTable, is_label
from features.config_guess.wording import N_, SectionDraft, Translate, quoted
from features.slugs import feature_slug

WIDEST_NAME = 40
KINDS = {
    "time": N_("time"),
    "day": N_("day"),
    "yes or no": N_("yes or no"),
    "number": N_("number"),
    "text": N_("text"),
    "other": N_("other"),
}


def column_table(columns: Sequence[ColumnProfile], tr: Translate) -> list[str]:
    """All columns as lines of a comment: what they hold, the share filled, the form of a value, and a possible role.

    Args:
        columns: The columns.
        tr: Translates the words.

    Returns:
        The lines.
    """
    titles = [tr("column"), tr("holds"), tr("filled"), tr("values"), tr("written like"), tr("may be")]
    rows = [titles]
    for c in columns:
        form = c.form if len(c.form) <= WIDEST_NAME else f"{c.form[: WIDEST_NAME - 1]}…"
        rows.append(
            [quoted(c.name), tr(KINDS[c.kind]), f"{c.filled:.0%}", f"{c.distinct:,}", form, possible_role(c, tr)]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"#   {line.rstrip()}" for line in lines]


def possible_role(column: ColumnProfile, tr: Translate) -> str:
    """The role that a column may have, in a word; empty if nothing speaks for one."""
    if has_word(column.name, "personal"):
        return "personal?"
    if is_label(column):
        return tr("a label, which is not needed")
    if column.time is not None:
        return "time?" if not has_word(column.name, "not_event_time") else ""
    if is_customer_name(column.name) or (column.may_hold_ids and column.is_unique):
        return "customer?" if is_customer_name(column.name) else tr("an id of the row?")
    if names_an_id_of(column.name, "order"):
        return "order?"
    if column.is_number and (column.cents or column.currency or has_word(column.name, "amount")):
        return "amount?"
    if column.is_number and has_word(column.name, "quantity"):
        return "quantity?"
    if column.type.is_string() and not column.free_text:
        return "kinds?"
    return "customer?" if column.may_hold_ids and column.type.is_string() else ""


def skeleton_events(draft: SectionDraft, roles: LogRoles) -> None:
    """Adds the keys of [events] that were found, and the others to fill in.

    Args:
        draft: The section, which has the source already.
        roles: What was found.
    """
    tr = draft.tr
    if roles.customers.by_name and roles.customers.columns:
        draft.choose("customer", roles.customers.columns, tr("named like a customer's id"))
    else:
        draft.add("customer", "", tr("to fill in: the column of the customer's id"))
    if roles.times.columns:
        add_time(draft, "time", roles.times.columns)
    else:
        draft.add("time", "", tr("to fill in: the column of the time of the event"))
    draft.choose(
        "order",
        roles.orders.columns,
        tr("named like an order's id; its lines are one purchase"),
        tr("is there a column of order ids? Without it, rows of a customer with the same time are one order"),
    )
    draft.ask("amount", tr("which column is money? Without it churn can be predicted, value cannot"))
    draft.ask("quantity", tr("which column counts units?"))
    draft.ask("kinds", tr("what, where or how: text or codes that repeat"), [])


def log_to_fill_in(tr: Translate) -> SectionDraft:
    """[events] of a log that is not there yet."""
    draft = SectionDraft(tr)
    draft.add("source", "", tr("to fill in: the log, one row for each thing that a customer did"))
    draft.add("customer", "", tr("to fill in: the column of the customer's id"))
    draft.add("time", "", tr("to fill in: the column of the time of the event"))
    return draft


def snapshot_as_customers(draft: SectionDraft, columns: Sequence[ColumnProfile], static: StaticTable) -> None:
    """Adds the keys of [customers] that a table with one row a customer can give.

    Args:
        draft: The section, which has the source already.
        columns: All columns.
        static: The table's id and label.
    """
    tr = draft.tr
    personal = [c for c in columns if has_word(c.name, "personal") and c is not static.id]
    left_out = (static.id, *personal)
    attributes = _distinct_slugs([c for c in columns if c not in left_out and not is_label(c) and c.given])
    if static.id is not None:
        draft.add("customer", static.id.name, tr("no value occurs twice"))
    else:
        draft.add("customer", "", tr("to fill in: the column of the customer's id"))
    label = (
        tr("; left out, since it says today who left: {column}", column=quoted(static.label.name))
        if static.label
        else ""
    )
    draft.add("attributes", [c.name for c in attributes], tr("columns that may become features") + label)
    draft.add("constant", [], tr("those that never change; of the others the values at past days are not known"))
    add_personal(draft, columns)


def _distinct_slugs(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Columns that give features of distinct names: of several, the first."""
    return list({feature_slug(c.name): c for c in reversed(columns)}.values())[::-1]
