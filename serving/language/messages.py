"""What people read, in their language: English is written in the code, others stand in `locale/LANGUAGE/*.po`.

A message is its English text, with slots in braces: `tr("{n} customers", n="12")`, where `tr` is a `Language`. A test
extracts every message of the room and asks each language for all of them, with the same slots.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from serving.language.feature_phrases import Phrasebook

LOCALE = Path(__file__).parent / "locale"
PHRASES = "phrases.po"  # of features, with slots of their own


def N_(text: str) -> str:  # noqa: N802 (gettext's name for it)
    """Marks a message that is said later, from a table of messages: `tr(TABLE[key])`."""
    return text


class Language:
    """One language: says messages, and the phrases of features.

    Args:
        code: 'en' or 'zh', as in `<html lang>`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self._messages = _messages(code)
        self._phrases = Phrasebook(_read(LOCALE / code / PHRASES) if code != "en" else {}, self)

    def __call__(self, message: str, **slots: object) -> str:
        """A message in this language, its slots filled; without a translation, in English.

        >>> Language("en")("{n} customers", n="12"), Language("zh")("{n} customers", n="12")
        ('12 customers', '12 位客户')
        """
        translation = self._messages.get(message, message)
        return translation.format(**slots) if slots else translation

    def many(self, one: str, other: str, n: int, **slots: object) -> str:
        """A message about `n` things, by its plural form; `{n}` is filled with thousands separators.

        >>> [Language(code).many("{n} customer", "{n} customers", 1) for code in ("en", "zh")]
        ['1 customer', '1 位客户']
        """
        return self(one if n == 1 and self.code == "en" else other, n=f"{n:,}", **slots)

    def phrase(self, text: str) -> str:
        """The phrase or the template of a reading of a feature in this language; one of your own as you wrote it.

        What is in this language already stays as it is, so it does no harm to ask twice.

        >>> tr = Language("zh")
        >>> tr.phrase("orders in the last 90 days"), tr.phrase("different product categories so far")
        ('近 90 天订单数', '累计购买的不同 product category 数')
        >>> tr.phrase("share of baskets with tea in the last 90 days")
        'share of baskets with tea in the last 90 days'
        """
        return self._phrases.say(text)


@lru_cache
def get_language(code: str) -> Language:
    """A language by its code."""
    return Language(code)


def language_codes() -> list[str]:
    """The codes of all languages, English first."""
    return ["en", *sorted(place.name for place in LOCALE.iterdir() if place.is_dir())]


@lru_cache
def _messages(code: str) -> dict[str, str]:
    messages: dict[str, str] = {}
    for path in sorted((LOCALE / code).glob("*.po")):
        messages |= _read(path) if path.name != PHRASES else {}
    return messages


def _read(path: Path) -> dict[str, str]:
    """The translations of a file that are there."""
    from babel.messages.pofile import read_po  # Spark's workers mark messages, and say none

    with path.open("rb") as file:
        catalog: Any = read_po(file, locale=path.parent.name)
    return {message.id: message.string for message in catalog if message.id and message.string}


ENGLISH = get_language("en")
