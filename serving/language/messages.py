"""Messages in the reader's language: English is in the code, translations are in `locale/LANGUAGE/*.po`.

A message is its English text, with slots in braces: `tr("{n} customers", n="12")`, where `tr` is a `Language`. A test
extracts every message of the package `serving` and requires a translation with the same slots in each language.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from serving.language.feature_phrases import Phrasebook

LOCALE = Path(__file__).parent / "locale"
PHRASES = "phrases.po"  # phrases of features; their slots differ


def N_(text: str) -> str:  # noqa: N802 (gettext's name for it)
    """Mark a message that is translated later, from a table of messages: `tr(TABLE[key])`."""
    return text


class Language:
    """One language: translates messages and the phrases of features.

    Args:
        code: 'en' or 'zh', as in `<html lang>`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self._messages = _messages(code)
        self._phrases = Phrasebook(_read(LOCALE / code / PHRASES) if code != "en" else {}, self)

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
        """Translate the phrase of a feature or the template of its reading; a user's own phrases stay as they are.

        A phrase that is translated already stays as it is, so translating twice does no harm.

        >>> tr = Language("zh")
        >>> tr.phrase("orders in the last 90 days"), tr.phrase("different product categories so far")
        ('近 90 天订单数', '累计购买的不同 product category 数')
        >>> tr.phrase("share of baskets with tea in the last 90 days")
        'share of baskets with tea in the last 90 days'
        """
        return self._phrases.say(text)


@lru_cache
def get_language(code: str) -> Language:
    """Return a language by its code."""
    return Language(code)


def language_codes() -> list[str]:
    """List the codes of all languages, English first."""
    return ["en", *sorted(place.name for place in LOCALE.iterdir() if place.is_dir())]


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
