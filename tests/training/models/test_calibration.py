"""Calibrators find what was wrong, and change little on little or contradicting evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from training.models.calibration import Platt, fit_level, fit_platt, predict_shift


def _cutoffs(slope: float, intercept: float, count: int, rows: int = 20_000) -> tuple[list, list]:
    """Margins and outcomes of some cutoffs whose log-odds are slope x margin + intercept."""
    rng = np.random.default_rng(0)
    margins = [rng.normal(-0.5, 2, rows) for _ in range(count)]
    return margins, [(rng.random(rows) < expit(slope * m + intercept)).astype(float) for m in margins]


def test_many_cutoffs_that_agree_recover_slope_and_intercept() -> None:
    platt = fit_platt(*_cutoffs(0.8, -0.3, 12), [0.0] * 12)
    assert platt.slope == pytest.approx(0.8, abs=0.05)
    assert platt.intercept == pytest.approx(-0.3, abs=0.06)


def test_one_cutoff_moves_less_than_many() -> None:
    one, three, many = (fit_platt(*_cutoffs(0.8, -0.3, count), [0.0] * count) for count in (1, 3, 12))
    assert 1 > one.slope > three.slope > many.slope
    assert 0 > three.intercept > many.intercept


def test_a_calibrated_margin_is_left_alone_and_a_handful_of_rows_change_little() -> None:
    platt = fit_platt(*_cutoffs(1.0, 0.0, 3), [0.0, 1.0, 2.0])
    assert platt.slope == pytest.approx(1.0, abs=0.03)
    assert platt.intercept == pytest.approx(0.0, abs=0.03)
    few = fit_platt([np.array([2.0, -1.0])], [np.array([0.0, 1.0])], [0.0])
    assert few.slope == pytest.approx(1.0, abs=0.05)
    assert few.intercept == pytest.approx(0.0, abs=0.05)
    assert fit_platt([], [], []) == Platt()


def test_rows_of_one_class_stay_finite() -> None:
    platt = fit_platt([np.linspace(-1, 1, 100)], [np.zeros(100)], [0.0])
    assert np.isfinite([platt.slope, platt.intercept]).all()


def test_level_is_the_factor_of_the_total_when_cutoffs_agree_and_none_when_they_do_not() -> None:
    rng = np.random.default_rng(1)

    def cutoffs(*factors: float) -> tuple[list, list]:
        predicted = [rng.gamma(2, 50, 20_000) for _ in factors]
        return predicted, [s * f * rng.gamma(2, 0.5, len(s)) for s, f in zip(predicted, factors, strict=True)]

    agreed = fit_level(*cutoffs(*[1.2] * 8), [0.0] * 8)
    assert agreed.shift == pytest.approx(np.log(1.2), abs=0.03)
    contradicting = fit_level(*cutoffs(1.2, 1 / 1.2, 1.2, 1 / 1.2), [0.0] * 4)
    assert abs(contradicting.shift) < 0.05
    assert contradicting.error > agreed.error
    assert fit_level([np.ones(5)], [np.zeros(5)], [0.0]).shift == 0.0


@given(expected=st.lists(st.floats(-2, 2), min_size=1, max_size=6), error=st.floats(0.001, 1))
def test_the_lasting_shift_lies_between_none_and_what_was_seen(expected: list[float], error: float) -> None:
    shift = predict_shift(expected, [error] * len(expected), range(len(expected)))
    assert min(0.0, *expected) - 1e-9 <= shift.shift <= max(0.0, *expected) + 1e-9
    assert shift.error > 0


def test_the_newest_cutoff_says_more_than_an_older_one() -> None:
    assert (
        predict_shift([0.3, 0.0, 0.0], [0.01] * 3, [0, 1, 2]).shift
        > predict_shift([0.0, 0.0, 0.3], [0.01] * 3, [0, 1, 2]).shift
    )


def test_one_cutoff_alone_gives_a_slope_but_no_shift() -> None:
    margins, outcomes = _cutoffs(0.8, -0.3, 1)
    platt = fit_platt(margins, outcomes, [0.0])
    assert platt.slope < 1
    assert platt.slope * margins[0].mean() + platt.intercept == pytest.approx(margins[0].mean())
    off = fit_level([np.full(1000, 10.0)], [np.full(1000, 20.0)], [0.0])
    assert off.shift == 0.0
    assert off.error > fit_level([np.full(1000, 10.0)], [np.full(1000, 10.0)], [0.0]).error


def test_where_cutoffs_disagree_the_one_of_the_same_season_is_believed() -> None:
    """Years with seasons: predicted by all cutoffs alike, and by knowing which one has the season of the next."""
    rng, missed = np.random.default_rng(4), {False: 0.0, True: 0.0}
    for _ in range(300):
        season = rng.normal(0, 0.25, 4)
        expected = [season[place] + rng.normal(0, 0.05) for place in (3, 2, 1, 0)]
        for known in missed:
            shift = predict_shift(expected, [0.02] * 4, [0.0, 1.0, 2.0, 0.0], [False, False, False, known]).shift
            missed[known] += (shift - season[0]) ** 2 / 300
    assert missed[True] < 0.3 * missed[False]


def test_where_cutoffs_agree_the_season_changes_little() -> None:
    expected = [0.1, 0.11, 0.1, 0.09]
    with_season, without = (
        predict_shift(expected, [0.02] * 4, [0.0] * 4, [False] * 3 + [known]) for known in (True, False)
    )
    assert with_season.shift == pytest.approx(without.shift, abs=0.02)
    assert with_season.error < without.error
