"""What a log's past says of forecasts of longer spans: learned where it is seen, a wide prior where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.models.forecast_aging import DRIFTS, LEVEL_SD, SHOCKS, SLOWING, SLOWING_SD, AgedForecast, forecast_aging
from training.models.forecast_aging import _noise as noise_of

ENDS, ROOM = (180, 365, 1095), (0.1, 0.25, 0.6)


def aged(level: float, slowing: float, cutoffs: int = 12, noise: float = 0.0, seed: int = 0) -> list[AgedForecast]:
    """Forecasts at past cutoffs that were off by a level and by a slowing, two spans each."""
    rng = np.random.default_rng(seed)
    return [
        AgedForecast(day, 90, end, level + slowing * room + noise * rng.normal(), room, 1e-4)
        for day in range(-365 - 90 * cutoffs, -365, 90)
        for end, room in ((180, 0.1), (365, 0.25))
    ]


def test_without_a_past_it_is_the_prior_and_its_error_grows_with_the_span() -> None:
    forecast = forecast_aging((), 0, 90, ENDS, ROOM)
    assert forecast.shifts == pytest.approx(SLOWING * np.array(ROOM))
    assert forecast.errors[2] > forecast.errors[1]
    assert forecast.slowing == pytest.approx(SLOWING)


def test_a_level_that_was_off_is_corrected_and_the_error_shrinks() -> None:
    forecast = forecast_aging(aged(-0.4, 0.0), 0, 90, ENDS, ROOM)
    assert forecast.shifts[0] == pytest.approx(-0.4, abs=0.1)
    assert forecast.errors[0] < 0.7 * forecast_aging((), 0, 90, ENDS, ROOM).errors[0]


def test_a_longer_span_than_was_seen_has_the_larger_error() -> None:
    errors = forecast_aging(aged(-0.1, 0.3), 0, 90, ENDS, ROOM).errors
    assert errors[2] > errors[1]


def test_noise_makes_it_careful() -> None:
    quiet, loud = (forecast_aging(aged(-0.4, 0.0, noise=noise), 0, 90, ENDS, ROOM) for noise in (0.0, 0.6))
    assert loud.errors[1] > quiet.errors[1]


def test_the_order_of_the_past_does_not_matter() -> None:
    past = aged(-0.2, 0.2, noise=0.1)
    forward, backward = (forecast_aging(p, 0, 90, ENDS, ROOM) for p in (past, past[::-1]))
    np.testing.assert_allclose(forward.shifts, backward.shifts)


def test_chance_of_single_customers_is_no_evidence() -> None:
    past = [replace(one, variance=1.0) for one in aged(-0.4, 0.0)]
    assert forecast_aging(past, 0, 90, ENDS, ROOM).shifts[0] > -0.2


def test_intervals_hold_what_they_say_under_the_model() -> None:
    """Levels, slowing, shocks and drifts are drawn as the model says, 400 times."""
    rng, held = np.random.default_rng(3), []
    spans = [(day, 90, end) for day in range(-905, -365, 90) for end in (180, 365)] + [(0, 90, 730)]
    room = np.array([0.1 if end == 180 else 0.25 for _, _, end in spans[:-1]] + [0.4])
    shocks, drifts = (np.linalg.cholesky(noise + 1e-9 * np.eye(len(spans))) for noise in noise_of(spans))
    for _ in range(400):
        noise = [
            rng.choice(sizes) * root @ rng.normal(size=len(spans))
            for sizes, root in ((SHOCKS, shocks), (DRIFTS, drifts))
        ]
        off = rng.normal(0, LEVEL_SD) + rng.normal(SLOWING, SLOWING_SD) * room + noise[0] + noise[1]
        past = [AgedForecast(*span, ratio, d, 0.0) for span, ratio, d in zip(spans[:-1], off, room, strict=False)]
        forecast = forecast_aging(past, 0, 90, (730,), (0.4,))
        held.append(abs(off[-1] - forecast.shifts[0]) <= 1.2816 * forecast.errors[0])
    assert 0.75 <= np.mean(held) <= 0.86
