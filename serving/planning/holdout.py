"""Random assignment of the holdout by a keyed hash, so that planning again holds out the same customers.

A customer's random number depends only on a key, the seed and the customer's id: not on the other customers, their
order or the share. The key names the cutoff, so that each cutoff has a draw of its own. With a larger share, customers
held out before stay held out and more are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def uniform_draws(customers: Iterable[str], key: str, seed: int) -> np.ndarray:
    """Draws a uniform random number for each customer, independent over customers, keys and seeds.

    Args:
        customers: Customer ids, n of them.
        key: Names the draw, such as the cutoff.
        seed: Seed of the assignment.

    Returns:
        (n,) numbers in [0, 1).

    >>> uniform_draws(["a", "b"], "spring", 7).tolist() == uniform_draws(["b", "a"], "spring", 7).tolist()[::-1]
    True
    """
    secret = hashlib.sha256(f"{len(key)}:{key}:{seed}".encode()).digest()
    digests = b"".join(hashlib.blake2b(customer.encode(), digest_size=8, key=secret).digest() for customer in customers)
    return (np.frombuffer(digests, ">u8") >> 11) / 2.0**53


def assign_holdout(customers: Iterable[str], key: str, seed: int, share: float) -> np.ndarray:
    """Assigns customers to the holdout, each with probability `share`.

    Args:
        customers: Customer ids, n of them.
        key: Names the draw, such as the cutoff.
        seed: Seed of the assignment.
        share: Probability of being held out.

    Returns:
        (n,) whether a customer is held out.

    >>> assign_holdout(["a", "b", "c", "d"], "spring", 7, 0.5).tolist()
    [False, True, True, False]
    """
    return uniform_draws(customers, key, seed) < share
