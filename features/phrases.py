"""Numbers and templates in words: '1 order', '34%', 'usually every 12 days'.

Imports nothing of ours: registered models carry this file to word their reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Any

Row = Mapping[str, Any]


def fill_template(template: str, value: Any, row: Row) -> str:
    """Fills a reading's template; empty where a value that it names is null.

    >>> fill("{value:#order}, usually every {gap_mean_days:days}", 1.0, {"gap_mean_days": 12.3})
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
    """A level in words: 'new=first orders' names it; one that is not named is said as it is.

    >>> level("new", "new=first orders|active=regular"), level("gold", "level")
    ('first orders', 'gold')
    """
    return dict(pair.split("=", 1) for pair in spec.split("|") if "=" in pair).get(name, name)


def format_reading(value: Any, row: Row, reading: str, unread: str = "", at_zero: str = "") -> str:
    """A customer's value in words: the template of its reading, or what is said of 0 and of a null.

    >>> tell(2.0, {}, "{value:#order} so far"), tell(0.0, {}, "{value:#order} so far", at_zero="no order so far")
    ('2 orders so far', 'no order so far')
    """
    if value == 0 and at_zero:
        return at_zero
    return fill_template(reading, value, row) or unread


def format_number(number: float, unit: str) -> str:
    """A number in words: money with two digits, shares in per cent, '#order' with its plural, a sign as a word.

    'plain' leaves the number as it is. A sign's word follows the number, or has it where its '*' stands.

    >>> say(1234.5, "money"), say(0.256, "share"), say(1, "days"), say(2, "#order"), say(2.345, "number")
    ('1,234.50', '26%', '1 day', '2 orders', '2.3')
    >>> say(-2, "more|fewer|#order"), say(0.5, "above|below|number"), say(-2, "up by *|down by *|#order")
    ('2 orders fewer', '0.5 above', 'down by 2 orders')
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
    """The plural of an English noun, by rule.

    >>> plural("order"), plural("product category"), plural("box"), plural("day")
    ('orders', 'product categories', 'boxes', 'days')
    """
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


@lru_cache(maxsize=4096)
def _fields(template: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((literal, name or "", spec or "") for literal, name, spec, _ in Formatter().parse(template))
