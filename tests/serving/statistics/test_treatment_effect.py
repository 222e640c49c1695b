"""Known answers, and coverage over 1,000 simulated experiments with and without an effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from serving.statistics.treatment_effect import (
    TreatmentEffect,
    difference_in_means,
    pool_effects,
    regression_adjusted_effect,
    sample_ratio_p_value,
    simultaneous_effects,
)

TRIALS = 1_000


def _simulate_experiment(
    rng: np.random.Generator, n: int = 400, effect: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spend that is often 0 and depends on a covariate, with one in three customers held out at random."""
    before = rng.gamma(1.0, 10.0, n)
    treated = rng.random(n) < 2 / 3
    spend = (rng.random(n) < 0.5) * (before + rng.gamma(2.0, 2.0, n))
    return spend + effect * treated, treated, before[:, None]


def test_a_game_s_retention_comes_out_as_published() -> None:
    """90,189 players, a gate at level 30 or 40, 19.0% against 18.2% back after a week: z is 3.16."""
    n30, n40 = 44_700, 45_489
    back = np.concatenate([np.arange(n30) < round(0.1902 * n30), np.arange(n40) < round(0.1820 * n40)]).astype(float)
    effect = difference_in_means(back, np.arange(n30 + n40) < n30)
    assert effect.effect == pytest.approx(0.0082, abs=1e-4)
    assert effect.effect / effect.error == pytest.approx(3.16, abs=0.03)
    assert 0.003 < effect.low < effect.high < 0.0134
    assert effect.p == pytest.approx(0.0016, abs=3e-4)
    assert sample_ratio_p_value([n30, n40], [0.5, 0.5]) == pytest.approx(0.0086, abs=1e-3)


def test_the_unadjusted_effect_is_welch_s() -> None:
    outcome, treated, _ = _simulate_experiment(np.random.default_rng(0))
    effect = difference_in_means(outcome, treated)
    theirs = stats.ttest_ind(outcome[treated], outcome[~treated], equal_var=False)
    assert effect.effect / effect.error == pytest.approx(theirs.statistic, rel=1e-9)


def test_the_adjusted_effect_is_least_squares_with_interactions() -> None:
    outcome, treated, before = _simulate_experiment(np.random.default_rng(1))
    centred = before - before.mean(axis=0)
    Z = np.column_stack([np.ones(len(outcome)), treated, centred, centred * treated[:, None]])
    assert regression_adjusted_effect(outcome, treated, before).effect == pytest.approx(
        np.linalg.lstsq(Z, outcome, rcond=None)[0][1]
    )


@pytest.mark.parametrize("effect", [0.0, 2.0])
def test_intervals_hold_and_false_alarms_are_as_rare_as_promised(effect: float) -> None:
    rng = np.random.default_rng(int(effect) + 2)
    rows_by_interval = {"plain": [], "adjusted": [], "anytime": []}
    for _ in range(TRIALS):
        outcome, treated, before = _simulate_experiment(rng, effect=effect)
        fine = regression_adjusted_effect(outcome, treated, before)
        for name, (low, high) in {
            "plain": (lambda e: (e.low, e.high))(difference_in_means(outcome, treated)),
            "adjusted": (fine.low, fine.high),
            "anytime": fine.anytime_interval(),
        }.items():
            rows_by_interval[name].append((low <= effect <= high, high - low, low > 0 or high < 0))
    covered, width, alarm = (
        {name: np.mean(rows, axis=0)[i] for name, rows in rows_by_interval.items()} for i in range(3)
    )
    assert covered["plain"] == pytest.approx(0.95, abs=0.02) and covered["adjusted"] == pytest.approx(0.95, abs=0.02)
    assert covered["anytime"] > 0.98
    assert width["adjusted"] < 0.95 * width["plain"] < width["anytime"]
    if effect:
        assert alarm["adjusted"] > alarm["plain"]
    else:
        assert alarm["plain"] < 0.07 and alarm["adjusted"] < 0.07


def test_looking_every_day_raises_false_alarms_but_not_those_of_the_anytime_interval() -> None:
    rng, alarms = np.random.default_rng(5), np.zeros(2)
    for _ in range(TRIALS):
        outcome, treated = rng.normal(size=600), rng.random(600) < 0.5
        looks = [difference_in_means(outcome[:n], treated[:n]) for n in range(60, 601, 60)]
        ends = [e.anytime_interval(planned=600) for e in looks]
        alarms += [any(e.low > 0 or e.high < 0 for e in looks), any(low > 0 or high < 0 for low, high in ends)]
    assert alarms[0] / TRIALS > 0.12
    assert alarms[1] / TRIALS < 0.05


def test_actions_looked_at_together_raise_false_alarms_but_not_the_simultaneous_ones() -> None:
    rng, alarms = np.random.default_rng(6), np.zeros(3)
    for _ in range(TRIALS):
        parts = [difference_in_means(rng.normal(size=100), rng.random(100) < 0.5) for _ in range(6)]
        together = simultaneous_effects(parts)
        alarms += [
            any(e.p < 0.05 for e in parts),
            any(e.p < 0.05 for e in together),
            any(e.low > 0 or e.high < 0 for e in together),
        ]
    assert alarms[0] / TRIALS > 0.2
    assert (alarms[1:] / TRIALS < 0.07).all()


def test_simultaneous_effects_keep_their_order_and_size() -> None:
    parts = [TreatmentEffect(e, 1.0, e - 2, e + 2, p, 10, 10) for e, p in ((3.0, 0.003), (0.5, 0.6), (2.2, 0.03))]
    together = simultaneous_effects(parts)
    assert [round(e.p, 9) for e in together] == [0.009, 0.6, 0.06]
    assert [e.effect for e in together] == [e.effect for e in parts]
    assert all(a.low < b.low and a.high > b.high for a, b in zip(together, parts, strict=True))


def test_a_sample_ratio_mismatch_is_noticed() -> None:
    rng = np.random.default_rng(7)
    fair = [sample_ratio_p_value(np.bincount(rng.choice(3, 500, p=[0.5, 0.3, 0.2])), [5, 3, 2]) for _ in range(TRIALS)]
    assert np.mean(np.array(fair) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert sample_ratio_p_value([500, 300, 120], [5, 3, 2]) < 1e-4


@pytest.mark.parametrize("n_held_out", [0, 1])
def test_too_few_to_compare_is_not_known_rather_than_wrong(n_held_out: int) -> None:
    effect = regression_adjusted_effect(np.arange(9.0), np.arange(9) >= n_held_out, np.ones((9, 1)))
    assert np.isnan(effect.effect) and (effect.treated, effect.held_out) == (9 - n_held_out, n_held_out)
    assert np.isnan(simultaneous_effects([effect])[0].p)


def test_what_never_varies_cannot_harm() -> None:
    outcome, treated, before = _simulate_experiment(np.random.default_rng(8))
    twice = regression_adjusted_effect(outcome, treated, np.column_stack([before, before, np.ones(len(before))]))
    once = regression_adjusted_effect(outcome, treated, before)
    assert (twice.effect, twice.error) == pytest.approx((once.effect, once.error), rel=1e-6)


def test_the_pooled_effect_is_the_mean_of_its_parts() -> None:
    parts = [TreatmentEffect(1.0, 0.5, 0, 2, 0.05, 10, 20), TreatmentEffect(2.0, 0.5, 1, 3, 0.05, 30, 40)]
    pooled = pool_effects(parts, [10, 30])
    assert (pooled.effect, pooled.treated, pooled.held_out) == (1.75, 40, 60)
