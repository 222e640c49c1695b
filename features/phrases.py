"""Formats numbers and fills templates as English text: '1 order', '34%', 'usually every 12 days'.

Imports nothing of ours, because registered models contain a copy of this file to write their reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Any

Row = Mapping[str, Any]
Fields = tuple[tuple[str, str, str], ...]  # literal text, and the name and format of the slot after it
OPTIONAL = re.compile(r"\[\[(.*?)\]\]")


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
    parts = []
    for optional, fields in _sections(template):
        text = _fill_fields(fields, value, row)
        if text is None and not optional:
            return ""
        parts.append(text or "")
    return "".join(parts)


def _fill_fields(fields: Fields, value: Any, row: Row) -> str | None:
    """Fill the fields of a section; None if a value that it names is null."""
    parts = []
    for literal, name, spec in fields:
        parts.append(literal)
        if name:
            slot_value = value if name == "value" else row[name]
            if slot_value is None or slot_value != slot_value:
                return None
            parts.append(
                format_level(slot_value, spec)
                if isinstance(slot_value, str)
                else format_number(float(slot_value), spec)
            )
    return "".join(parts)


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
    if "|" in unit:
        return _choose_word(number, *unit.split("|"))
    if unit == "money":
        return f"{number:,.2f}"
    if unit == "share":
        return f"{number:.0%}"
    if unit == "number":
        return f"{number:,.1f}"
    if unit == "plain":
        return f"{number:,.10g}"
    if unit == "count":
        return f"{number:,.0f}"
    noun = unit.removeprefix("#") if unit.startswith("#") else unit.removesuffix("s")
    return f"{number:,.0f} {noun if round(number) == 1 else plural(noun)}"


def _choose_word(number: float, above: str, below: str, *rest: str) -> str:
    """Choose one of two or three words by comparing a number; the last argument is its unit, '?' and the pivot."""
    *equal, size = rest
    unit, compared, pivot_text = size.partition("?")
    pivot = float(pivot_text or 0)
    shown = number if compared else abs(number)
    amount = format_number(shown, unit) if unit else ""
    if equal and format_number(shown, unit or "number") == format_number(pivot, unit or "number"):
        return equal[0].replace("*", amount)
    word = below if number < pivot else above
    return word.replace("*", amount) if "*" in word or not unit else f"{amount} {word}"


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
