"""What the values of each column look like: how many there are, how they are written, and what they may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import ibis

from features.config_guess.column_words import has_id_part, has_word, names_an_id_of
from features.engines.base import Engine
from features.errors import EmptyError
from features.intake.set_aside import mask_text
from features.parsing import NumberStyle, TimeLayout, decide_number_style, decide_time_layout, survey_numbers

MIN_FIT = 0.99  # share of the values that must be of a kind
FIRST_ROWS = 1000  # are looked at before all rows are
# What the first values must look like before all values are looked at.
LIKE_A_TIME = re.compile(r"\d\D+(\d|[^\W\d_]{3,})|^\d{8}$|^\d{9,10}([.]\d+)?$|^\d{12,19}$")
LIKE_A_NUMBER = re.compile(r"^\D{0,6}\d[\d.,'’\s]*\D{0,6}$")
LONG_TEXT, MOST_CATEGORIES = 30, 100_000
CENT = 100
MOST_COUNTED = 5_000_000  # rows of a table whose distinct values are counted exactly


@dataclass(frozen=True)
class ColumnProfile:
    """A column of the data, as the guess sees it.

    Attributes:
        name: As in the data.
        type: Its type in Ibis.
        rows: The number of rows of the table.
        given: How many of them have a value.
        distinct: How many distinct values it has; of a table with very many rows, about how many.
        free_text: Whether it is free text, an id of each row, or constant: no category.
        form: The form of a value, with letters and digits masked.
        time: How its times are written; None if it holds no times.
        has_clock: Whether some of its times are not at midnight.
        has_offset: Whether its times say their offset from UTC.
        first: The day of its first time.
        last: The day of its last time.
        is_number: Whether it holds numbers, also as text.
        decimals_unclear: Whether nothing shows what separates decimals in its numbers.
        currency: Whether its numbers are written with a currency.
        cents: The share of numbers with one or two decimals.
        lowest: The lowest number.
        total: The sum of its numbers.
    """

    name: str
    type: Any
    rows: int
    given: int
    distinct: int
    free_text: bool
    form: str
    time: TimeLayout | None = None
    has_clock: bool = False
    has_offset: bool = False
    first: date | None = None
    last: date | None = None
    is_number: bool = False
    decimals_unclear: bool = False
    currency: bool = False
    cents: float = 0.0
    lowest: float = 0.0
    total: float = 0.0

    @property
    def filled(self) -> float:
        """The share of rows with a value, in [0, 1]."""
        return self.given / self.rows

    @property
    def may_hold_ids(self) -> bool:
        """Whether the values may be ids: text or whole numbers that are no times."""
        kind = self.type
        whole = kind.is_integer() or kind.is_floating()
        return self.time is None and (kind.is_string() or whole) and not (self.currency or self.cents)

    @property
    def is_unique(self) -> bool:
        """Whether no value occurs twice, as far as the count can tell."""
        return self.given == self.rows and self.distinct >= (1 if self.rows <= MOST_COUNTED else 0.95) * self.rows

    @property
    def kind(self) -> str:
        """What it holds, in a word."""
        if self.time is not None:
            return "time" if self.has_clock else "day"
        if self.type.is_boolean():
            return "yes or no"
        if self.is_number:
            return "number"
        return "text" if self.type.is_string() else "other"


def profile_columns(table: ibis.Table, engine: Engine) -> list[ColumnProfile]:
    """Looks at all values of every column that is not nested.

    Args:
        table: The rows, stored in the engine.
        engine: Where they are.

    Returns:
        The profiles, in the order of the columns.

    Raises:
        EmptyError: There are no rows.
    """
    columns = [_count(table, row, name) for row, name in _counts(table, engine)]
    first_rows = engine.to_arrow(table.select([c.name for c in columns]).limit(FIRST_ROWS))
    profiles = []
    for column in columns:
        texts = [
            str(value) for value in first_rows[column.name].to_pylist() if value is not None and str(value).strip()
        ]
        looks_like_number = _may_be_numbers(column, texts)
        if looks_like_number and column.type.is_string() and not all(text.strip().isdigit() for text in texts):
            column = _with_numbers(column, table, engine)  # before times: 1,234 is no date
        if not column.is_number and _may_be_times(column, texts):
            column = _with_times(column, table, engine)
        if column.time is None and not column.is_number and looks_like_number:
            column = _with_numbers(column, table, engine)
        profiles.append(column)
    return profiles


def _may_be_times(column: ColumnProfile, texts: Sequence[str]) -> bool:
    """Whether the first values look like times; digits alone are none if the name says that they are ids."""
    kind, name = column.type, column.name
    if kind.is_timestamp() or kind.is_date():
        return True
    if not (kind.is_string() or kind.is_integer() or kind.is_floating()) or not texts:
        return False
    if not kind.is_string() and _is_named_like_ids(name) and not has_word(name, "event_time"):
        return False
    return 2 * sum(bool(LIKE_A_TIME.search(text)) for text in texts) >= len(texts)


def _may_be_numbers(column: ColumnProfile, texts: Sequence[str]) -> bool:
    """Whether the values are numbers, or the first of them look like some."""
    if not column.type.is_string():
        return bool(column.type.is_numeric())
    return 2 * sum(bool(LIKE_A_NUMBER.search(text)) for text in texts) > len(texts)


def _is_named_like_ids(name: str) -> bool:
    return has_id_part(name) or any(names_an_id_of(name, role) for role in ("customer", "contract", "row", "product"))


def _counts(table: ibis.Table, engine: Engine) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Counts of each column, from one pass."""
    names = [name for name in table.columns if not table[name].type().is_nested()]
    exact = engine.count_rows(table) <= MOST_COUNTED
    facts: dict[str, ibis.Value] = {"rows": table.count()}
    for i, name in enumerate(names):
        text = table[name].cast("string")
        given = table[name].notnull() & (text.strip() != "")
        facts |= {
            f"given{i}": given.sum(),
            f"distinct{i}": table[name].nunique() if exact else table[name].approx_nunique(),
            f"form{i}": text.min(where=given),
        }
        if table[name].type().is_string():
            facts[f"free{i}"] = (table[name].length().mean() > LONG_TEXT) | (table[name].contains("@").mean() > 0.01)
    row = engine.to_arrow(table.aggregate(**facts)).to_pylist()[0]
    if not row["rows"]:
        raise EmptyError("the source has no rows to guess from; expected one row for each thing a customer did")
    for i, name in enumerate(names):
        own = {key: row[f"{key}{i}"] for key in ("given", "distinct", "form")}
        yield {"rows": row["rows"], "free": row.get(f"free{i}"), **own}, name


def _count(table: ibis.Table, row: Mapping[str, Any], name: str) -> ColumnProfile:
    rows, given, distinct = int(row["rows"]), int(row["given"] or 0), int(row["distinct"] or 0)
    few = 2 <= distinct <= MOST_CATEGORIES and distinct <= max(20, rows / 2)
    form = mask_text(row["form"]) if row["form"] is not None else ""
    return ColumnProfile(name, table[name].type(), rows, given, distinct, bool(row["free"]) or not few, form)


def _with_times(column: ColumnProfile, table: ibis.Table, engine: Engine) -> ColumnProfile:
    """The profile, with how its times are written if it holds times."""
    layout = decide_time_layout(table[column.name], engine)
    if not layout.kind or (layout.given and layout.readable < MIN_FIT * layout.given):
        return column
    values = table.select(value=table[column.name])
    times = layout.read(values.value, engine)
    moments = values.select(
        written=times.written, offset=ibis.literal(False) if times.offset is None else times.offset.notnull()
    )
    day = moments.written.date()
    facts = engine.to_arrow(
        moments.aggregate(
            clock=(moments.written != day.cast("timestamp")).any(),
            offset=moments.offset.any(),
            first=day.min(),
            last=day.max(),
            readable=moments.written.count(),
        )
    ).to_pylist()[0]
    if facts["readable"] < MIN_FIT * column.given:
        return column
    return replace(
        column,
        time=layout,
        has_clock=bool(facts["clock"]),
        has_offset=bool(facts["offset"]),
        first=facts["first"],
        last=facts["last"],
    )


def _with_numbers(column: ColumnProfile, table: ibis.Table, engine: Engine) -> ColumnProfile:
    """The profile, with facts about its numbers if it holds numbers."""
    values, style = table[column.name], NumberStyle()
    if column.type.is_string():
        style = decide_number_style(survey_numbers(values, engine))
        if not _are_numbers(style):
            return column
    number = (style.read(values) if column.type.is_string() else values.cast("float64")).name("number")
    numbers = number.as_table().filter(lambda t: t.number.notnull() & ~t.number.isnan() & ~t.number.isinf())
    size = numbers.number.abs()
    cents = (size % 1 > 0) & (((size * CENT + 0.5) % 1 - 0.5).abs() < 1e-4)
    facts = engine.to_arrow(
        numbers.aggregate(cents=cents.mean(), lowest=numbers.number.min(), total=numbers.number.sum())
    ).to_pylist()[0]
    return replace(
        column,
        is_number=True,
        decimals_unclear=bool(style.undecided),
        currency=bool(style.currencies),
        cents=facts["cents"] or 0.0,
        lowest=facts["lowest"] or 0.0,
        total=facts["total"] or 0.0,
    )


def _are_numbers(style: NumberStyle) -> bool:
    """Whether nearly all texts of a column are numbers."""
    return bool(style.given) and max(style.readable, style.undecided) >= MIN_FIT * style.given
