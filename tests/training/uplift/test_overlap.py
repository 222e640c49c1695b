"""Overlap and balance: by hand, and for an action that was chosen by known features."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.experiments import SimulatedExperiment, simulate_experiment
from training.uplift.effects import estimate_effects
from training.uplift.experiment import experiment_from_columns
from training.uplift.overlap import PROPENSITY_BOUNDS, estimate_propensities, measure_overlap, standardised_differences


@pytest.fixture(scope="module")
def chosen() -> SimulatedExperiment:
    return simulate_experiment(3_000, chosen=2.0)


def test_differences_by_hand() -> None:
    features = pa.table({"x": [1.0, 3.0, 2.0, 6.0, None], "same": [1.0] * 5})
    trial = experiment_from_columns(features, ["a", "a", "none", "none", "none"], {}, control="none", propensity=None)
    differences = standardised_differences(trial, 1, np.array([1.0, 3.0, 1.0, 1.0, 1.0]))
    # weighted mean 2.5 less 4, over the root of the mean of variances 2 and 8
    np.testing.assert_allclose(differences, [(2.5 - 4) / np.sqrt(5), 0])


def test_weighting_balances_what_was_chosen_by(chosen: SimulatedExperiment) -> None:
    trial, outside = estimate_propensities(chosen.data(propensity=None), seed=2)
    balance = measure_overlap(trial, estimated=True, outside=outside)
    row = balance.balance.set_index("feature").loc["x1"]
    assert row.before > 0.8
    assert abs(row.after) < row.before / 5
    assert 0 < outside < 0.2
    assert trial.propensity.min() >= PROPENSITY_BOUNDS[0] and trial.propensity.max() <= PROPENSITY_BOUNDS[1]
    np.testing.assert_allclose(trial.received, chosen.propensity, atol=0.15)
    assert f"{outside:.1%} of customers have a propensity outside (0.02, 0.98)" in balance.summary()


def test_an_observational_estimate_is_near_the_truth_and_marked(chosen: SimulatedExperiment) -> None:
    trial, _ = estimate_propensities(chosen.data(propensity=None, source="observational"), seed=2)
    estimates = estimate_effects(trial, seed=2, folds=2, resamples=50)
    average = estimates.evaluated[0].average
    naive = chosen.visit[chosen.action == "email"].mean() - chosen.visit[chosen.action == "none"].mean()
    assert estimates.bundle.source == "observational"
    assert average.low < chosen.truth.mean() < average.high < naive
