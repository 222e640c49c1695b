"""Support, confidence and lift against counting in plain Python, and an interval that holds where customers repeat."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from features.point_in_time.baskets import CoPurchases
from serving.segmentation.affinity import affinity_pairs, association_rules, design_effect, lift_interval

Baskets = list[tuple[int, set[str]]]  # the customer, and what is in it


def together(baskets: Baskets) -> CoPurchases:
    """The counts of some baskets, by hand."""
    own = Counter(customer for customer, _ in baskets)
    each = Counter((customer, value) for customer, basket_values in baskets for value in basket_values)
    counts = []
    for value in sorted({value for _, basket_values in baskets for value in basket_values}):
        of = [(n, own[customer]) for (customer, v), n in each.items() if v == value]
        sums = {"n": sum(n for n, _ in of), "squares": sum(n * n for n, _ in of), "products": sum(n * m for n, m in of)}
        counts.append({"value": value, **sums})
    met = Counter(pair for _, basket_values in baskets for pair in combinations(sorted(basket_values), 2))
    rows = [{"a": a, "b": b, "both": n} for (a, b), n in sorted(met.items())]
    squares = sum(n * n for n in own.values())
    return CoPurchases("order", len(baskets), squares, pa.Table.from_pylist(counts), pa.Table.from_pylist(rows))


def test_figures_are_those_of_counting() -> None:
    rng = np.random.default_rng(1)
    baskets = [(n // 3, set(rng.choice(list("abcd"), size=int(rng.integers(1, 4))).tolist())) for n in range(300)]
    rows = affinity_pairs("kind", together(baskets)).to_pylist()
    assert [(row["first"], row["second"]) for row in rows] != []
    for row in rows:
        a, b = row["first"], row["second"]
        with_a, with_b = ({n for n, (_, basket_values) in enumerate(baskets) if v in basket_values} for v in (a, b))
        both = len(with_a & with_b)
        assert row["baskets"] == both
        assert row["support"] == pytest.approx(both / 300)
        assert row["confidence"] == pytest.approx(both / len(with_a))
        assert row["confidence_back"] == pytest.approx(both / len(with_b))
        assert row["lift"] == pytest.approx(both * 300 / (len(with_a) * len(with_b)))
        assert row["lift_low"] < row["lift"] < row["lift_high"]
    assert [row["lift_low"] for row in rows] == sorted((row["lift_low"] for row in rows), reverse=True)


def test_the_design_effect_is_the_ratio_of_variances() -> None:
    rng = np.random.default_rng(2)
    alike = [
        (n, {"a"} if baskets else {"b"}) for n in range(200) for baskets in [rng.random() < 0.4] for _ in range(10)
    ]
    met = together(alike)
    value = next(row for row in met.values.to_pylist() if row["value"] == "a")
    assert design_effect(value, met) == pytest.approx(10, rel=0.01)
    free = together([(n // 10, {"a"} if rng.random() < 0.4 else {"b"}) for n in range(2000)])
    value = next(row for row in free.values.to_pylist() if row["value"] == "a")
    assert design_effect(value, free) < 1.5


def test_the_interval_holds_where_customers_repeat_themselves() -> None:
    """200 customers with 8 baskets each who like a, and independently b, or not: chance alone, so lift is 1."""
    rng, covered, naive = np.random.default_rng(3), 0, 0
    for _ in range(300):
        likes = rng.random((200, 1, 2)) < 0.4
        inside = rng.random((200, 8, 2)) < np.where(likes, 0.8, 0.1)
        n = inside.sum(axis=(0, 1))
        both, own = int(inside.all(axis=2).sum()), inside.sum(axis=1)
        sums = [{"n": n[v], "squares": (own[:, v] ** 2).sum(), "products": (8 * own[:, v]).sum()} for v in (0, 1)]
        met = CoPurchases("order", 1600, 200 * 64, pa.table({}), pa.table({}))
        design = max(design_effect(value, met) for value in sums)
        _, low, high = lift_interval(both, n[0], n[1], 1600, design)
        covered += low < 1 < high
        _, low, high = lift_interval(both, n[0], n[1], 1600)
        naive += low < 1 < high
    assert covered / 300 > 0.93
    assert naive / 300 < 0.9


def test_rules_lead_from_what_is_bought_to_what_goes_with_it() -> None:
    columns = {"first": ["a", "a", "b"], "second": ["b", "c", "c"], "confidence": [0.5, 0.9, 0.4]}
    back = {"confidence_back": [0.8, 0.1, 0.4], "lift": [2.0, 3.0, 1.1], "lift_low": [1.5, 2.0, 0.9]}
    rows = association_rules(pa.table({**columns, **back})).to_pylist()
    rules = [(r["because"], r["next"], r["confidence"]) for r in rows]
    assert rules == [("a", "c", 0.9), ("a", "b", 0.5), ("b", "a", 0.8), ("c", "a", 0.1)]
