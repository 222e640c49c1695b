r"""The ways in which an id may be written in a file: escaped for HTML, JSON, URLs, CSV, SQL or a terminal.

A text is searched as it is and with each of these escapes taken back, also two of them (JSON in HTML). Letters that
Unicode can write in several ways are compared in one form.
"""

from __future__ import annotations

import html
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal
from urllib.parse import quote, quote_plus, unquote_plus

from features.errors import printable

FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
BACKSLASH = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|([nrt"'/\\]))""")
SHORT_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
CHARACTER = re.compile(r"_x([0-9A-Fa-f]{4})_")  # as Excel writes control characters


def same_names(names: Iterable[str]) -> frozenset[str]:
    r"""Names in every form in which Unicode may write their letters; most ids have only one.

    >>> len(same_names({"C-7"})), len(same_names({"caf\u00e9"}))
    (1, 2)
    """
    return frozenset(
        form for name in names for form in (name, *(unicodedata.normalize(form, name) for form in FORMS)) if form
    )


def written_forms(name: str) -> frozenset[str]:
    """A name as it may stand in a text: plain, or escaped in one or two of the usual ways.

    >>> sorted(written_forms("C-7"))
    ['C-7']
    >>> "a%26b" in written_forms("a&b"), "a&amp;b" in written_forms("a&b")
    (True, True)
    """
    once = {escape(name) for escape in ESCAPES}
    return frozenset({name, *once, *(escape(form) for form in once for escape in ESCAPES)})


def plain_texts(text: str) -> Iterator[str]:
    r"""A text as it is, and with one or two sorts of escapes taken back; each differs from those before.

    >>> list(plain_texts("a%26b")), list(plain_texts("say &quot;x&quot;"))[1]
    (['a%26b', 'a&b'], 'say "x"')
    """
    seen = {text}
    yield text
    able = [(mark, undo) for mark, undo in UNDO if mark in text]
    ways: list[tuple[Callable[[str], str], ...]] = [(undo,) for _, undo in able]
    ways += [(first, second) for first in (undo for _, undo in able) for second in (undo for _, undo in UNDO)]
    for way in ways:
        plain = text
        for undo in way:
            plain = undo(plain)
        if plain not in seen:
            seen.add(plain)
            yield plain


def one_form(text: str) -> str:
    """A text in the form in which ids are compared: letters that look the same are the same."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _without_backslashes(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        if match[4]:
            return SHORT_ESCAPES.get(match[4], match[4])
        code = int(match[1] or match[2] or match[3], 16)
        return chr(code) if code <= sys.maxunicode else match[0]

    plain = BACKSLASH.sub(character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs of \\u are one character


def _without_marks(text: str) -> str:
    return CHARACTER.sub(lambda match: chr(int(match[1], 16)), text)


UNDO: tuple[tuple[str, Callable[[str], str]], ...] = (  # by a mark without which there is nothing to undo
    ("&", html.unescape),
    ("%", unquote_plus),
    ("\\", _without_backslashes),
    ('""', lambda text: text.replace('""', '"')),
    ("''", lambda text: text.replace("''", "'")),
    ("_x", _without_marks),
)
ESCAPES: tuple[Callable[[str], str], ...] = (
    html.escape,
    lambda name: html.escape(name, quote=False),
    lambda name: html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    lambda name: name.encode("ascii", "xmlcharrefreplace").decode(),
    lambda name: json.dumps(name)[1:-1],
    lambda name: json.dumps(name, ensure_ascii=False)[1:-1],
    lambda name: json.dumps(name)[1:-1].replace("/", "\\/"),
    lambda name: quote(name, safe="", errors="replace"),
    lambda name: quote(name, errors="replace"),
    lambda name: quote_plus(name, errors="replace"),
    lambda name: name.replace('"', '""'),
    lambda name: name.replace("'", "''"),
    lambda name: repr(name)[1:-1],
    lambda name: ascii(name)[1:-1],
    printable,
)
