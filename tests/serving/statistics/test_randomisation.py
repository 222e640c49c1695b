"""Randomisation inference against full enumeration, brute-force inversion, and experiments without an effect."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from serving.statistics import randomisation
from serving.statistics.randomisation import (
    DrawnReference,
    compare_groups,
    pearson_quantile,
    pearson_tail,
    remove_covariates,
)

NONE = np.empty((10, 0))


def _t(outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, strata: np.ndarray) -> float:
    """The classical t of the treatment in a least-squares regression, written out."""
    dummies = (strata[:, None] == np.unique(strata)).astype(float)
    Z = np.column_stack([treated, dummies, covariates])
    b, *_ = np.linalg.lstsq(Z, outcome, rcond=None)
    residuals = outcome - Z @ b
    variance = residuals @ residuals / (len(outcome) - Z.shape[1])
    return float(b[0] / np.sqrt(variance * np.linalg.inv(Z.T @ Z)[0, 0]))


def _all_assignments(treated: np.ndarray, strata: np.ndarray) -> list[np.ndarray]:
    """Every assignment with the same number held out in each stratum."""
    choices = [
        list(combinations(np.flatnonzero(strata == s), int((~treated[strata == s]).sum()))) for s in np.unique(strata)
    ]
    assignments = []
    for chosen in product(*choices):
        one = np.ones(len(treated), bool)
        one[[place for places in chosen for place in places]] = False
        assignments.append(one)
    return assignments


def _exact_p(
    effect: float, outcome: np.ndarray, treated: np.ndarray, covariates: np.ndarray, strata: np.ndarray
) -> float:
    """Two-sided p-value of a constant effect, by full enumeration."""
    without = outcome - effect * treated
    every = np.array([_t(without, z, covariates, strata) for z in _all_assignments(treated, strata)])
    observed = _t(without, treated, covariates, strata)
    return min(1.0, 2 * min((every >= observed - 1e-9).mean(), (every <= observed + 1e-9).mean()))


@pytest.mark.parametrize("covariates, blocks", [(0, 1), (1, 1), (0, 2), (1, 2)])
def test_p_values_and_limits_are_those_of_full_enumeration(
    covariates: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomisation, "_covariate_basis", lambda x: np.linalg.qr(x)[0])  # also for so few customers
    rng = np.random.default_rng(covariates + 2 * blocks)
    n = 12
    outcome, before = rng.gamma(0.7, 10, n) + 8, rng.normal(size=(n, covariates))
    strata = np.repeat(np.arange(blocks), n // blocks)
    treated = np.ones(n, bool)
    treated[rng.permutation(n // blocks)[:2] + (n // blocks) * np.arange(blocks)[:, None]] = False
    (ours,) = compare_groups(outcome[:, None], treated, before, strata, 3)
    assert ours.reference is not None
    for effect in (0.0, -5.0, 2.0, 9.0):
        exact = _exact_p(effect, outcome, treated, before, strata)
        assert ours.reference.p_value(effect) == pytest.approx(exact, abs=0.02)
    low, high = ours.reference.interval(0.8)
    inside, outside = [low + 1e-6, ours.effect, high - 1e-6], [low - (high - low) / 4, high + (high - low) / 4]
    assert all(ours.reference.p_value(effect) > 0.2 for effect in inside)
    assert all(_exact_p(effect, outcome, treated, before, strata) > 0.19 for effect in inside)
    assert all(_exact_p(effect, outcome, treated, before, strata) < 0.2 for effect in outside)


def test_effect_and_error_are_those_of_an_analysis_of_covariance() -> None:
    rng = np.random.default_rng(1)
    n = 200
    before, strata, treated = rng.normal(size=(n, 2)), rng.integers(3, size=n), rng.random(n) < 0.8
    outcome = before @ [2.0, -1.0] + strata + 3 * treated + rng.normal(size=n)
    (ours,) = compare_groups(outcome[:, None], treated, before, strata, 1)
    assert ours.effect / ours.error == pytest.approx(_t(outcome, treated, before, strata), rel=1e-9)
    assert ours.effect == pytest.approx(3, abs=0.6)


def test_a_small_skewed_holdout_raises_no_false_alarms_in_favour_of_the_plan() -> None:
    """500 customers, 25 held out: Welch's interval excludes 0 in 14% of such experiments, all in the plan's favour."""
    rng, signs = np.random.default_rng(2), []
    for seed in range(400):
        outcome = (rng.random(500) < 0.3) * rng.lognormal(3, 1.8, 500)
        treated = rng.permutation(500) >= 25
        (ours,) = compare_groups(outcome[:, None], treated, np.empty((500, 0)), np.zeros(500, int), seed, draws=999)
        assert isinstance(ours.reference, DrawnReference)
        low, high = ours.reference.interval(0.95)
        assert (low > 0 or high < 0) == (ours.reference.p_value() <= 0.05)
        signs.append((low > 0) - (high < 0))
    assert 0.02 < np.mean(np.abs(signs)) < 0.085
    assert abs(np.sum(signs)) <= 10


def test_large_groups_have_the_same_limits_without_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    outcome, treated = rng.gamma(0.5, 10.0, 8_000)[:, None], rng.random(8_000) < 0.8
    (drawn,) = compare_groups(outcome, treated, np.empty((8_000, 0)), np.zeros(8_000, int), 1)
    monkeypatch.setattr(randomisation, "MANY", 1_000)
    (moments,) = compare_groups(outcome, treated, np.empty((8_000, 0)), np.zeros(8_000, int), 1)
    assert (
        drawn.reference is not None
        and moments.reference is not None
        and (drawn.error, drawn.effect) == (moments.error, moments.effect)
    )
    for level in (0.9, 0.95, 0.99):
        limits = zip(drawn.reference.interval(level), moments.reference.interval(level), strict=True)
        assert all(a == pytest.approx(b, abs=0.1 * drawn.error) for a, b in limits)
    assert moments.reference.p_value() == pytest.approx(drawn.reference.p_value(), abs=0.02)
    low, high = moments.reference.interval(0.95)
    assert moments.reference.p_value(low) == pytest.approx(0.05) == moments.reference.p_value(high)


def test_the_sizes_of_strata_stay_and_the_larger_group_can_be_the_holdout() -> None:
    rng = np.random.default_rng(4)
    outcome, strata = rng.normal(size=(60, 1)), np.repeat([0, 1], 30)
    treated = np.concatenate([np.arange(30) < 25, np.arange(30) < 5])  # most are treated, most are held out
    (ours,) = compare_groups(outcome, treated, np.empty((60, 0)), strata, 1)
    (mirrored,) = compare_groups(outcome, ~treated, np.empty((60, 0)), strata, 1)
    assert ours.reference is not None and mirrored.reference is not None
    assert ours.effect == pytest.approx(-mirrored.effect)
    low, high = ours.reference.interval(0.95)
    assert mirrored.reference.interval(0.95) == pytest.approx((-high, -low), abs=0.15 * (high - low))


def test_limits_beyond_the_draws_are_extrapolated_and_too_few_assignments_have_none() -> None:
    rng = np.random.default_rng(5)
    outcome, treated = rng.gamma(1.0, 10.0, (400, 1)), np.arange(400) >= 40
    (ours,) = compare_groups(outcome, treated, np.empty((400, 0)), np.zeros(400, int), 1)
    assert isinstance(ours.reference, DrawnReference)
    thinned = DrawnReference(ours.reference.crossings[4::10])  # a tenth of the draws
    width = np.subtract(*ours.reference.interval(0.998)[::-1])
    assert thinned.interval(0.998) == pytest.approx(ours.reference.interval(0.998), abs=0.1 * width)
    (few,) = compare_groups(outcome[:20], np.arange(20) > 0, NONE[:, :0].repeat(2, 0), np.zeros(20, int), 1)
    assert few.reference is not None and few.reference.interval(0.95) == (-np.inf, np.inf)
    assert few.reference.p_value() >= 0.09


@pytest.mark.parametrize("skewness", [-0.8, 0.0, 0.3])
def test_pearson_tails_are_scipy_s(skewness: float) -> None:
    for share in (0.001, 0.2, 0.975):
        value = pearson_quantile(share, skewness)
        assert value == pytest.approx(stats.pearson3.ppf(share, skewness), abs=1e-6)
        assert pearson_tail(value, skewness) == pytest.approx(1 - share, abs=1e-6)


def test_nothing_to_compare_and_outcomes_that_do_not_vary() -> None:
    (alone,) = compare_groups(np.ones((10, 1)), np.ones(10, bool), NONE, np.zeros(10, int), 1)
    assert np.isnan(alone.effect) and alone.reference is None
    (constant,) = compare_groups(np.ones((10, 1)), np.arange(10) > 3, NONE, np.zeros(10, int), 1)
    assert constant.effect == 0 and constant.reference is not None
    assert constant.reference.p_value() == 1 and constant.reference.interval(0.95) == (-np.inf, np.inf)
    (split,) = compare_groups(np.ones((10, 1)), np.arange(10) > 4, NONE, np.arange(10) // 5, 1)
    assert np.isnan(split.effect)  # no stratum has customers on both sides


def test_what_covariates_explain_is_removed_within_strata() -> None:
    rng = np.random.default_rng(6)
    before, strata = rng.normal(size=(90, 1)), np.repeat([0, 1, 2], 30)
    outcome = 5 * before + strata[:, None]
    rest = remove_covariates(outcome, before, strata)
    assert [rest[strata == s].mean() for s in range(3)] == pytest.approx(
        [outcome[strata == s].mean() for s in range(3)]
    )
    assert rest[strata == 1].std() < 1e-9 * outcome.std()


def test_the_same_seed_gives_the_same_bits() -> None:
    rng = np.random.default_rng(7)
    outcome, treated = rng.normal(size=(50, 1)), np.arange(50) > 9
    first, again, other = (
        compare_groups(outcome, treated, np.empty((50, 0)), np.zeros(50, int), seed)[0].reference for seed in (1, 1, 2)
    )
    assert isinstance(first, DrawnReference) and isinstance(again, DrawnReference) and isinstance(other, DrawnReference)
    assert np.array_equal(first.crossings, again.crossings) and not np.array_equal(first.crossings, other.crossings)
