"""Overlap and balance: by hand, and for an action that was chosen by known features."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features.errors import DataError
from tests.experiments import SimulatedExperiment, simulate_experiment
from training.uplift.effects import estimate_effects
from training.uplift.experiment import experiment_from_columns
from training.uplift.overlap import estimate_propensities, measure_overlap, standardised_differences


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
    trial, kept = estimate_propensities(chosen.data(propensity=None), seed=2)
    balance = measure_overlap(trial, estimated=True, outside=1 - kept.mean())
    row = balance.balance.set_index("feature").loc["x1"]
    assert row.before > 0.8
    assert abs(row.after) < row.before / 5
    assert 0.7 < kept.mean() < 1 and len(trial) == kept.sum()
    assert chosen.propensity[~kept].max() > 0.85  # nearly certain to get it, or not to
    assert np.abs(trial.received - chosen.propensity[kept]).mean() < 0.05
    assert f"{1 - kept.mean():.1%} of customers have no comparable ones in the other group" in balance.summary()


def test_a_rule_is_found_and_those_whom_it_cannot_meet_are_left_out() -> None:
    """Half of those with x of exactly 21 get it, and nobody else; y says nothing."""
    rng, n = np.random.default_rng(1), 4_000
    x = rng.integers(0, 40, n).astype(float)
    action = np.where((x == 21) & (rng.random(n) < 0.5), "mail", "none")
    features = pa.table({"x": x, "y": rng.normal(size=n)})
    trial, kept = estimate_propensities(
        experiment_from_columns(features, action, {}, control="none", propensity=None), seed=1
    )
    assert (kept == (x == 21)).mean() > 0.995 and kept[x == 21].all()
    assert trial.propensity[:, 1].mean() == pytest.approx(0.5, abs=0.1)


def test_groups_without_anybody_alike_are_refused() -> None:
    x = np.repeat([0.0, 1.0], 500)
    action = np.where(x > 0, "mail", "none")
    trial = experiment_from_columns(pa.table({"x": x}), action, {}, control="none", propensity=None)
    with pytest.raises(DataError, match=r"customers of 'mail' cannot be compared.*Hold some customers out at random"):
        estimate_propensities(trial, seed=1)


def test_an_observational_estimate_is_near_the_truth_and_marked(chosen: SimulatedExperiment) -> None:
    trial, _ = estimate_propensities(chosen.data(propensity=None, source="observational"), seed=2)
    estimates = estimate_effects(trial, seed=2, folds=2, resamples=50)
    average = estimates.evaluated[0].average
    naive = chosen.visit[chosen.action == "email"].mean() - chosen.visit[chosen.action == "none"].mean()
    assert estimates.bundle.source == "observational"
    assert average.low < chosen.truth.mean() < average.high < naive
