"""Names of columns, sections and segments as parts of other names: letters and digits of any script, joined by '_'."""

from __future__ import annotations

import re
import unicodedata

CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def word_slug(text: str) -> str:
    """Return a text with '_' in place of everything but letters, digits and the marks that belong to letters.

    A text without letters and digits becomes the numbers of its characters, so that only the empty text has an empty
    slug.

    >>> word_slug("tier: high"), word_slug("品类 (一级)"), word_slug("ग्राहक"), word_slug("€"), word_slug("")
    ('tier_high', '品类_一级', 'ग्राहक', 'u20ac', '')
    """
    composed = unicodedata.normalize("NFC", text)
    slug = re.sub(" +", "_", "".join(c if _is_word(c) else " " for c in composed)).strip("_")
    return slug or "_".join(f"u{ord(c):x}" for c in composed)


def feature_slug(name: str) -> str:
    """Return a column's name in the form that features' names use.

    >>> feature_slug("StockCode"), feature_slug("store id"), feature_slug("商品"), feature_slug("🛒")
    ('stock_code', 'store_id', '商品', 'u1f6d2')
    """
    return word_slug(CAMEL_CASE.sub("_", name)).lower()


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")
