"""What is bought together: support, confidence and lift of pairs with a confidence interval, and association rules.

Rules suggest what to offer next, so they are made only of kinds that can be offered, and never of a store.

Lift tells how many times as often two values occur together as by chance: P(a and b) / (P(a) P(b)). Its interval comes
from the delta method for the logarithm, on the four cells. It is widened because baskets of one customer resemble each
other (by the larger design effect of the two values; Kish, 1965, 'Survey sampling').
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from features.config.table_sections import Events
from features.config_guess import guess_offers
from features.point_in_time.baskets import CoPurchases
from features.slugs import feature_slug

CONFIDENCE = 0.95
RULES_PER_VALUE = 5  # the most rules that start from a value
PAIRS_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("basket", pa.string()),
        ("first", pa.string()),
        ("second", pa.string()),
        ("baskets", pa.int64()),
        ("support", pa.float64()),
        ("confidence", pa.float64()),
        ("confidence_back", pa.float64()),
        ("lift", pa.float64()),
        ("lift_low", pa.float64()),
        ("lift_high", pa.float64()),
    ]
)


def offered_kinds(events: Events) -> tuple[str, ...]:
    """Return the slugs of the kinds that can be offered: `offers` of [events], else those whose names say so.

    >>> offered_kinds(Events(source="s", customer="c", time="t", kinds=("store_id", "ProductCategory")))
    ('product_category',)
    """
    return tuple(map(feature_slug, guess_offers(events.kinds) if events.offers is None else events.offers))


def affinity_pairs(kind: str, together: CoPurchases) -> pa.Table:
    """Build one row for each pair, sorted by the low end of lift, the highest first.

    Returns:
        kind, basket ('order' or 'customer'), first, second, baskets (with both), support (their share of all),
        confidence (share of those with first that have second), confidence_back (of those with second that have
        first), lift and its interval.
    """
    values = {row["value"]: row for row in together.values.to_pylist()}
    rows = [
        _pair_row(kind, together, values[row["a"]], values[row["b"]], row["both"]) for row in together.pairs.to_pylist()
    ]
    return pa.Table.from_pylist(sorted(rows, key=lambda r: (-r["lift_low"], r["first"], r["second"])), PAIRS_SCHEMA)


def lift_interval(both: int, a: int, b: int, baskets: int, design: float = 1.0) -> tuple[float, float, float]:
    """Return lift and its 95% confidence interval from counts of baskets.

    Args:
        both: Baskets with both values.
        a: Baskets with the first value.
        b: Baskets with the second value.
        baskets: All baskets.
        design: The design effect, by which the variance is multiplied.

    Returns:
        Lift and the low and high end of its interval.

    >>> [round(x, 3) for x in lift_interval(30, 60, 50, 100)]
    [1.0, 0.852, 1.174]
    """
    p, pa_, pb = both / baskets, a / baskets, b / baskets
    slope = 1 / p - 1 / pa_ - 1 / pb
    variance = (p * slope**2 + (pa_ - p) / pa_**2 + (pb - p) / pb**2 - 1) / baskets
    half_width = float(norm.ppf((1 + CONFIDENCE) / 2)) * (max(variance, 0.0) * design) ** 0.5
    ratio = p / (pa_ * pb)
    return ratio, ratio * float(np.exp(-half_width)), ratio * float(np.exp(half_width))


def design_effect(value: dict[str, Any], together: CoPurchases) -> float:
    """Return how many times larger the variance of a value's share is than with one basket for each customer.

    Args:
        value: n, squares and products of the value.
        together: All baskets.

    Returns:
        The design effect, at least 1.
    """
    share = value["n"] / together.baskets
    if share >= 1:
        return 1.0
    spread = value["squares"] - 2 * share * value["products"] + share**2 * together.squares
    return max(1.0, float(spread / (together.baskets * share * (1 - share))))


def association_rules(table: pa.Table) -> pa.Table:
    """Return association rules (because, next, confidence, lift) from pairs whose lift is significantly above 1.

    For each value, these are the RULES_PER_VALUE rules with the highest confidence.
    """
    rules_by_value: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        if row["lift_low"] > 1:
            for because, then, share in (("first", "second", "confidence"), ("second", "first", "confidence_back")):
                rule = {"because": row[because], "next": row[then], "confidence": row[share], "lift": row["lift"]}
                rules_by_value.setdefault(row[because], []).append(rule)
    rules = [
        rule
        for _, rules_of_value in sorted(rules_by_value.items())
        for rule in sorted(rules_of_value, key=lambda r: (-r["confidence"], r["next"]))[:RULES_PER_VALUE]
    ]
    schema = pa.schema([("because", pa.string()), ("next", pa.string())])
    schema = schema.append(pa.field("confidence", pa.float64())).append(pa.field("lift", pa.float64()))
    return pa.Table.from_pylist(rules, schema)


def _pair_row(kind: str, together: CoPurchases, a: dict[str, Any], b: dict[str, Any], both: int) -> dict[str, Any]:
    design = max(design_effect(a, together), design_effect(b, together))
    ratio, low, high = lift_interval(both, a["n"], b["n"], together.baskets, design)
    return {
        "kind": kind,
        "basket": together.basket,
        "first": a["value"],
        "second": b["value"],
        "baskets": both,
        "support": both / together.baskets,
        "confidence": both / a["n"],
        "confidence_back": both / b["n"],
        "lift": ratio,
        "lift_low": low,
        "lift_high": high,
    }
