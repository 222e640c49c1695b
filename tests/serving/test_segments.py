"""Rules of segments at their edges."""

from __future__ import annotations

import numpy as np

from serving.segments import lifecycle, segment, tier


def test_lifecycle_at_its_edges() -> None:
    nan = np.nan
    cases = [
        (1, 30, 1, "new"),
        (15, 31, 10, "active"),
        (16, 99, 10, "slipping"),
        (30, 99, 10, "slipping"),
        (31, 99, 10, "dormant"),
        (7, 99, 1, "active"),
        (8, 99, 1, "slipping"),
        (30, 99, 1, "slipping"),
        (45, 99, nan, "active"),
        (46, 99, nan, "slipping"),
        (91, 99, nan, "dormant"),
    ]
    recency, tenure, gap, expected = (np.array(column) for column in zip(*cases, strict=True))
    assert lifecycle(recency, tenure, gap, 30).tolist() == expected.tolist()


def test_tiers_are_a_fifth_three_tenths_and_the_rest() -> None:
    tiers = tier(np.arange(100.0)).tolist()
    assert (tiers.count("high"), tiers.count("middle"), tiers.count("low")) == (20, 30, 50)
    assert tiers[-1] == "high"
    assert tier(np.array([])).tolist() == []


def test_equal_customers_are_told_apart_by_their_row_alone() -> None:
    assert tier(np.ones(10)).tolist() == ["high"] * 2 + ["middle"] * 3 + ["low"] * 5


def test_every_tier_and_risk_has_a_segment() -> None:
    tiers = np.array(["high", "middle", "low"] * 2, dtype=object)
    churn = np.array([0.5] * 3 + [0.49] * 3)
    assert segment(tiers, churn).tolist() == ["save first", "save first", "let go", "keep", "grow", "maintain"]
