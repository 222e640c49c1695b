"""A customer's mentions in text and in JSON: where they are, and the same without them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

ID, PLACEHOLDER = "customer_id", "(forgotten)"
MIN_LETTERS = 8  # letters of an id that is no word of ours
Digests = Mapping[str, tuple[str, int | None]]  # the new checksum of a file and the rows left, by the old one


def names_customer(text: str, names: frozenset[str], alone: bool = False) -> bool:
    """Whether a text names a customer, as a word of its own; a number, a short word, or `alone`, only if quoted.

    >>> named_in("customers such as 'C-7', 'C-8'", frozenset({"C-8"})), named_in("C-88", frozenset({"C-8"}))
    (True, False)
    >>> named_in("12 customers", frozenset({"12"})), named_in("<td>12</td>", frozenset({"12"}))
    (False, True)
    """
    return any(name in text and re.search(_pattern(name, alone), text) for name in names)


def without_customer(value: Any, names: frozenset[str], digests: Digests, key: str = "") -> Any:
    """A value of JSON without the customer, and with the new checksums and rows of files that change.

    A number, or a short word, may be anything: it is the customer only under a key that says so, or in quotes.

    >>> mended({"customers": ["7", "8"], "note": "see '8'", "version": "8"}, frozenset({"8"}), {})
    {'customers': ['7'], 'note': "see '(forgotten)'", 'version': '8'}
    """
    if isinstance(value, dict):
        new = {name: without_customer(inner, names, digests, str(name)) for name, inner in value.items()}
        _, rows = digests.get(str(value.get("sha256")), ("", None))
        return {**new, "rows": rows} if rows is not None and "rows" in new else new
    if isinstance(value, list):
        return [without_customer(one, names, digests, key) for one in value if not _is_of(one, names, key)]
    if isinstance(value, str):
        return PLACEHOLDER if _is(value, names, key) else digests.get(value, (None,))[0] or _text(value, names)
    return value


def line_without_customer(line: str, names: frozenset[str], digests: Digests) -> str:
    """The same of a line of JSON, as text; nothing is left of one that was cut off and names the customer."""
    try:
        value = json.loads(line)
    except ValueError:  # the last one, cut off by the death of its run
        return "" if names_customer(line, names) else line
    new = without_customer(value, names, digests)
    return line if new == value else json.dumps(new, ensure_ascii=line.isascii()) + "\n"


def _is_of(value: Any, names: frozenset[str], key: str) -> bool:
    """Whether an element of a list is the customer's: the id, or a row of theirs."""
    if isinstance(value, dict):
        return any(_is(str(inner), names, name) for name, inner in value.items() if _of_customers(name))
    return isinstance(value, str | int) and _is(str(value), names, key)


def _is(text: str, names: frozenset[str], key: str) -> bool:
    """Whether a whole text under a key is the customer's id."""
    return text in names and (_of_customers(key) or _telling(text))


def _of_customers(key: str) -> bool:
    """Whether what stands under a key are ids.

    >>> _of_customers("customers"), _of_customers("customer_id"), _of_customers("version")
    (True, True, False)
    """
    return key in ("ids", "who") or "customer" in key


def _telling(name: str) -> bool:
    """Whether an id can be nothing else, wherever it stands.

    >>> _telling("C-1042"), _telling("1042"), _telling("web")
    (True, False, False)
    """
    return not name.isdigit() and (any(map(str.isdigit, name)) or len(name) >= MIN_LETTERS)


def _text(text: str, names: frozenset[str]) -> str:
    """A text with the customer's name taken out."""
    for name in names:
        text = re.sub(_pattern(name), PLACEHOLDER, text) if name in text else text
    return text


def _pattern(name: str, alone: bool = False) -> str:
    if alone or not _telling(name):
        return rf"(?<=['\">]){re.escape(name)}(?=['\"<])"
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
