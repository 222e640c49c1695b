"""The prior of effects: zero without evidence, the estimate with much of it, and honest after choosing the best."""

from __future__ import annotations

import numpy as np
import pytest

from serving.effects.posterior import SCALE, PosteriorEffects, posterior_effects


def _posterior(
    effects: list[float], errors: list[float], actions: list[int] | None = None, count: int = 0
) -> PosteriorEffects:
    places = np.arange(len(effects)) if actions is None else np.array(actions, int)
    return posterior_effects(places, np.array(effects), np.array(errors), count or len(effects))


def test_precise_estimates_are_kept_and_noisy_ones_drawn_to_zero() -> None:
    precise, noisy, vague = (_posterior([0.1], [error]) for error in (1e-4, 0.1, 10.0))
    assert precise.mean[0] == pytest.approx(0.1, rel=1e-3)
    assert 0.02 < noisy.mean[0] < 0.08 and 0 < vague.mean[0] < 0.01
    assert precise.deviation[0] == pytest.approx(1e-4, rel=0.02)


def test_other_actions_say_how_large_effects_are() -> None:
    small = _posterior([0.05, *[0.0] * 8], [0.03] * 9).mean[0]
    large = _posterior([0.05, *[-0.3, 0.3] * 4], [0.03] * 9).mean[0]
    assert small < 0.02 < 0.045 < large
    alike = _posterior([0.05, *[0.3] * 8], [0.03] * 9).mean[0]
    assert alike > 0.055  # what all actions have in common counts too


def test_campaigns_of_one_action_are_one_effect_and_their_differences_are_doubt() -> None:
    alike = _posterior([0.1, 0.1], [0.04, 0.04], [0, 0], 1)
    alone = _posterior([0.1], [0.04])
    assert alike.error[0] == pytest.approx(0.04 / np.sqrt(2)) and alike.mean[0] > alone.mean[0]
    unlike = _posterior([0.3, -0.1], [0.04, 0.04], [0, 0], 1)
    assert unlike.estimate[0] == pytest.approx(0.1)
    assert unlike.mean[0] < alone.mean[0] and unlike.deviation[0] > 0.15


def test_an_action_without_an_estimate_has_the_prior() -> None:
    posterior = _posterior([], [], [], 1)
    assert (posterior.estimate[0], posterior.mean[0]) == (0, 0)
    assert np.isinf(posterior.error[0]) and posterior.deviation[0] > SCALE


def test_the_best_of_several_actions_brings_what_its_posterior_mean_says() -> None:
    """The raw estimate of the winner is far too high; the posterior mean is not, and its intervals hold."""
    rng = np.random.default_rng(3)
    chosen, raw, true, inside = [], [], [], []
    for _ in range(600):
        effects = rng.normal(0, SCALE) + rng.normal(0, SCALE, 6)
        estimates = effects + rng.normal(0, SCALE / 2, 6)
        posterior = _posterior(estimates.tolist(), [SCALE / 2] * 6)
        best = int(posterior.mean.argmax())
        chosen.append(posterior.mean[best])
        raw.append(estimates[best])
        true.append(effects[best])
        inside.append(abs(effects[best] - chosen[-1]) < 1.2816 * posterior.deviation[best])
    assert np.mean(raw) > 1.2 * np.mean(true)
    assert np.mean(true) / np.mean(chosen) == pytest.approx(1, abs=0.12)
    assert 0.73 < np.mean(inside) < 0.87
