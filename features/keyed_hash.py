"""A keyed hash of text: what stands for a customer's id where the id itself is not to be kept."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pyarrow as pa

HASH_BYTES = 16  # of the 32 of SHA-256: 128 bits, at least half of them as RFC 2104 wants it


def hash_texts(texts: pa.Array, key: bytes) -> pa.Array:
    """HMAC-SHA256 (RFC 2104) of texts (n,) in UTF-8, its first 128 bits in hex; null stays null.

    Two of n customers get the same hash with a probability below n^2 / 2^129: for a thousand million, 1.5e-21.

    >>> hash_texts(pa.array(["C-1042", None]), b"a key of thirty-two characters..").to_pylist()
    ['c447bb472c67bf0f960dd61acb0b55d8', None]
    """
    return pa.array([None if text is None else hash_text(text, key) for text in texts.to_pylist()], pa.string())


def text_hasher(key: bytes) -> Callable[[pa.Array], pa.Array]:
    """`keyed` by one key, as engines want a function."""

    def by_key(texts: pa.Array) -> pa.Array:
        return hash_texts(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts, key)

    return by_key


def hash_text(text: str, key: bytes) -> str:
    """The same of one text."""
    return hmac.digest(key, text.encode(), "sha256")[:HASH_BYTES].hex()
