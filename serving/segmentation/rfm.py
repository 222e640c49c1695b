"""RFM: scores from 1 to 5 by fifths of a cohort, and the named group of each customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from features.config.rfm_rules import BEST_SCORE, groups_by_scores


def rfm_scores(values: np.ndarray, least_is_best: bool = False) -> np.ndarray:
    """Score customers (n,) from 1 to 5: one more than the fifths of the cohort that are worse.

    Equal customers have equal scores, and ties get the lower one: if most ordered once, all of these score 1.

    Args:
        values: Of the customers of one cutoff (n,); null (NaN) is worst.
        least_is_best: Whether small values are good, as those of recency are.

    >>> rfm_scores(np.array([1.0, 1.0, 2.0, 5.0, 9.0])).tolist()
    [1, 1, 3, 4, 5]
    """
    good = np.where(np.isnan(values), -np.inf, -values if least_is_best else values)
    worse = np.searchsorted(np.sort(good), good, side="left")
    return 1 + BEST_SCORE * worse // max(len(good), 1)


def rfm_groups(rules: Mapping[str, Sequence[str]], r: np.ndarray, f: np.ndarray, m: np.ndarray | None) -> np.ndarray:
    """Assign each customer (n,) to a group, as its index among the rules.

    Args:
        rules: The cells of each group; together they cover all cells (`features.config.rfm_rules`).
        r: Scores of recency (n,).
        f: Scores of frequency (n,).
        m: Scores of money (n,), or None without money: then f stands for m.

    Returns:
        The index of each customer's group (n,).
    """
    names, cells = list(rules), groups_by_scores(rules)
    table = np.array([names.index(cells[cell]) for cell in sorted(cells)]).reshape(BEST_SCORE, BEST_SCORE, BEST_SCORE)
    return table[r - 1, f - 1, (f if m is None else m) - 1]
