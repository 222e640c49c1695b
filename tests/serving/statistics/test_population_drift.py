"""Drift: chance alone raises no alarm at any table size; a real shift does, with its size."""

from __future__ import annotations

import numpy as np
import pytest

from serving.statistics.population_drift import (
    Drift,
    DriftSamples,
    drifted_driver_share,
    measure_drift,
    population_stability_index,
    psi_noise_bound,
)

LEVELS = np.array(["web", "shop", "app", None], object)


def numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Skewed numbers, some of them missing."""
    return np.where(rng.random(n) < 0.05, np.nan, rng.lognormal(0, 1, n))


def levels(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice(LEVELS, n, p=[0.6, 0.3, 0.08, 0.02])


@pytest.mark.parametrize("draw", [numbers, levels])
def test_the_noise_bound_holds_what_it_promises(draw) -> None:  # type: ignore[no-untyped-def]
    rng, seeds = np.random.default_rng(3), 400
    passed = 0
    for _ in range(seeds):
        drift = measure_drift(DriftSamples(draw(rng, 200), [draw(rng, 200)]), chance=0.05, matters=0.0)
        passed += drift["psi"] > drift["noise"]
    assert 0.02 <= passed / seeds <= 0.09  # 5% are expected, 3.3 standard errors either way


def test_of_a_hundred_features_none_alarms_by_chance_at_200_customers() -> None:
    rng = np.random.default_rng(4)
    both = [DriftSamples(numbers(rng, 200), [numbers(rng, 200)]) for _ in range(100)]
    assert not any(measure_drift(sides, 0.01 / 100, 0.2)["moved"] for sides in both)


def test_two_million_customers_do_not_alarm_for_a_trifle() -> None:
    rng = np.random.default_rng(5)
    shares = np.full(10, 0.1)
    n = 2_000_000
    same = population_stability_index(rng.multinomial(n, shares), rng.multinomial(n, shares))
    assert same < psi_noise_bound(10, n, n, 0.0001)
    trifle = population_stability_index(
        rng.multinomial(n, shares + np.linspace(-0.005, 0.005, 10)), rng.multinomial(n, shares)
    )
    assert psi_noise_bound(10, n, n, 0.0001) < trifle < 0.2  # beyond chance, and of no size


@pytest.mark.parametrize("n", [200, 5000])
def test_a_shifted_feature_alarms(n: int) -> None:
    rng = np.random.default_rng(6)
    before, now = rng.normal(0, 1, n), rng.normal(1, 1, n)
    drift = measure_drift(DriftSamples(now, [before]), 0.01 / 100, 0.2)
    assert drift["moved"] and drift["distance"] == pytest.approx(1, abs=0.25) and drift["change"] > 0.7


def test_levels_that_were_never_there_are_counted() -> None:
    before, now = np.array(["a"] * 900 + ["b"] * 100, object), np.array(["a"] * 500 + ["c"] * 500, object)
    drift = measure_drift(DriftSamples(now, [before]), 0.001, 0.2)
    assert drift["moved"] and drift["unseen"] == 0.5 and drift["change"] is None and 0.5 < drift["distance"] < 1


def test_a_change_as_large_as_before_is_no_alarm() -> None:
    rng = np.random.default_rng(7)
    then, before, now = (rng.normal(mean, 1, 3000) for mean in (0, 1, 2))
    assert measure_drift(DriftSamples(now, [before]), 0.001, 0.2)["moved"]
    assert not measure_drift(DriftSamples(now, [before], [then]), 0.001, 0.2)["moved"]


def test_a_change_as_a_year_ago_is_the_season() -> None:
    rng = np.random.default_rng(8)
    before, now, year = rng.normal(0, 1, 3000), rng.normal(1, 1, 3000), rng.normal(1, 1, 3000)
    drift = measure_drift(DriftSamples(now, [before], season_values=year), 0.001, 0.2)
    assert drift["seasonal"] and not drift["moved"]
    assert measure_drift(DriftSamples(now, [before], season_values=before), 0.001, 0.2)["moved"]


def test_a_feature_that_is_now_missing_drifted() -> None:
    rng = np.random.default_rng(9)
    drift = measure_drift(DriftSamples(np.full(500, np.nan), [rng.normal(size=500)]), 0.001, 0.2)
    assert drift["moved"] and drift["distance"] == 0


def test_nothing_at_all_is_compared_without_an_alarm() -> None:
    nothing = np.full(50, np.nan)
    assert not measure_drift(DriftSamples(nothing, [nothing]), 0.001, 0.2)["moved"]
    assert psi_noise_bound(1, 10, 10, 0.01) == 0.0


def test_drifted_features_are_weighted_by_the_drivers_of_the_model() -> None:
    def drift(name: str, moved: bool) -> Drift:
        return Drift("feature", name, name, 0.5, 0.1, 1.0, 1.0, 0.0, False, None, "before", moved)

    drivers = {"a": 3.0, "b": 1.0}
    assert drifted_driver_share([drift("a", True), drift("b", False)], drivers) == 0.75
    assert drifted_driver_share([drift("c", True)], drivers) == 0.0 == drifted_driver_share([drift("a", True)], {})
