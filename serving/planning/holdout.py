"""Who is held out of a campaign: drawn by a keyed hash, so that it stays the same however often one plans anew.

A draw depends on the campaign's name, the seed and the customer's id alone: not on who else there is, on their order
or on the share. A larger share keeps those held out before and adds others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def uniform_draws(customers: Iterable[str], campaign: str, seed: int) -> np.ndarray:
    """Numbers (n,) in [0, 1), uniform and independent over customers, and over campaigns and seeds.

    >>> draws(["a", "b"], "spring", 7).round(4).tolist() == draws(["b", "a"], "spring", 7).round(4).tolist()[::-1]
    True
    """
    key = hashlib.sha256(f"{len(campaign)}:{campaign}:{seed}".encode()).digest()
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8, key=key).digest() for one in customers)
    return (np.frombuffer(digests, ">u8") >> 11) / 2.0**53


def assign_holdout(customers: Iterable[str], campaign: str, seed: int, share: float) -> np.ndarray:
    """Who is held out (n,), each with probability `share`.

    >>> held_out(["a", "b", "c", "d"], "spring", 7, 0.5).tolist()
    [False, True, True, False]
    """
    return uniform_draws(customers, campaign, seed) < share
