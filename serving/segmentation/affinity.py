"""What is bought together: support, confidence and lift of pairs, with an interval, and the rules that follow.

Lift is how many times as often two values meet as they would by chance: P(a and b) / (P(a) P(b)). Its interval is that
of the logarithm by the delta method on the four cells, widened by how much baskets of one customer resemble each other
(the larger design effect of the two values; Kish, 1965, 'Survey sampling'), since a customer with a hundred baskets is
not a hundred customers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from features.point_in_time.baskets import CoPurchases

CONFIDENCE = 0.95
RULES_PER_VALUE = 5  # rules that a value leads to
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


def affinity_pairs(kind: str, met: CoPurchases) -> pa.Table:
    """One row a pair, the surest first (by the low end of lift).

    Returns:
        kind, basket ('order' or 'customer'), first, second, baskets (with both), support (their share of all),
        confidence (share of those with first that have second), confidence_back (of those with second that have
        first), lift and its interval.
    """
    values = {row["value"]: row for row in met.values.to_pylist()}
    rows = [_row(kind, met, values[row["a"]], values[row["b"]], row["both"]) for row in met.pairs.to_pylist()]
    return pa.Table.from_pylist(sorted(rows, key=lambda r: (-r["lift_low"], r["first"], r["second"])), PAIRS_SCHEMA)


def lift_interval(both: int, a: int, b: int, baskets: int, design: float = 1.0) -> tuple[float, float, float]:
    """Lift and its 95% interval from counts of baskets.

    >>> [round(x, 3) for x in lift_interval(30, 60, 50, 100)]
    [1.0, 0.852, 1.174]
    """
    p, pa_, pb = both / baskets, a / baskets, b / baskets
    slope = 1 / p - 1 / pa_ - 1 / pb
    variance = (p * slope**2 + (pa_ - p) / pa_**2 + (pb - p) / pb**2 - 1) / baskets
    wide = float(norm.ppf((1 + CONFIDENCE) / 2)) * (max(variance, 0.0) * design) ** 0.5
    ratio = p / (pa_ * pb)
    return ratio, ratio * float(np.exp(-wide)), ratio * float(np.exp(wide))


def design_effect(value: dict[str, Any], met: CoPurchases) -> float:
    """How many times wider the variance of a value's share is than if all baskets were of different customers.

    Args:
        value: n, squares and products of the value.
        met: All baskets.
    """
    share = value["n"] / met.baskets
    if share >= 1:
        return 1.0
    spread = value["squares"] - 2 * share * value["products"] + share**2 * met.squares
    return max(1.0, float(spread / (met.baskets * share * (1 - share))))


def association_rules(table: pa.Table) -> pa.Table:
    """What a value leads to: because, next, confidence and lift, of pairs that surely meet more often than by chance.

    Of each value the RULES_EACH with the highest confidence.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        if row["lift_low"] > 1:
            for because, then, share in (("first", "second", "confidence"), ("second", "first", "confidence_back")):
                rule = {"because": row[because], "next": row[then], "confidence": row[share], "lift": row["lift"]}
                found.setdefault(row[because], []).append(rule)
    kept = [
        rule
        for _, each in sorted(found.items())
        for rule in sorted(each, key=lambda r: (-r["confidence"], r["next"]))[:RULES_PER_VALUE]
    ]
    schema = pa.schema([("because", pa.string()), ("next", pa.string())])
    schema = schema.append(pa.field("confidence", pa.float64())).append(pa.field("lift", pa.float64()))
    return pa.Table.from_pylist(kept, schema)


def _row(kind: str, met: CoPurchases, a: dict[str, Any], b: dict[str, Any], both: int) -> dict[str, Any]:
    design = max(design_effect(a, met), design_effect(b, met))
    ratio, low, high = lift_interval(both, a["n"], b["n"], met.baskets, design)
    return {
        "kind": kind,
        "basket": met.basket,
        "first": a["value"],
        "second": b["value"],
        "baskets": both,
        "support": both / met.baskets,
        "confidence": both / a["n"],
        "confidence_back": both / b["n"],
        "lift": ratio,
        "lift_low": low,
        "lift_high": high,
    }
