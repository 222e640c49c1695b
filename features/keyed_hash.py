"""Keyed hashes of text, stored instead of customers' ids when ids must not be kept."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pyarrow as pa

HASH_BYTES = 16  # of the 32 of SHA-256: 128 bits; RFC 2104 recommends at least half


def hash_texts(texts: pa.Array, key: bytes) -> pa.Array:
    """Return the first 128 bits of the HMAC-SHA256 (RFC 2104) of texts (n,) in UTF-8, in hex; null stays null.

    The probability that any two of n customers get the same hash is below n^2 / 2^129: 1.5e-21 for 10^9 customers.

    >>> hash_texts(pa.array(["C-1042", None]), b"a key of thirty-two characters..").to_pylist()
    ['c447bb472c67bf0f960dd61acb0b55d8', None]
    """
    return pa.array([None if text is None else hash_text(text, key) for text in texts.to_pylist()], pa.string())


def text_hasher(key: bytes) -> Callable[[pa.Array], pa.Array]:
    """Return the function `hash_texts` with a fixed key, in the form that engines need."""

    def by_key(texts: pa.Array) -> pa.Array:
        return hash_texts(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts, key)

    return by_key


def hash_text(text: str, key: bytes) -> str:
    """Return the hash of one text."""
    return hmac.digest(key, text.encode(), "sha256")[:HASH_BYTES].hex()
