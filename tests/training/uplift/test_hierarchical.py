"""The hierarchical model on an experiment: effects in proportion to the forecast, and the better of it and learners."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from training.artifact.hierarchical_effects import PARTS, effect_shape
from training.artifact.uplift_bundle import named_columns
from training.uplift.experiment import ExperimentData, experiment_from_columns
from training.uplift.hierarchical import average_effect, cross_fitted_effects, fit_hierarchical, hierarchical_wins


@pytest.fixture(scope="module")
def experiment() -> ExperimentData:
    """Two rounds of letters that bring 40% more, twice that to customers of the web."""
    rng, n = np.random.default_rng(1), 4_000
    forecast, web, arm = rng.gamma(2, 5, n), rng.random(n) < 0.5, rng.integers(2, size=n)
    effect = np.where(arm == 1, np.where(web, 0.8, 0.0), 0.0)
    features = pa.table({"amount_expected": forecast, "channel": np.where(web, "web", "store")})
    outcome = 5.0 * rng.poisson(forecast * (1 + effect) / 5)
    return experiment_from_columns(
        features, np.where(arm == 1, "letter", "none"), {"value": outcome, "return": (outcome > 0) * 1.0},
        control="none", propensity=np.full(n, 0.5), rounds=np.arange(n) % 2,
    )  # fmt: skip


def test_effects_follow_the_forecast_and_the_channel(experiment: ExperimentData) -> None:
    base = np.full(len(experiment), experiment.outcomes["value"].mean())
    model = fit_hierarchical(experiment, experiment.outcomes["value"], base)
    assert model.forecast == "amount_expected" and not model.share
    columns = named_columns(experiment.design, experiment.columns)
    mean, parts = model.predict("letter", columns, None)
    web, forecast = columns["channel"] == "web", columns["amount_expected"]
    assert (mean[web] / forecast[web]).mean() == pytest.approx(0.8, abs=0.15)
    assert abs((mean[~web] / forecast[~web]).mean()) < 0.15
    assert parts.shape == (len(experiment), PARTS)
    average, error = average_effect(model, "letter", columns, base)
    assert abs(average - 0.4 * forecast.mean()) < 4 * error


def test_money_is_at_the_level_that_is_expected_of_the_next_round(experiment: ExperimentData) -> None:
    """Customers without an action bring half of their forecast in every round, so that is what a plan counts on."""
    half, base = experiment.outcomes["value"] / 2, np.ones(len(experiment))
    whole, less = (fit_hierarchical(experiment, each, base) for each in (2 * half, half))
    assert whole.level == pytest.approx(1, abs=0.05) and less.level == pytest.approx(0.5, abs=0.15)
    assert fit_hierarchical(experiment, experiment.outcomes["return"], base).level == 1
    means = [
        model.predict("letter", named_columns(experiment.design, experiment.columns), base)[0]
        for model in (whole, less)
    ]
    assert means[1].mean() / means[0].mean() == pytest.approx(less.level / whole.level, rel=0.1)


def test_a_probability_without_a_forecast_uses_the_given_one(experiment: ExperimentData) -> None:
    returned = experiment.outcomes["return"]
    base = np.full(len(experiment), returned[experiment.arm == 0].mean())
    model = fit_hierarchical(experiment, returned, base)
    assert model.forecast == "" and model.share
    mean, _ = model.predict("letter", named_columns(experiment.design, experiment.columns), base)
    assert 0 < mean.mean() < effect_shape(base, True).max()


def test_whichever_has_the_lower_loss_wins(experiment: ExperimentData) -> None:
    value, base = experiment.outcomes["value"], np.full(len(experiment), 10.0)
    effects = cross_fitted_effects(experiment, value, base, np.arange(len(experiment)) % 2)[:, 0]
    scores = np.where(experiment.arm == 1, 2, -2) * (value - value.mean())
    assert hierarchical_wins(scores, effects, np.zeros(len(scores)))
    assert not hierarchical_wins(scores, effects, scores)
