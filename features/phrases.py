"""Formats numbers and fills templates as English text: '1 order', '34%', 'usually every 12 days'.

Imports nothing of ours, because registered models contain a copy of this file to write their reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Any

Row = Mapping[str, Any]


def fill_template(template: str, value: Any, row: Row) -> str:
    """Fill the template of a reading.

    Args:
        template: Text with slots such as `{value:#order}`: a name, and after the colon a format of `format_number`.
        value: The value for the slot `{value:...}`.
        row: The customer's features by name, for the other slots.

    Returns:
        The text; empty if a value that the template names is null.

    >>> fill_template("{value:#order}, usually every {gap_mean_days:days}", 1.0, {"gap_mean_days": 12.3})
    '1 order, usually every 12 days'
    """
    parts = []
    for literal, name, spec in _fields(template):
        parts.append(literal)
        if name:
            slot_value = value if name == "value" else row[name]
            if slot_value is None or slot_value != slot_value:
                return ""
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
        at_zero: The text for 0, if it is not empty.

    Returns:
        The text.

    >>> template = "{value:#order} so far"
    >>> format_reading(2.0, {}, template), format_reading(0.0, {}, template, at_zero="no order so far")
    ('2 orders so far', 'no order so far')
    """
    if value == 0 and at_zero:
        return at_zero
    return fill_template(reading, value, row) or unread


def format_number(number: float, unit: str) -> str:
    """Format a number by its unit: money with two decimals, a share in per cent, '#order' with its plural.

    'plain' gives all significant digits. In 'more|fewer|#order' the sign chooses the first or the second word, which
    follows the amount, or contains it in place of '*'.

    >>> format_number(1234.5, "money"), format_number(0.256, "share"), format_number(2.345, "number")
    ('1,234.50', '26%', '2.3')
    >>> format_number(1, "days"), format_number(2, "#order")
    ('1 day', '2 orders')
    >>> format_number(-2, "more|fewer|#order"), format_number(-2, "up by *|down by *|#order")
    ('2 orders fewer', 'down by 2 orders')
    >>> format_number(0.5, "above|below|number")
    '0.5 above'
    """
    if "|" in unit:
        above, below, size = unit.split("|")
        word, amount = below if number < 0 else above, format_number(abs(number), size)
        return word.replace("*", amount) if "*" in word else f"{amount} {word}"
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


def plural(noun: str) -> str:
    """Return the plural of a regular English noun.

    >>> plural("order"), plural("product category"), plural("box"), plural("day")
    ('orders', 'product categories', 'boxes', 'days')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


@lru_cache(maxsize=4096)
def _fields(template: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((literal, name or "", spec or "") for literal, name, spec, _ in Formatter().parse(template))
