"""Counts the rows that cannot be used, and refuses a section with too many of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import ibis

from features.config.table_sections import NUMBER_ROLES, TableSection
from features.engines.base import Engine
from features.errors import DataError, sample
from features.intake.columns import blank_to_null
from features.intake.identifiers import as_identifier
from features.intake.section_rows import TIME_ROLES, SectionRows, first_reason, listed_roles, section_rows
from features.intake.tables import SetAsideRows

END_BEFORE_START = "they lie before the start: correct them, or name the columns the other way round"
UNUSABLE = ("missing", "unreadable", "infinite", "impossible", "negative", "other")  # the first words of reasons


REQUIRED = ("time", "amount", "start")  # roles without which a row cannot be used
MALFORMED, EMPTY, TOTAL = "malformed line", "empty row", "total"  # reasons of lines that are no rows of the source


def mask_text(text: str) -> str:
    """Masks the digits and letters of a text, so that a message shows its form and not its content.

    >>> mask_text("£12.50"), mask_text("03/Jan/2024")
    ('£99.99', '99/aaa/9999')
    """
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text))[:40]


def count_set_aside(stored: ibis.Table, engine: Engine) -> tuple[SetAsideRows, ...]:
    """Counts the rows that have a `reason`, by reason, with a few of their customers."""
    rejected = stored.filter(stored.reason.notnull())
    counts = engine.to_arrow(
        rejected.group_by("reason").aggregate(rows=rejected.count()).order_by("reason")
    ).to_pylist()
    set_asides = []
    for row in counts:
        ids = rejected.filter(rejected.reason == row["reason"]).customer_id
        few = engine.to_arrow(ids.as_table().filter(ids.notnull()).distinct().order_by("customer_id").limit(5))
        set_asides.append(SetAsideRows(row["reason"], row["rows"], tuple(few["customer_id"].to_pylist())))
    return tuple(set_asides)


def malformed_lines(section: TableSection, engine: Engine, place: str = "events") -> tuple[SetAsideRows, ...]:
    """The lines of the section's CSV files whose columns are not those of the header, and totals at their ends.

    Args:
        section: The section that was read.
        engine: Where its source was read.
        place: The section's name in the config, for messages.

    Returns:
        One entry for each of the two, if there is such a line.

    Raises:
        DataError: More lines of a table of files are malformed than [section] max_unreadable allows.
    """
    for files in engine.files_read:
        lines = files.rows + files.malformed
        if files.malformed > section.max_unreadable * lines:
            raise DataError(
                f"{files.source}: {files.malformed:,} of {lines:,} lines do not have the columns of the header "
                f"(a stray separator or quote?): {files.malformed_text}; repair them, or allow them with "
                f"[{place}] max_unreadable (now {section.max_unreadable:g})"
            )
    counts = {
        MALFORMED: sum(files.malformed for files in engine.files_read),
        TOTAL: sum(files.totals for files in engine.files_read),
    }
    return tuple(SetAsideRows(reason, lines, ()) for reason, lines in counts.items() if lines)


def without_empty_rows(
    source: ibis.Table, section: TableSection, engine: Engine
) -> tuple[ibis.Table, tuple[SetAsideRows, ...]]:
    """Rows without those in which every column that the section names is null or blank, as spreadsheets leave behind.

    Args:
        source: The rows of a section.
        section: Names the columns; only rows without a customer are looked at closely.
        engine: Where the rows are.

    Returns:
        The other rows, and how many were empty, as rows that were set aside.
    """
    ignored = sum(files.empty_rows for files in engine.files_read)  # by the reader of CSV files
    empty, rows = ibis.literal(False), 0
    if section.customer in source.columns:
        named = [name for name in section.columns_by_role().values() if name in source.columns]
        empty = ibis.and_(*(blank_to_null(source[name]).isnull() for name in (section.customer, *named)))
        without_customer = engine.count_rows(source.filter(blank_to_null(source[section.customer]).isnull()))
        rows = engine.count_rows(source.filter(empty)) if without_customer else 0
    aside = (SetAsideRows(EMPTY, rows + ignored, ()),) if rows + ignored else ()
    return source.filter(~empty) if rows else source, aside


def refuse_unreadable(
    aside: tuple[SetAsideRows, ...], rows: SectionRows, rows_read: int, stakes: Mapping[str, float]
) -> None:
    """Refuses a section if too many of its rows, or rows with too much of its money, cannot be read.

    The rest would not represent all of them. Each role counts by itself.

    Args:
        aside: The rows that were set aside.
        rows: The section.
        rows_read: How many rows were read.
        stakes: The share of the money of the rows that were set aside, by reason, in [0, 1].

    Raises:
        DataError: For the first role with too many unusable values.
    """
    section, place = rows.section, rows.place
    for role in listed_roles(rows):
        reasons = {f"{what} {role}" for what in UNUSABLE}
        unusable = [a for a in aside if a.reason in reasons]
        count, money = sum(a.rows for a in unusable), sum(stakes.get(a.reason, 0.0) for a in unusable)
        if count <= section.max_unreadable * rows_read and money <= section.max_unreadable:
            continue
        ids = sorted({c for a in unusable for c in a.customers})
        impossible = sum(a.rows for a in unusable if a.reason == f"impossible {role}")
        advice = END_BEFORE_START if role == "end" and 2 * impossible > count else rows.advice(role)
        share = f", with about {money:.0%} of the money," if count <= section.max_unreadable * rows_read else ""
        raise DataError(
            f"{section.source}: {count:,} of {rows_read:,} rows{share} have no usable {role} in column "
            f"{getattr(section, role)!r}{_example_of_unreadable(rows, role)}"
            f"{f'; customers {sample(ids)}' if ids else ''}; {advice}, "
            f"or allow such rows with [{place}] max_unreadable (now {section.max_unreadable:g})"
        )


def unusable_reason(place: str, section: TableSection, source: ibis.Table, engine: Engine, zone: str) -> ibis.Value:
    """Why each row of a section cannot be used, as far as it depends on the row alone; null if it can.

    Args:
        place: The section's name in the config.
        section: The section.
        source: Its rows.
        engine: Where they are.
        zone: The zone in which days begin ([task] timezone).

    Returns:
        The reason, as text.
    """
    rows = section_rows(place, section, source, engine, zone)
    checks = {"missing customer": as_identifier(source[section.customer]).isnull()}
    for role in TIME_ROLES:
        checks |= rows.time_checks(role, role in REQUIRED)
    checks |= rows.currency_checks()
    for role in NUMBER_ROLES:
        checks |= rows.number_checks(role, role in REQUIRED)
    return first_reason(checks)


def money_at_stake(rows: ibis.Table, aside: tuple[SetAsideRows, ...], engine: Engine) -> dict[str, float]:
    """The share of all money that rows with each reason hold, in [0, 1]; empty if nothing was set aside.

    Args:
        rows: All rows of a section, with `reason` and `stake` (money without its sign, or null).
        aside: The rows that were set aside.
        engine: Where the rows are.

    Returns:
        Shares by reason.
    """
    if not any(a.reason.split(" ")[0] in UNUSABLE for a in aside):
        return {}
    sums = engine.to_arrow(rows.group_by("reason").aggregate(stake=rows.stake.sum())).to_pylist()
    total = sum(row["stake"] or 0.0 for row in sums)
    return {row["reason"]: (row["stake"] or 0.0) / total for row in sums if row["reason"] and total > 0}


def _example_of_unreadable(rows: SectionRows, role: str) -> str:
    """An unreadable text of a role's column, masked."""
    column = rows.column(role)
    if role == "currency" or not column.type().is_string():
        return ""
    texts = rows.source.filter(rows.unreadable(role)).select(text=column).order_by("text").limit(1)
    examples = rows.engine.to_arrow(texts)["text"].to_pylist()
    return f" (written like {mask_text(examples[0])!r})" if examples else ""
