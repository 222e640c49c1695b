"""Effects relative to the forecast: drawn to zero without evidence, right with it, and intervals that hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.uplift.effect_posterior import (
    EffectPosterior,
    RoundEvidence,
    customer_effects,
    effect_posterior,
    fit_variances,
)

SCALES = np.array([1.0, 0.5])
NORMAL_95 = 1.96


def _round(effects: np.ndarray, rng: np.random.Generator, n: int = 3_000, level: float = 1.3) -> RoundEvidence:
    """Customers with a gamma forecast and Poisson purchases of 10 each; `effects` (actions, 2) of the modifiers."""
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    expected, arm = rng.gamma(1.5, 8.0, n), rng.integers(len(effects) + 1, size=n)
    shares = np.vstack([np.zeros(2), effects])[arm]
    rate = level * expected * np.maximum(1 + (x * shares).sum(axis=1), 0) / 10
    return RoundEvidence(x, expected, arm, 10.0 * rng.poisson(rate))


def test_without_evidence_the_prior_and_nothing_else() -> None:
    prior = effect_posterior([], 2, SCALES)
    assert not prior.mean.any() and not prior.contacts.any() and not prior.changes.any()
    deviations = np.sqrt(np.diag(prior.own_covariance(0)))
    assert 0 < deviations[1] < deviations[0]
    assert 0 < prior.covariance[0, 2] < prior.covariance[0, 0]  # actions have something in common


def test_effects_are_found_and_nothing_is_found_where_nothing_is() -> None:
    rng, effects = np.random.default_rng(1), np.array([[0.3, 0.2], [0.0, 0.0]])
    found = effect_posterior([_round(effects, rng) for _ in range(3)], 2, SCALES)
    np.testing.assert_allclose(found.mean, effects, atol=0.08)
    nothing = effect_posterior([_round(0 * effects, rng) for _ in range(3)], 2, SCALES)
    assert np.abs(nothing.mean).max() < 0.04 and nothing.scale < found.scale
    assert found.contacts.min() > 1_000


def test_an_effect_that_turns_is_learned_anew() -> None:
    rng, before = np.random.default_rng(2), np.array([[0.4, 0.0]])
    rounds = [_round(before, rng) for _ in range(4)]
    steady = effect_posterior(rounds, 1, SCALES)
    turned = effect_posterior([*rounds, _round(-before, rng), _round(-before, rng)], 1, SCALES)
    assert steady.changes[0] < 0.2 < 0.9 < turned.changes[0]
    assert steady.mean[0, 0] > 0.25 and turned.mean[0, 0] < -0.25


def test_whom_an_action_is_given_to_does_not_matter() -> None:
    """Contacts that prefer customers with a modifier are no bias, since the modifier is a covariate."""
    rng = np.random.default_rng(3)
    one = _round(np.array([[0.0, 0.0]]), rng, 20_000)
    better = 1 + 0.3 * one.modifiers[:, 1]  # these customers bring more than forecast, contacted or not
    arm = (rng.random(20_000) < np.where(one.modifiers[:, 1] > 0, 0.5, 0.05)).astype(int)
    biased = replace(one, arm=arm, outcome=rng.poisson(np.maximum(one.outcome * better, 0)).astype(float))
    found = effect_posterior([biased], 1, SCALES)
    assert abs(found.mean[0, 0]) < 3 * np.sqrt(found.own_covariance(0)[0, 0])


def test_a_forecast_that_is_wrong_for_those_of_whom_most_is_expected_is_no_effect() -> None:
    """A plan gives the action to customers with the highest forecasts, of whom too little was expected."""
    one, rng = _round(np.zeros((1, 2)), np.random.default_rng(9), 20_000), np.random.default_rng(10)
    high = one.expected > np.quantile(one.expected, 0.8)
    arm = (rng.random(20_000) < np.where(high, 0.9, 0.0)).astype(int)
    more = rng.poisson(one.outcome * np.where(high, 1.3, 1.0)).astype(float)
    found = effect_posterior([replace(one, arm=arm, outcome=more)], 1, SCALES)
    assert abs(found.mean[0, 0]) < 2 * np.sqrt(found.own_covariance(0)[0, 0])


def test_variances_are_in_proportion_to_the_forecast_with_a_scale_for_each_arm_unless_they_are_known() -> None:
    one = _round(np.array([[1.0, 0.0]]), np.random.default_rng(4), 20_000)
    (variance,) = fit_variances([one])
    ratio = variance / one.expected
    assert np.ptp(ratio[one.arm == 0]) < 1e-9
    assert ratio[one.arm == 0][0] == pytest.approx(13, rel=0.05)  # Poisson purchases of 10 each: 10 x the mean
    assert ratio[one.arm == 1].mean() == pytest.approx(26, rel=0.05)  # the action doubles them
    few = replace(one, arm=np.where(np.arange(20_000) < 5, one.arm, 0), outcome=one.outcome * (np.arange(20_000) >= 5))
    assert fit_variances([few])[0][:5].min() > 0  # a few contacts without any purchase are no proof of no variance
    known = replace(one, variance=np.ones(20_000))
    assert (fit_variances([known])[0] == 1).all()


def test_a_purchase_of_a_customer_of_whom_nothing_was_expected_weighs_no_more_than_others() -> None:
    one = _round(np.zeros((1, 2)), np.random.default_rng(8))
    arm, expected, outcome = one.arm.copy(), one.expected.copy(), one.outcome.copy()
    arm[0], expected[0], outcome[0] = 1, 1e-3, 50.0
    before, after = (
        effect_posterior([replace(one, arm=arm, expected=expected, outcome=each)], 1, SCALES)
        for each in (np.where(np.arange(len(arm)) > 0, outcome, 0.0), outcome)
    )
    assert abs(after.mean[0, 0] - before.mean[0, 0]) < 0.3 * np.sqrt(before.own_covariance(0)[0, 0])


def test_effects_of_customers_are_in_proportion_to_their_forecast() -> None:
    posterior = effect_posterior([_round(np.array([[0.3, 0.0]]), np.random.default_rng(5))], 1, SCALES)
    x, shape = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([10.0, 20.0])
    mean, parts = customer_effects(posterior, 0, x, shape)
    np.testing.assert_allclose(mean, shape * (x @ posterior.mean[0]))
    variance = shape**2 * np.einsum("nk,kj,nj->n", x, posterior.own_covariance(0), x)
    np.testing.assert_allclose((parts**2).sum(axis=1), variance)


def _coverage(repeats: int, seed: int) -> float:
    rng, inside = np.random.default_rng(seed), 0
    for _ in range(repeats):
        scale = rng.choice([0.02, 0.05, 0.1, 0.2])
        effects = scale * SCALES * (0.447 * rng.normal(size=2) + 0.894 * rng.normal(size=(3, 2)))
        found: EffectPosterior = effect_posterior([_round(effects, rng, 1_500) for _ in range(2)], 3, SCALES)
        deviation = np.sqrt(np.diag(found.covariance)).reshape(3, 2)
        inside += int((np.abs(effects - found.mean) < NORMAL_95 * deviation).sum())
    return inside / (6 * repeats)


def test_intervals_hold() -> None:
    assert 0.9 < _coverage(60, 6) < 0.99


@pytest.mark.long
def test_intervals_hold_over_many_repetitions() -> None:
    assert 0.92 < _coverage(1_000, 7) < 0.97
