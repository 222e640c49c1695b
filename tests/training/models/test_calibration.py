"""Calibrators find what was wrong, and change little on little or contradicting evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from scipy.special import expit

from features.task import Window
from training.models.calibration import LaterCutoffs, Platt, fit_level, fit_platt

HORIZON = Window(90)
TARGET = date(2024, 1, 1)


def _cutoffs(count: int) -> LaterCutoffs:
    """Cutoffs a horizon apart, the newest first, and the next one."""
    days = tuple(TARGET - timedelta(days=90 * (i + 1)) for i in range(count))
    return LaterCutoffs(days, TARGET, HORIZON, 0.8)


def _outcomes(shifts: Sequence[float], rows: int = 20_000) -> tuple[list, list]:
    """Margins and outcomes of some cutoffs whose log-odds are margin + shift."""
    rng = np.random.default_rng(0)
    margins = [rng.normal(-0.5, 2, rows) for _ in shifts]
    return margins, [(rng.random(rows) < expit(m + s)).astype(float) for m, s in zip(margins, shifts, strict=True)]


def _money(factors: Sequence[float], rows: int = 20_000) -> tuple[list, list]:
    """Expected and actual money of some cutoffs that differ by a factor."""
    rng = np.random.default_rng(1)
    predicted = [rng.gamma(2, 50, rows) for _ in factors]
    return predicted, [s * f * rng.gamma(2, 0.5, len(s)) for s, f in zip(predicted, factors, strict=True)]


def test_the_more_cutoffs_agree_the_more_they_shift() -> None:
    one, three, many = (fit_platt(*_outcomes([-0.3] * count), _cutoffs(count)) for count in (1, 3, 12))
    assert 0 > one.intercept > three.intercept > many.intercept > -0.3
    assert many.intercept == pytest.approx(-0.27, abs=0.05)
    assert one.intercept > -0.12


def test_a_calibrated_margin_is_left_alone_and_a_handful_of_rows_change_little() -> None:
    assert fit_platt(*_outcomes([0.0] * 3), _cutoffs(3)).intercept == pytest.approx(0.0, abs=0.03)
    few = fit_platt([np.array([2.0, -1.0])], [np.array([0.0, 1.0])], _cutoffs(1))
    assert few.intercept == pytest.approx(0.0, abs=0.05)
    assert fit_platt([], [], _cutoffs(0)) == Platt()


def test_rows_of_one_class_stay_finite() -> None:
    assert np.isfinite(fit_platt([np.linspace(-1, 1, 100)], [np.zeros(100)], _cutoffs(1)).intercept)


def test_level_is_the_factor_of_the_total_when_cutoffs_agree_and_none_when_they_do_not() -> None:
    agreed = fit_level(*_money([1.2] * 8), _cutoffs(8))
    assert agreed.shift == pytest.approx(np.log(1.2), abs=0.04)
    contradicting = fit_level(*_money([1.2, 1 / 1.2] * 2), _cutoffs(4))
    assert abs(contradicting.shift) < 0.05
    assert contradicting.error > agreed.error
    assert fit_level([], [], _cutoffs(0)).shift == 0.0


def test_the_newest_cutoff_says_more_than_an_older_one() -> None:
    newest, oldest = (fit_platt(*_outcomes(s), _cutoffs(3)).intercept for s in ([0.3, 0, 0], [0, 0, 0.3]))
    assert newest > oldest


def test_where_cutoffs_disagree_the_one_of_the_same_season_is_believed() -> None:
    """The newest three cutoffs and one a year before the next, of a shop with a yearly wave."""
    days = (90, 180, 270, 365)
    cutoffs = LaterCutoffs(tuple(TARGET - timedelta(days=d) for d in days), TARGET, HORIZON, 0.8)
    wave = [0.3 * np.cos(2 * np.pi * d / 365.25) for d in days]
    elsewhere = LaterCutoffs((*cutoffs.days[:3], TARGET - timedelta(days=450)), TARGET, HORIZON, 0.8)
    believed, not_believed = (fit_platt(*_outcomes(wave), c).intercept for c in (cutoffs, elsewhere))
    assert believed > 0.04 > 2 * abs(not_believed)
    assert fit_level(*_money(list(np.exp(wave))), cutoffs).shift > 0.03
