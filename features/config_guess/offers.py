"""Which kinds can be offered to a customer: a product or a category can; a store, a country or a channel cannot."""

from __future__ import annotations

from collections.abc import Sequence

from features.config_guess.column_words import has_word, names_an_id_of


def guess_offers(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds whose names say that they are sold, and not where or how; in their order.

    >>> guess_offers(["department", "store_id", "product_category", "Country", "store brand", "itemid", "colour"])
    ('department', 'product_category', 'itemid')
    """
    return tuple(kind for kind in kinds if _is_sold(kind) and not has_word(kind, "place"))


def _is_sold(kind: str) -> bool:
    return has_word(kind, "offer", "product") or names_an_id_of(kind, "product")
