"""Known answers, and coverage over many simulated experiments with and without an effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from serving.statistics.treatment_effect import (
    TreatmentEffect,
    count_up_to_cap,
    difference_in_means,
    regression_adjusted_effect,
    sample_ratio_p_value,
    simultaneous_effects,
    smallest_detectable,
    treatment_effects,
)

TRIALS = 300
FEW = 999  # draws: enough for a level of 5%


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


def test_the_unadjusted_effect_is_a_difference_of_means_with_a_pooled_variance() -> None:
    outcome, treated, _ = _simulate_experiment(np.random.default_rng(0))
    effect = difference_in_means(outcome, treated)
    theirs = stats.ttest_ind(outcome[treated], outcome[~treated])
    assert effect.effect / effect.error == pytest.approx(theirs.statistic, rel=1e-9)
    assert effect.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert (effect.treated, effect.held_out) == (treated.sum(), (~treated).sum())


def test_the_adjusted_effect_is_least_squares_with_one_slope() -> None:
    outcome, treated, before = _simulate_experiment(np.random.default_rng(1))
    Z = np.column_stack([np.ones(len(outcome)), treated, before])
    assert regression_adjusted_effect(outcome, treated, before).effect == pytest.approx(
        np.linalg.lstsq(Z, outcome, rcond=None)[0][1]
    )


def test_several_outcomes_at_once_have_the_same_effects() -> None:
    outcome, treated, before = _simulate_experiment(np.random.default_rng(2))
    both = treatment_effects(np.column_stack([outcome, outcome > 0]), treated, before, seed=4)
    for effect, values in zip(both, (outcome, outcome > 0), strict=True):
        alone = regression_adjusted_effect(values, treated, before, seed=4)
        assert (effect.effect, effect.low, effect.high, effect.p) == pytest.approx(
            (alone.effect, alone.low, alone.high, alone.p)
        )


@pytest.mark.parametrize("effect", [0.0, 2.0])
def test_intervals_hold_and_false_alarms_are_as_rare_as_promised(effect: float) -> None:
    rng = np.random.default_rng(int(effect) + 2)
    rows_by_interval: dict[str, list[tuple[bool, float, bool]]] = {"plain": [], "adjusted": [], "anytime": []}
    for _ in range(TRIALS):
        outcome, treated, before = _simulate_experiment(rng, effect=effect)
        fine = regression_adjusted_effect(outcome, treated, before, draws=FEW)
        plain = difference_in_means(outcome, treated, draws=FEW)
        for name, (low, high) in {
            "plain": (plain.low, plain.high),
            "adjusted": (fine.low, fine.high),
            "anytime": fine.anytime_interval(looks=20),
        }.items():
            rows_by_interval[name].append((low <= effect <= high, high - low, low > 0 or high < 0))
    covered, width, alarm = (
        {name: np.mean(rows, axis=0)[i] for name, rows in rows_by_interval.items()} for i in range(3)
    )
    assert covered["plain"] == pytest.approx(0.95, abs=0.035) and covered["adjusted"] == pytest.approx(0.95, abs=0.035)
    assert covered["anytime"] > 0.985
    assert width["adjusted"] < 0.95 * width["plain"] < width["anytime"]
    if effect:
        assert alarm["adjusted"] > alarm["plain"]


def test_looking_every_day_raises_false_alarms_but_not_those_of_the_anytime_interval() -> None:
    """The same customers at each look, with outcomes that keep coming in."""
    rng, alarms = np.random.default_rng(5), np.zeros(2)
    for _ in range(TRIALS):
        treated = rng.permutation(200) >= 30
        days = np.cumsum((rng.random((200, 10)) < 0.2) * rng.lognormal(2, 1, (200, 10)), axis=1)
        looks = treatment_effects(days, treated, np.empty((200, 0)), draws=FEW)
        ends = [effect.anytime_interval(looks=10) for effect in looks]
        alarms += [any(e.low > 0 or e.high < 0 for e in looks), any(low > 0 or high < 0 for low, high in ends)]
    assert alarms[0] / TRIALS > 0.12
    assert alarms[1] / TRIALS < 0.06


def test_actions_looked_at_together_raise_false_alarms_but_not_the_simultaneous_ones() -> None:
    rng, alarms = np.random.default_rng(6), np.zeros(3)
    for _ in range(TRIALS):
        parts = [difference_in_means(rng.normal(size=100), rng.random(100) < 0.5, draws=FEW) for _ in range(6)]
        together = simultaneous_effects(parts)
        alarms += [
            any(e.p < 0.05 for e in parts),
            any(e.p < 0.05 for e in together),
            any(e.low > 0 or e.high < 0 for e in together),
        ]
    assert alarms[0] / TRIALS > 0.2
    assert (alarms[1:] / TRIALS < 0.08).all()


def test_the_cap_is_blind_to_the_groups_and_counts_both_directions() -> None:
    rng = np.random.default_rng(7)
    spend = (rng.random(1_000) < 0.5) * rng.pareto(1.5, 1_000) * 10
    spend[0] = -1e6
    counted, cap = count_up_to_cap(spend)
    assert cap == np.quantile(spend[spend > 0], 0.95) == counted.max() == -counted.min()
    assert (counted[np.abs(spend) <= cap] == spend[np.abs(spend) <= cap]).all()
    nothing, unlimited = count_up_to_cap(np.zeros(5))
    assert np.isinf(unlimited) and not nothing.any()


def test_the_cap_finds_effects_that_a_heavy_tail_hides() -> None:
    rng, hits = np.random.default_rng(8), np.zeros(2)
    for _ in range(60):
        treated = rng.random(1_000) < 0.9
        spend = (rng.random(1_000) < np.where(treated, 0.6, 0.4)) * rng.pareto(1.3, 1_000) * 10
        hits += [difference_in_means(each, treated, draws=FEW).p <= 0.05 for each in (spend, count_up_to_cap(spend)[0])]
    assert hits[1] > 1.3 * hits[0]


def test_the_smallest_detectable_effect_is_detected_as_often_as_promised() -> None:
    least = smallest_detectable(2.0, 900, 100, 0.8)
    error = 2 * np.sqrt(1 / 900 + 1 / 100)
    assert stats.norm.sf(stats.norm.isf(0.025) - least / error) == pytest.approx(0.8)
    assert smallest_detectable(2.0, 900, 100, 0.8, 0.99) > least


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


def test_too_few_to_compare_is_not_known_rather_than_wrong() -> None:
    nobody = regression_adjusted_effect(np.arange(9.0), np.ones(9, bool), np.ones((9, 1)))
    assert np.isnan(nobody.effect) and (nobody.treated, nobody.held_out) == (9, 0)
    assert np.isnan(simultaneous_effects([nobody])[0].p)
    one = regression_adjusted_effect(np.arange(9.0), np.arange(9) >= 1, np.ones((9, 1)))
    assert (
        one.effect == pytest.approx(4.5) and (one.low, one.high) == (-np.inf, np.inf) and one.p > 0.2
    )  # one of nine assignments
    assert simultaneous_effects([one])[0].low == -np.inf == one.anytime_interval()[0]


def test_what_never_varies_cannot_harm() -> None:
    outcome, treated, before = _simulate_experiment(np.random.default_rng(8))
    twice = regression_adjusted_effect(outcome, treated, np.column_stack([before, before, np.ones(len(before))]))
    once = regression_adjusted_effect(outcome, treated, before)
    assert (twice.effect, twice.error) == pytest.approx((once.effect, once.error), rel=1e-6)
