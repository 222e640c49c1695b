"""Counts the rows that cannot be used, and refuses a section with too many of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import ibis

from features.config.table_sections import TableSection
from features.engines.base import Engine
from features.errors import DataError, sample
from features.intake.numbers import as_number
from features.intake.tables import SetAsideRows
from features.intake.times import read_as_written


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


def malformed_lines(
    section: TableSection, engine: Engine, rows_read: int, place: str = "events"
) -> tuple[SetAsideRows, ...]:
    """The lines of CSV whose number of columns differs from the header's.

    Args:
        section: The section that was read.
        engine: Where its source was read.
        rows_read: How many rows could be split into columns.
        place: The section's name in the config, for messages.

    Returns:
        One entry, or none if there is no such line.

    Raises:
        DataError: There are more of them than [section] max_unreadable allows.
    """
    rejected = engine.count_rejected_lines()
    if rejected > section.max_unreadable * (rows_read + rejected):
        raise DataError(
            f"{section.source}: {rejected:,} of {rows_read + rejected:,} lines do not have the columns of the header "
            f"(a stray separator or quote?); repair them, or allow them with [{place}] max_unreadable "
            f"(now {section.max_unreadable:g})"
        )
    return (SetAsideRows("malformed line", rejected, ()),) if rejected else ()


def refuse_unreadable(
    aside: tuple[SetAsideRows, ...],
    source: ibis.Table,
    section: TableSection,
    engine: Engine,
    rows_read: int,
    place: str = "events",
    times: Sequence[str] = ("time",),
    numbers: Sequence[str] = ("amount",),
) -> None:
    """Refuses a section if too many of its rows cannot be read: the rest would not represent all of them.

    Args:
        aside: The rows that were set aside.
        source: The rows of the section, as they were read.
        section: The section of the config.
        engine: Where the rows are.
        rows_read: How many rows were read.
        place: The section's name in the config, for messages.
        times: The roles that hold times.
        numbers: The roles that hold numbers.

    Raises:
        DataError: For the first role, of `times` and then of `numbers`, with too many unusable values.
    """
    example = "such as CAST(regexp_replace(price, '[^0-9.-]', '', 'g') AS DOUBLE)"
    repairs = dict.fromkeys(times, f"set [{place}] time_format, such as '%d/%m/%Y %H:%M'")
    repairs |= dict.fromkeys(numbers, f"clean it in [{place}] query, {example}")
    for role, repair in repairs.items():
        reasons = {f"{what} {role}" for what in ("unreadable", "infinite", "missing", "impossible")}
        unusable = [a for a in aside if a.reason in reasons]
        rows = sum(a.rows for a in unusable)
        if rows <= section.max_unreadable * rows_read:
            continue
        column = getattr(section, role)
        ids = sorted({c for a in unusable for c in a.customers})
        raise DataError(
            f"{section.source}: {rows:,} of {rows_read:,} rows have no usable {role} in column {column!r}"
            f"{_example_of_unreadable(source, column, role if role in times else '', section, engine)}"
            f"{f'; customers {sample(ids)}' if ids else ''}; {repair}, "
            f"or allow such rows with [{place}] max_unreadable (now {section.max_unreadable:g})"
        )


def _example_of_unreadable(
    source: ibis.Table, column: str, time_role: str, section: TableSection, engine: Engine
) -> str:
    """An unreadable text of a column, masked; `time_role` is the role of a time, '' for a number."""
    if not source[column].type().is_string():
        return ""
    if time_role:
        read = read_as_written(source[column], section, engine, time_role).written
    else:
        read = as_number(source[column])
    unreadable = (
        source.filter(source[column].notnull() & read.isnull()).select(text=source[column]).order_by("text").limit(1)
    )
    examples = engine.to_arrow(unreadable)["text"].to_pylist()
    return f" (written like {mask_text(examples[0])!r})" if examples else ""
