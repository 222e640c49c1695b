"""Value tier and segment of every customer of a cutoff, by fixed rules.

Rules of version 2. Tier: customers are ranked by what they would spend if they stayed, which is value plus value at
risk, so a customer about to leave keeps their tier: 'high' is the first fifth, 'middle' the next three tenths, 'low'
the rest. Without money, orders a month count instead or, with contracts, the price or the time as a customer.
Segment: 'save first' are the fewest customers who together hold half of the value at risk, which is what an action can
save. Of the others, those of the low tier who are likelier to leave than to stay are 'let go'; the rest are 'keep',
'grow' and 'maintain' by tier. (In version 1, 'save first' were all of the high and middle tiers who were likelier to
leave than to stay.) Where the model treats everybody alike, there is nothing to rank by: everybody is of the tier
'middle' and the segment 'maintain'.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from serving.language.messages import N_

RULES_VERSION = 2
HIGH_SHARE, MIDDLE_SHARE = 0.2, 0.5
AT_RISK = 0.5
SAVE_FIRST_SHARE = 0.5  # of the value at risk
TIER_RULES = {  # for readers
    "high": N_("the first fifth by worth if they stay"),
    "middle": N_("the next three tenths"),
    "low": N_("the rest"),
}
SEGMENT_RULES = {  # for readers, by the version of the rules
    1: {
        "save first": N_("likelier to leave than to stay, tier high or middle"),
        "let go": N_("likelier to leave than to stay, tier low"),
        "keep": N_("likelier to stay, tier high"),
        "grow": N_("likelier to stay, tier middle"),
        "maintain": N_("likelier to stay, tier low"),
    },
    2: {
        "save first": N_("the fewest customers who hold half of the value at risk"),
        "let go": N_("of the others: likelier to leave than to stay, tier low"),
        "keep": N_("of the others: tier high"),
        "grow": N_("of the others: tier middle"),
        "maintain": N_("of the others: likelier to stay, tier low"),
    },
}
ALIKE = {"tier": "middle", "segment": "maintain"}
ALIKE_RULE = N_("everybody: the model does not tell customers apart")
NO_SKILL = N_(
    "No better than treating everybody alike: no model tells the customers of this business apart, so every customer "
    "has the same risk and value, without reasons."
)
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


def assign_segments(tiers: np.ndarray, churn: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Assign segments by tier, risk and value at risk; ties keep the order of the rows.

    Args:
        tiers: The value tier of all customers (n,).
        churn: The probability of churn (n,).
        worth: What they would bring if they stayed (n,).

    Returns:
        The segments (n,).

    >>> tiers, churn = np.array(["high", "middle", "low", "low"]), np.array([0.2, 0.9, 0.9, 0.1])
    >>> assign_segments(tiers, churn, np.array([900.0, 90.0, 10.0, 9.0])).tolist()
    ['save first', 'grow', 'let go', 'maintain']
    """
    rules = [_hold_first_half(churn * worth), (tiers == "low") & (churn >= AT_RISK), tiers == "high", tiers == "middle"]
    return np.select(rules, ["save first", "let go", "keep", "grow"], "maintain").astype(object)


def _hold_first_half(at_risk: np.ndarray) -> np.ndarray:
    """Return who belongs to the fewest customers that hold half of what is at risk (n,); nobody if nothing is."""
    order, first = np.argsort(-at_risk, kind="stable"), np.zeros(len(at_risk), bool)
    held = np.cumsum(at_risk[order])
    if len(held):
        first[order] = held - at_risk[order] < SAVE_FIRST_SHARE * held[-1]
    return first


def segment_rules(version: int) -> dict[str, str]:
    """Return the rule of each segment in words; scores without a version have those of version 1."""
    return SEGMENT_RULES.get(version, SEGMENT_RULES[1])


def group_rules(version: int, skill: bool = True) -> dict[str, str]:
    """Return the rule of each tier and segment in words, by the version of the rules; `skill` as in `assign_groups`."""
    alike = {} if skill else dict.fromkeys(ALIKE.values(), ALIKE_RULE)
    return {**TIER_RULES, **segment_rules(version), **alike}


def assign_groups(churn: np.ndarray, worth: np.ndarray, skill: bool = True) -> dict[str, np.ndarray]:
    """Assign the score columns 'tier' and 'segment' (n,) to all customers of a cutoff.

    Args:
        churn: The probability of churn (n,).
        worth: What they would bring if they stayed (n,).
        skill: Whether the model tells customers apart.

    Returns:
        Both columns by name.
    """
    if not skill:
        return {name: np.full(len(churn), group, object) for name, group in ALIKE.items()}
    tiers = assign_tiers(worth)
    return {"tier": tiers, "segment": assign_segments(tiers, churn, worth)}
