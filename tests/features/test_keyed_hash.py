"""The keyed hash is HMAC-SHA256 as RFC 2104 defines it, computed here from its definition."""

from __future__ import annotations

import hashlib

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.keyed_hash import HASH_BYTES, hash_text, hash_texts


def by_definition(text: str, key: bytes) -> str:
    """H((K xor opad) + H((K xor ipad) + text)), for a key of at most a block; a longer one is hashed first."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text.encode()).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


@settings(max_examples=50, deadline=None)
@given(st.text(), st.binary(min_size=32, max_size=80))
def test_it_is_hmac_cut_to_128_bits(text: str, key: bytes) -> None:
    assert hash_text(text, key) == by_definition(text, key)[: 2 * HASH_BYTES]
    assert HASH_BYTES >= 16


def test_null_stays_null_and_a_column_is_its_texts() -> None:
    key = b"k" * 32
    assert hash_texts(pa.array(["a", None, "商"]), key).to_pylist() == [hash_text("a", key), None, hash_text("商", key)]
    assert hash_texts(pa.array([], pa.string()), key).type == pa.string()
