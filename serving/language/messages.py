"""Messages in the reader's language: English is in the code, translations are in `locale/LANGUAGE/*.po`.

A message is its English text, with slots in braces: `tr("{n} customers", n="12")`, where `tr` is a `Language`. A test
extracts every message of the package `serving` and requires a translation with the same slots in each language.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from features.templates import Phrase, fill_slots

LOCALE = Path(__file__).parent / "locale"
PHRASES = "phrases.po"  # templates of features' texts; their slots differ
TIGHT = re.compile(r"(?<=[\u3000-\u9fff]) (?=[\u3000-\u9fff])")  # a space between two Chinese characters


def N_(text: str) -> str:  # noqa: N802 (gettext's name for it)
    """Mark a message that is translated later, from a table of messages: `tr(TABLE[key])`."""
    return text


class Language:
    """One language: translates messages and the phrases of features.

    Args:
        code: 'en' or 'zh', as in `<html lang>`.
        currency: The code of the currency of all money, or empty text; `NumberFormat.money` writes it.
    """

    def __init__(self, code: str, currency: str = "") -> None:
        self.code, self.currency = code, currency
        self._messages = _messages(code)
        self._phrases = _read(LOCALE / code / PHRASES) if code != "en" else {}

    def __call__(self, message: str, **slots: object) -> str:
        """Translate a message and fill its slots; a message without a translation stays in English.

        >>> Language("en")("{n} customers", n="12"), Language("zh")("{n} customers", n="12")
        ('12 customers', '12 位客户')
        """
        translation = self._messages.get(message, message)
        return translation.format(**slots) if slots else translation

    def many(self, one: str, other: str, n: int, **slots: object) -> str:
        """Translate a message about `n` things.

        Args:
            one: The message for one.
            other: The message for any other number.
            n: The number; it fills the slot `{n}`, with thousands separators.
            slots: Fill the other slots.

        Returns:
            The translated message.

        >>> [Language(code).many("{n} customer", "{n} customers", 1) for code in ("en", "zh")]
        ['1 customer', '1 位客户']
        """
        return self(one if n == 1 and self.code == "en" else other, n=f"{n:,}", **slots)

    def phrase(self, text: str) -> str:
        """Translate a text of a feature by its template, and fill in the same slots.

        A text without a translation stays as it is, such as one of the user's own features.

        >>> from features.templates import phrase
        >>> tr = Language("zh")
        >>> tr.phrase(phrase("orders in the last <days> days", days=90)), tr.phrase("orders so far")
        ('近 90 天订单数', '累计订单数')
        >>> tr.phrase("share of baskets with tea in the last 90 days")
        'share of baskets with tea in the last 90 days'
        """
        if not isinstance(text, Phrase):
            return self._phrases.get(text, text)
        if text.template not in self._phrases:
            return text
        return TIGHT.sub("", fill_slots(self._phrases[text.template], text.slots))


@lru_cache
def get_language(code: str, currency: str = "") -> Language:
    """Return a language by its code, for a business whose money is in a currency (a code, or empty)."""
    return Language(code, currency)


@lru_cache
def _messages(code: str) -> dict[str, str]:
    messages: dict[str, str] = {}
    for path in sorted((LOCALE / code).glob("*.po")):
        messages |= _read(path) if path.name != PHRASES else {}
    return messages


def _read(path: Path) -> dict[str, str]:
    """Read the translations of a file; untranslated messages are left out."""
    from babel.messages.pofile import read_po  # imported late: Spark's workers only mark messages

    with path.open("rb") as file:
        catalog: Any = read_po(file, locale=path.parent.name)
    return {message.id: message.string for message in catalog if message.id and message.string}


ENGLISH = get_language("en")
