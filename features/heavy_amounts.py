"""Amounts so large that a few of them outweigh all others: mostly mistyped, and ruinous for means and totals."""

from __future__ import annotations

import numpy as np

HEAVY_SHARE = 0.05  # of all smaller amounts together; an amount above it is heavy
NOTED_RATIO, CAPPED_RATIO = 100.0, 1000.0  # to the median; a heavy amount is above it, to be noted or capped
FEWEST_AMOUNTS = 50  # with fewer, none is called heavy


def count_heavy(largest: np.ndarray, total: float, count: int, median: float, ratio: float) -> int:
    """How many of the largest amounts are heavy.

    An amount is heavy if it is above `ratio` times the median, and above a twentieth of all smaller amounts together;
    so is each amount above a heavy one. At most a fiftieth of the amounts, and two more, can be heavy.

    Args:
        largest: The largest amounts (k,), above 0, descending.
        total: The sum of all amounts.
        count: How many there are.
        median: Their median.
        ratio: How many times the median a heavy amount is at least.

    Returns:
        The number of heavy amounts, at most k.

    >>> amounts = np.array([1e12, 9e9, 90.0, *[20.0] * 97])
    >>> count_heavy(amounts[:5], amounts.sum(), 100, 20.0, 1000.0)
    2
    """
    if count < FEWEST_AMOUNTS:
        return 0
    candidates = largest[: 2 + count // 50]
    smaller = np.maximum(total - np.cumsum(candidates), 0.0)
    heavy = np.flatnonzero((candidates > ratio * median) & (candidates > HEAVY_SHARE * smaller))
    return int(heavy[-1]) + 1 if len(heavy) else 0


def ordinary_limit(amounts: np.ndarray) -> float:
    """The largest amount that is not heavy, of those above 0; infinity if none is heavy.

    >>> ordinary_limit(np.array([1e12, 9e9, 90.0, *[20.0] * 97])), ordinary_limit(np.arange(1.0, 100.0))
    (90.0, inf)
    """
    known = amounts[np.isfinite(amounts) & (amounts > 0)]
    ordered = np.sort(known)[::-1]
    median = float(np.median(ordered)) if len(ordered) else 0.0
    heavy = count_heavy(ordered, float(ordered.sum()), len(ordered), median, CAPPED_RATIO)
    return float(ordered[heavy]) if heavy else np.inf
