"""Posterior means of customers: in proportion to their errors, with one error of the average and one of differences."""

from __future__ import annotations

import numpy as np
import pytest

from serving.effects.believed_effects import EstimatedEffects, PastEffect, believe_effects

EXPECTED = np.array([10.0, 20.0, 30.0, np.nan])
RATIO = np.array([0.5, 1.0, 1.5, np.nan])
EVIDENCE = {"base": 20.0, "average": 2.0, "error": 1.0, "slope": 0.0, "gain": 0.1, "gain_error": 1.0}


def test_the_same_share_for_all_stays_the_same_share() -> None:
    estimated = EstimatedEffects(2.0 * RATIO, 1.0 * RATIO, EVIDENCE)
    believed = believe_effects({"mail": estimated}, EXPECTED)["mail"]
    assert 0 < believed.average < 2 and believed.evident  # 2 standard errors
    np.testing.assert_allclose(believed.mean, believed.average * RATIO)
    np.testing.assert_allclose(believed.parts[:3, 1], 0)
    np.testing.assert_allclose(believed.deviation[:3] / RATIO[:3], believed.deviation[1])
    assert np.isnan(believed.mean[3])


def test_a_table_without_the_model_s_figures_is_believed_alike() -> None:
    by_hand = believe_effects({"mail": EstimatedEffects(2.0 * RATIO, 1.0 * RATIO)}, EXPECTED)["mail"]
    by_model = believe_effects({"mail": EstimatedEffects(2.0 * RATIO, 1.0 * RATIO, EVIDENCE)}, EXPECTED)["mail"]
    np.testing.assert_allclose(by_hand.mean, by_model.mean)


def test_average_and_differences_are_drawn_to_zero_apart() -> None:
    score = np.array([-1.0, 0.0, 1.0, np.nan])
    evidence = {**EVIDENCE, "average": 0.5, "slope": 3.0, "gain": 4.0, "gain_error": 1.0}
    estimated = EstimatedEffects(0.5 + 3.0 * score, np.full(4, 1.5), evidence)
    believed = believe_effects({"mail": estimated}, EXPECTED)["mail"]
    assert 0 < believed.average < 0.5 and believed.evident  # by the differences alone
    assert believed.mean[1] == pytest.approx(believed.average)
    slope = believed.mean[2] - believed.mean[1]
    assert 2 < slope < 4 and believed.mean[0] == pytest.approx(believed.average - slope)
    assert believed.parts[0, 1] < 0 < believed.parts[2, 1] and believed.parts[0, 0] == believed.parts[2, 0]


def test_no_evidence_and_harm_are_no_evidence() -> None:
    for average, error in ((2.8, 3.4), (-5.0, 1.0)):
        evidence = {**EVIDENCE, "average": average, "error": error}
        believed = believe_effects({"mail": EstimatedEffects(average * RATIO, error * RATIO, evidence)}, EXPECTED)
        assert not believed["mail"].evident


def test_past_campaigns_count_as_evidence() -> None:
    estimated = EstimatedEffects(1.6 * RATIO, 1.0 * RATIO, {**EVIDENCE, "average": 1.6})
    alone = believe_effects({"mail": estimated}, EXPECTED)["mail"]
    same = believe_effects({"mail": estimated}, EXPECTED, [PastEffect("mail", 0.08, 0.04)])["mail"]
    assert not alone.evident and same.evident and same.average > alone.average
    small = [PastEffect(f"other {i}", 0.0, 0.01) for i in range(8)]
    assert believe_effects({"mail": estimated}, EXPECTED, small)["mail"].average < 0.5 * alone.average


def test_errors_of_zero_are_believed() -> None:
    believed = believe_effects({"mail": EstimatedEffects(2.0 * RATIO, 0.0 * RATIO)}, EXPECTED)["mail"]
    np.testing.assert_allclose(believed.mean, 2.0 * RATIO)
