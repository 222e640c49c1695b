"""Finds and removes mentions of a customer in text and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from serving.privacy.spellings import one_form, plain_texts, same_names, written_forms

ID, PLACEHOLDER = "customer_id", "(forgotten)"
NEVER_ESCAPED = re.compile(r"[A-Za-z0-9_.-]+")  # ids that are written in one way only
MIN_LETTERS, MIN_OTHER_LETTERS = 8, 3  # letters from which an id without digits is distinctive, ASCII and others
Digests = Mapping[str, tuple[str, int | None]]  # the new checksum of a file and the rows left, by the old one


def names_customer(text: str, names: frozenset[str], quoted_only: bool = False) -> bool:
    """Whether a text names a customer, as a separate word; a number or a short word counts only if quoted.

    Args:
        text: The text.
        names: The customer's ids.
        quoted_only: Counts only quoted ids, or ids that fill an HTML element.

    Returns:
        True if the customer is named.

    >>> names_customer("customers such as 'C-7', 'C-8'", frozenset({"C-8"})), names_customer("C-88", frozenset({"C-8"}))
    (True, False)
    >>> names_customer("12 customers", frozenset({"12"})), names_customer("<td>12</td>", frozenset({"12"}))
    (False, True)
    """
    pattern = _names_pattern(names, quoted_only)
    if all(NEVER_ESCAPED.fullmatch(name) for name in names):
        return any(name in text for name in names) and pattern.search(text) is not None
    return any(pattern.search(one_form(plain)) for plain in plain_texts(text))


def without_customer(value: Any, names: frozenset[str], digests: Digests, key: str = "") -> Any:
    """Removes a customer from a JSON value, and updates checksums and row counts of files that change.

    A number or a short word is ambiguous: it counts as the customer only under a key for customers, or in quotes.

    Args:
        value: The JSON value.
        names: The customer's ids.
        digests: The new checksum and rows of changed files, by their old checksum.
        key: The key that the value is stored under.

    Returns:
        The new value.

    >>> without_customer({"customers": ["7", "8"], "note": "see '8'", "version": "8"}, frozenset({"8"}), {})
    {'customers': ['7'], 'note': "see '(forgotten)'", 'version': '8'}
    """
    if isinstance(value, dict):
        new = {
            _new_key(name, names): without_customer(inner, names, digests, str(name)) for name, inner in value.items()
        }
        _, rows = digests.get(str(value.get("sha256")), ("", None))
        return {**new, "rows": rows} if rows is not None and "rows" in new else new
    if isinstance(value, list):
        return [
            without_customer(item, names, digests, key) for item in value if not _is_customers_element(item, names, key)
        ]
    if isinstance(value, str):
        return (
            PLACEHOLDER
            if _is_customer_id(value, names, key)
            else digests.get(value, (None,))[0] or text_without_customer(value, names)
        )
    return value


def line_without_customer(line: str, names: frozenset[str], digests: Digests) -> str:
    """Removes a customer from a line of JSON; a truncated line that names the customer is removed completely.

    Args:
        line: The line, with its line break.
        names: The customer's ids.
        digests: The new checksum and rows of changed files, by their old checksum.

    Returns:
        The new line; '' if it is removed.
    """
    try:
        value = json.loads(line)
    except ValueError:  # the last line, truncated when its run was killed
        return "" if names_customer(line, names) else line
    new = without_customer(value, names, digests)
    return line if new == value else json.dumps(new, ensure_ascii=line.isascii()) + "\n"


def _is_customers_element(value: Any, names: frozenset[str], key: str) -> bool:
    """Whether an element of a list is the customer's id or a row of the customer."""
    if isinstance(value, dict):
        return any(_is_customer_id(str(inner), names, name) for name, inner in value.items() if _key_holds_ids(name))
    return isinstance(value, str | int) and _is_customer_id(str(value), names, key)


def _is_customer_id(text: str, names: frozenset[str], key: str) -> bool:
    """Whether a complete value under a key is the customer's id."""
    return text in same_names(names) and (_key_holds_ids(key) or _is_distinctive(text))


def _new_key(key: str, names: frozenset[str]) -> str:
    """A key of an object, without the customer's id."""
    return PLACEHOLDER if _is_customer_id(key, names, "") else text_without_customer(key, names)


def _key_holds_ids(key: str) -> bool:
    """Whether the values under a key are customer ids.

    >>> _key_holds_ids("customers"), _key_holds_ids("customer_id"), _key_holds_ids("version")
    (True, True, False)
    """
    return key in ("ids", "who", "strangers") or "customer" in key


def _is_distinctive(name: str) -> bool:
    """Whether an id cannot be confused with a number or a common word.

    >>> _is_distinctive("C-1042"), _is_distinctive("1042"), _is_distinctive("web"), _is_distinctive("R&D")
    (True, False, False, True)
    """
    if name.isdigit():
        return False
    unusual = any(not (c.isalnum() or c in " -_") for c in name) or (
        not name.isascii() and len(name) >= MIN_OTHER_LETTERS
    )
    return unusual or any(map(str.isdigit, name)) or len(name) >= MIN_LETTERS


def text_without_customer(text: str, names: frozenset[str]) -> str:
    """A text with the customer's ids replaced by a placeholder, however they are escaped.

    >>> text_without_customer("see /customer?id=a%26b for 'a&b'", frozenset({"a&b"}))
    "see /customer?id=(forgotten) for '(forgotten)'"
    """
    if not names_customer(text, names):
        return text
    for name in sorted(same_names(names), key=len, reverse=True):
        for form in sorted(written_forms(name), key=len, reverse=True):
            if form in text:
                text = re.sub(_pattern(form, name), PLACEHOLDER, text)
    return PLACEHOLDER if names_customer(text, names) else text


@cache
def _names_pattern(names: frozenset[str], quoted_only: bool) -> re.Pattern[str]:
    """Finds a name in a text whose escapes are taken back and whose letters are in one form."""
    forms = {one_form(name): name for name in same_names(names)}
    return re.compile("|".join(_pattern(form, name, quoted_only) for form, name in forms.items()) or r"(?!)")


def _pattern(form: str, name: str, quoted_only: bool = False) -> str:
    """Finds a form of a name as a separate word; a number or a short word only in quotes, a cell or an address."""
    text = re.escape(form)
    if quoted_only or not _is_distinctive(name):
        return rf"(?<=['\">]){text}(?=['\"<])|(?<=[?&]id=){text}(?=[&#'\"<\s]|\Z)"
    return rf"(?<![\w-]){text}(?![\w-])"
