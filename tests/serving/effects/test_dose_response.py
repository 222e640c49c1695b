"""The dose-response curve: rising, ever less steep, closer to the truth than single doses, honest about its error."""

from __future__ import annotations

import numpy as np
import pytest

from serving.effects.dose_response import fit_dose_curve

DOSES, ERRORS = [0.05, 0.1, 0.2, 0.4], [0.02] * 4


def _truth(dose: float) -> float:
    return float(0.01 + 0.1 * (1 - np.exp(-8 * dose)))


def test_the_mean_rises_and_is_ever_less_steep() -> None:
    for effects in ([0.03, 0.02, 0.08, 0.07], [0.1, 0.0, -0.1, 0.0], [0.0, 0.0, 0.0, 0.3]):
        curve = fit_dose_curve(DOSES, effects, ERRORS)
        means = np.array([curve.at(dose)[0] for dose in np.linspace(0.05, 0.4, 15)])
        assert (np.diff(means) >= 0).all() and (np.diff(means, 2) <= 1e-9).all()


def test_precise_effects_are_kept_and_vague_ones_fall_back_to_the_prior() -> None:
    exact = fit_dose_curve(DOSES, [_truth(dose) for dose in DOSES], [2e-3] * 4)
    assert all(exact.at(dose)[0] == pytest.approx(_truth(dose), abs=3e-3) for dose in (*DOSES, 0.15, 0.3))
    vague = fit_dose_curve(DOSES, [0.1] * 4, [10.0] * 4)
    assert vague.at(0.2)[1] > 0.15


def test_intervals_hold_and_pooling_is_nearer_to_the_truth_than_each_dose_alone() -> None:
    rng = np.random.default_rng(3)
    hits, pooled, alone = 0, 0.0, 0.0
    for _ in range(300):
        effects = [_truth(dose) + rng.normal(0, 0.02) for dose in DOSES]
        curve = fit_dose_curve(DOSES, effects, ERRORS)
        for dose, effect in zip(DOSES, effects, strict=True):
            mean, deviation = curve.at(dose)
            hits += abs(mean - _truth(dose)) <= 1.96 * deviation
            pooled += (mean - _truth(dose)) ** 2
            alone += (effect - _truth(dose)) ** 2
    assert 0.92 <= hits / 1200 <= 0.995
    assert pooled < 0.75 * alone


def test_nothing_is_said_beyond_the_doses_that_were_tried() -> None:
    curve = fit_dose_curve([0.1, 0.3], [0.02, 0.05], [0.01, 0.01])
    assert [curve.covers(dose) for dose in (0.05, 0.1, 0.2, 0.3, 0.35)] == [False, True, True, True, False]
    assert curve.at(0.2)[1] > 0
