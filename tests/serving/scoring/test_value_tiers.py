"""Rules of segments at their edges."""

from __future__ import annotations

import numpy as np

from serving.scoring.value_tiers import assign_segments, assign_tiers


def test_tiers_are_a_fifth_three_tenths_and_the_rest() -> None:
    tiers = assign_tiers(np.arange(100.0)).tolist()
    assert (tiers.count("high"), tiers.count("middle"), tiers.count("low")) == (20, 30, 50)
    assert tiers[-1] == "high"
    assert assign_tiers(np.array([])).tolist() == []


def test_equal_customers_are_told_apart_by_their_row_alone() -> None:
    assert assign_tiers(np.ones(10)).tolist() == ["high"] * 2 + ["middle"] * 3 + ["low"] * 5


def test_every_tier_and_risk_has_a_segment() -> None:
    tiers = np.array(["high", "middle", "low"] * 2, dtype=object)
    churn = np.array([0.5] * 3 + [0.49] * 3)
    assert assign_segments(tiers, churn).tolist() == ["save first", "save first", "let go", "keep", "grow", "maintain"]
