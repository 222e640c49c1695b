"""Lifecycle, value tier and segment of every customer of a cutoff: named rules, the same for every reader.

Rules of version 1. Lifecycle: 'new' has a first order within one horizon; 'slipping' is silent for more than 1.5 times
the usual gap between days with an order and a quarter of a horizon, 'dormant' for more than 3 times and a whole horizon
(who has ordered on one day only is measured against the horizon); else 'active'. Tier: by what they spend if they
stay, which is value plus value at risk (without money by orders a month), so that a customer about to leave keeps their
tier: 'high' the first fifth, 'middle' the next three tenths, 'low' the rest. Segment: who is likelier to leave than to
stay is 'save first' in the high and middle tiers and 'let go' in the low one; the others are 'keep', 'grow' and
'maintain'.
"""

from __future__ import annotations

import numpy as np

RULES_VERSION = 1
ACTIVE_UP_TO, SLIPPING_UP_TO = 1.5, 3.0
HIGH_SHARE, MIDDLE_SHARE = 0.2, 0.5
AT_RISK = 0.5


def lifecycle(recency: np.ndarray, tenure: np.ndarray, gap: np.ndarray, horizon: int) -> np.ndarray:
    """Lifecycle (n,) from days since the last and the first order, the usual gap (NaN: unknown) and the horizon.

    >>> lifecycle(np.array([3, 10, 25, 99]), np.array([20, 90, 90, 99]), np.array([5, 10, 10, np.nan]), 30).tolist()
    ['new', 'active', 'slipping', 'dormant']
    """
    silence = recency / np.where(np.isnan(gap), horizon, gap)
    dormant = (silence > SLIPPING_UP_TO) & (recency > horizon)
    slipping = (silence > ACTIVE_UP_TO) & (recency > horizon / 4)
    return np.select([tenure <= horizon, dormant, slipping], ["new", "dormant", "slipping"], "active").astype(object)


def tier(worth: np.ndarray) -> np.ndarray:
    """Tier (n,) from what each customer is worth if they stay (n,): ranked, ties in the order of the rows.

    >>> tier(np.array([1.0, 9.0, 5.0, 0.5, 4.0])).tolist()
    ['low', 'high', 'middle', 'low', 'low']
    """
    rank = np.empty(len(worth))
    rank[np.argsort(-worth, kind="stable")] = np.arange(1, len(worth) + 1) / max(len(worth), 1)
    return np.select([rank <= HIGH_SHARE, rank <= MIDDLE_SHARE], ["high", "middle"], "low").astype(object)


def segment(tiers: np.ndarray, churn: np.ndarray) -> np.ndarray:
    """Segment (n,) from tier (n,) and probability of churn (n,).

    >>> segment(np.array(["high", "low", "middle"]), np.array([0.9, 0.9, 0.1])).tolist()
    ['save first', 'let go', 'grow']
    """
    risky = churn >= AT_RISK
    rules = [risky & (tiers != "low"), risky, tiers == "high", tiers == "middle"]
    return np.select(rules, ["save first", "let go", "keep", "grow"], "maintain").astype(object)
