"""Formats numbers and fills templates as English text: '1 order', '34%', 'usually every 12 days'.

Imports nothing of ours, because registered models contain a copy of this file to write their reasons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Fields = tuple[tuple[str, str, str], ...]  # literal text, and the name and format of the slot after it
OPTIONAL = re.compile(r"\[\[(.*?)\]\]")
FORMATS: dict[str, Callable[[float], str]] = {
    "money": "{:,.2f}".format, "share": "{:.0%}".format, "number": "{:,.1f}".format, "plain": "{:,.10g}".format,
    "count": "{:,.0f}".format,
}  # fmt: skip


class Choices(NamedTuple):
    """The words that `format_number` chooses from, and the number to compare with."""

    above: str
    below: str
    equal: str | None
    unit: str
    compared: bool
    pivot: float
    pivot_text: str


def fill_template(template: str, value: Any, row: Row) -> str:
    """Fill the template of a reading.

    Args:
        template: Text with slots such as `{value:#order}`: a name, and after the colon a format of `format_number`. A
            part in double brackets is left out if a value that it names is null.
        value: The value for the slot `{value:...}`.
        row: The customer's features by name, for the other slots.

    Returns:
        The text; empty if a value that the template names is null.

    >>> fill_template("{value:#order}, usually every {gap_mean_days:days}", 1.0, {"gap_mean_days": 12.3})
    '1 order, usually every 12 days'
    >>> [fill_template("{value:#order}[[, usually {usual:number}]]", 1.0, {"usual": usual}) for usual in (2.5, None)]
    ['1 order, usually 2.5', '1 order']
    """
    filled = ""
    for optional, fields in _sections(template):
        text = _fill_fields(fields, value, row)
        if text is not None:
            filled += text
        elif not optional:
            return ""
    return filled


def _fill_fields(fields: Fields, value: Any, row: Row) -> str | None:
    """Fill the fields of a section; None if a value that it names is null."""
    text = ""
    for literal, name, spec in fields:
        text += literal
        if name:
            slot_value = value if name == "value" else row[name]
            if slot_value is None or slot_value != slot_value:
                return None
            named = isinstance(slot_value, str)
            text += format_level(slot_value, spec) if named else format_number(float(slot_value), spec)
    return text


def format_level(name: str, spec: str = "") -> str:
    """Format a category: 'new=first orders' gives it a name; a category without a name is returned unchanged.

    >>> format_level("new", "new=first orders|active=regular"), format_level("gold", "level")
    ('first orders', 'gold')
    """
    return dict(pair.split("=", 1) for pair in spec.split("|") if "=" in pair).get(name, name)


def format_reading(value: Any, row: Row, reading: str, unread: str = "", at_zero: str = "") -> str:
    """Format a customer's value of a feature as text.

    Args:
        value: The value, or None.
        row: The customer's features by name, for other slots of the template.
        reading: The template, as in `fill_template`.
        unread: The text if the value, or another value that the template names, is null.
        at_zero: The template for 0, if it is not empty.

    Returns:
        The text.

    >>> template = "{value:#order} so far"
    >>> format_reading(2.0, {}, template), format_reading(0.0, {}, template, at_zero="no order so far")
    ('2 orders so far', 'no order so far')
    """
    if value is None or value != value:
        return unread
    return fill_template(at_zero if value == 0 and at_zero else reading, value, row) or unread


def format_number(number: float, unit: str) -> str:
    """Format a number by its unit: money with two decimals, a share in per cent, '#order' with its plural.

    'plain' gives all significant digits. In 'more|fewer|#order' the sign chooses the first or the second word, which
    follows the amount, or contains it in place of '*'. After a '?' stands another number than 0 to compare with, before
    it a unit or nothing (only the word is written); a third word is for a number that reads like it.

    >>> format_number(1234.5, "money"), format_number(0.256, "share"), format_number(2.345, "number")
    ('1,234.50', '26%', '2.3')
    >>> format_number(1, "days"), format_number(2, "#order")
    ('1 day', '2 orders')
    >>> format_number(-2, "more|fewer|#order"), format_number(-2, "up by *|down by *|#order")
    ('2 orders fewer', 'down by 2 orders')
    >>> format_number(0.3, "more than *|less than *|share?0.5"), format_number(1.04, "more|less|as many|?1")
    ('less than 30%', 'as many')
    """
    if unit in FORMATS:
        return FORMATS[unit](number)
    if "|" in unit:
        return _choose_word(number, _choices(unit))
    one, many = _nouns(unit)
    return f"{number:,.0f} {one if round(number) == 1 else many}"


def _choose_word(number: float, choices: Choices) -> str:
    """Choose one of two or three words by comparing a number."""
    shown = number if choices.compared else abs(number)
    amount = format_number(shown, choices.unit) if choices.unit else ""
    if choices.equal is not None and (amount or format_number(shown, "number")) == choices.pivot_text:
        return choices.equal.replace("*", amount)
    word = choices.below if number < choices.pivot else choices.above
    return word.replace("*", amount) if "*" in word or not choices.unit else f"{amount} {word}"


@lru_cache(maxsize=1024)
def _choices(unit: str) -> Choices:
    """Split 'above|below|equal|unit?pivot', of which 'equal|' and '?pivot' may be missing."""
    above, below, *equal, size = unit.split("|")
    own_unit, compared, pivot = size.partition("?")
    pivot_text = format_number(float(pivot or 0), own_unit or "number")
    return Choices(above, below, equal[0] if equal else None, own_unit, bool(compared), float(pivot or 0), pivot_text)


@lru_cache(maxsize=1024)
def _nouns(unit: str) -> tuple[str, str]:
    """The singular and the plural of a unit such as 'days' or '#order'."""
    noun = unit.removeprefix("#") if unit.startswith("#") else unit.removesuffix("s")
    return noun, plural(noun)


def plural(noun: str) -> str:
    """Return the plural of a regular English noun.

    >>> plural("order"), plural("product category"), plural("box"), plural("day")
    ('orders', 'product categories', 'boxes', 'days')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


@lru_cache(maxsize=4096)
def _sections(template: str) -> tuple[tuple[bool, Fields], ...]:
    """Split a template into sections: whether each is optional, and its fields."""
    return tuple((place % 2 == 1, _fields(text)) for place, text in enumerate(OPTIONAL.split(template)) if text)


def _fields(text: str) -> Fields:
    return tuple((literal, name or "", spec or "") for literal, name, spec, _ in Formatter().parse(text))
