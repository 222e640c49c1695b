"""Value tier and segment of every customer of a cutoff, by fixed rules.

Rules of version 1. Tier: customers are ranked by what they would spend if they stayed, which is value plus value at
risk, so a customer about to leave keeps their tier: 'high' is the first fifth, 'middle' the next three tenths, 'low'
the rest. Without money, orders a month count instead or, with contracts, the price or the time as a customer.
Segment: a customer who is likelier to leave than to stay is 'save first' in the high and middle tiers and 'let go' in
the low one; the others are 'keep', 'grow' and 'maintain'.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from serving.language.messages import N_

RULES_VERSION = 1
HIGH_SHARE, MIDDLE_SHARE = 0.2, 0.5
AT_RISK = 0.5
RULES = {  # for readers, by tier and segment
    "high": N_("the first fifth by worth if they stay"),
    "middle": N_("the next three tenths"),
    "low": N_("the rest"),
    "save first": N_("likelier to leave than to stay, tier high or middle"),
    "let go": N_("likelier to leave than to stay, tier low"),
    "keep": N_("likelier to stay, tier high"),
    "grow": N_("likelier to stay, tier middle"),
    "maintain": N_("likelier to stay, tier low"),
}
WORTH_FEATURES = ("orders_rate_ever", "subscription_price", "tenure_days")  # the first one that exists is used


def assign_tiers(worth: np.ndarray) -> np.ndarray:
    """Assign tiers (n,) by rank from what customers would bring if they stayed (n,); ties keep the order of the rows.

    >>> assign_tiers(np.array([1.0, 9.0, 5.0, 0.5, 4.0])).tolist()
    ['low', 'high', 'middle', 'low', 'low']
    """
    rank = np.empty(len(worth))
    rank[np.argsort(-worth, kind="stable")] = np.arange(1, len(worth) + 1) / max(len(worth), 1)
    return np.select([rank <= HIGH_SHARE, rank <= MIDDLE_SHARE], ["high", "middle"], "low").astype(object)


def worth_without_money(features: pa.Table) -> np.ndarray:
    """Return what ranks customers (n,) in a log without money; a missing value counts as 0.

    >>> worth_without_money(pa.table({"tenure_days": [10.0, 400.0], "subscription_price": [9.5, None]})).tolist()
    [9.5, 0.0]
    """
    name = next(name for name in WORTH_FEATURES if name in features.column_names)
    return np.asarray(features[name].fill_null(0.0).to_numpy())


def assign_segments(tiers: np.ndarray, churn: np.ndarray) -> np.ndarray:
    """Assign segments (n,) from tiers (n,) and probabilities of churn (n,).

    >>> assign_segments(np.array(["high", "low", "middle"]), np.array([0.9, 0.9, 0.1])).tolist()
    ['save first', 'let go', 'grow']
    """
    likely_to_leave = churn >= AT_RISK
    rules = [likely_to_leave & (tiers != "low"), likely_to_leave, tiers == "high", tiers == "middle"]
    return np.select(rules, ["save first", "let go", "keep", "grow"], "maintain").astype(object)
