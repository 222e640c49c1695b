"""Rules of segments at their edges."""

from __future__ import annotations

import numpy as np

from features.config.segments import SEGMENTS
from serving.scoring.value_tiers import RULES_VERSION, assign_groups, assign_segments, assign_tiers, segment_rules


def test_tiers_are_a_fifth_three_tenths_and_the_rest() -> None:
    tiers = assign_tiers(np.arange(100.0)).tolist()
    assert (tiers.count("high"), tiers.count("middle"), tiers.count("low")) == (20, 30, 50)
    assert tiers[-1] == "high"
    assert assign_tiers(np.array([])).tolist() == []


def test_equal_customers_are_told_apart_by_their_row_alone() -> None:
    assert assign_tiers(np.ones(10)).tolist() == ["high"] * 2 + ["middle"] * 3 + ["low"] * 5


def test_every_tier_and_risk_has_a_segment() -> None:
    tiers = np.array(["high", "high", "middle", "low", "low"], dtype=object)
    churn, worth = np.array([0.5, 0.1, 0.9, 0.5, 0.49]), np.array([100.0, 40.0, 10.0, 9.0, 8.0])
    assert assign_segments(tiers, churn, worth).tolist() == ["save first", "keep", "grow", "let go", "maintain"]


def test_save_first_are_the_fewest_who_hold_half_of_the_value_at_risk() -> None:
    rng = np.random.default_rng(5)
    churn, worth = rng.random(500), rng.lognormal(3, 1, 500)
    at_risk = churn * worth
    first = assign_segments(assign_tiers(worth), churn, worth) == "save first"
    assert at_risk[first].sum() >= at_risk.sum() / 2 > at_risk[first].sum() - at_risk[first].min()
    assert at_risk[first].min() >= at_risk[~first].max()
    assert set(np.round(churn[first])) == {0.0, 1.0}  # a likely stayer too, if much is at risk


def test_nobody_is_saved_first_where_nothing_is_at_risk() -> None:
    tiers = np.array(["high", "low"], dtype=object)
    assert assign_segments(tiers, np.zeros(2), np.array([5.0, 1.0])).tolist() == ["keep", "maintain"]
    assert assign_segments(tiers[:0], np.zeros(0), np.zeros(0)).tolist() == []


def test_tier_and_segment_are_assigned_together() -> None:
    groups = assign_groups(np.array([0.2, 0.9, 0.5]), np.array([90.0, 5.0, 40.0]))
    assert {name: values.tolist() for name, values in groups.items()} == {
        "tier": ["middle", "low", "low"],
        "segment": ["save first", "let go", "save first"],
    }


def test_scores_of_earlier_versions_keep_the_words_of_their_rules() -> None:
    assert segment_rules(0) == segment_rules(1) != segment_rules(RULES_VERSION)
    assert segment_rules(1).keys() == segment_rules(RULES_VERSION).keys() == set(SEGMENTS)
