"""Everybody alike as a model: one prediction, no contributions, and intervals from what customers brought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from features.task import Window
from serving.explanation.contributions import compute_contributions
from training.artifact.bundle import LongerHorizon, ModelBundle
from training.artifact.margin import Margin
from training.artifact.reasons import Wording, feature_contributions, largest_reasons
from training.data.time_split import sample_at
from training.models.everybody_alike import fit_everybody_alike
from training.train import TrainingRun


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def alike(trained: TrainingRun, rows: Snapshots) -> ModelBundle:
    assert trained.fitted.value is not None
    return fit_everybody_alike(trained.fitted.value, rows, 0.8)


def test_everybody_has_the_share_and_the_mean_of_the_newest_cutoff(alike: ModelBundle, rows: Snapshots) -> None:
    newest = sample_at(rows, [max(rows.cutoffs)])
    predicted = alike.predict(newest.features)
    own = ("overdue_days",)  # a fact about each customer: days since the last order, less the usual gap
    assert all(len(np.unique(values)) == 1 for name, values in predicted.items() if name not in own)
    assert predicted["churn_probability"][0] == pytest.approx(newest.churned.mean())
    assert predicted["value"][0] == pytest.approx(newest.spend.mean())
    inside = (newest.spend >= predicted["value_low"]) & (newest.spend <= predicted["value_high"])
    assert inside.mean() == pytest.approx(0.8, abs=0.12)
    assert not alike.skill


def test_the_prediction_is_the_base_and_there_are_no_reasons(alike: ModelBundle, rows: Snapshots) -> None:
    table = rows.rows.slice(0, 5)
    for part in compute_contributions(alike, table).values():
        assert not part.values.any()
        np.testing.assert_allclose(part.total, part.base, rtol=1e-12)
    wordings = [Wording.of(feature) for feature in rows.features]
    amounts = feature_contributions(alike, table)["churn"]
    assert largest_reasons(amounts, table, wordings, 3, lambda *_: "") == [[]] * 5


def test_it_is_stored_like_any_model(alike: ModelBundle, rows: Snapshots, tmp_path: Path) -> None:
    back = ModelBundle.load(alike.save(tmp_path / "bundle"))
    assert back == alike
    assert not back.skill
    assert back.predict(rows.rows)["value_high"][0] == alike.predict(rows.rows)["value_high"][0]


def test_at_an_earlier_cutoff_it_knows_no_later_one(trained: TrainingRun, rows: Snapshots) -> None:
    fitted = trained.fitted
    evaluated = fit_everybody_alike(fitted.evaluated, rows.as_known(fitted.split.test.test), 0.8)
    newest = sample_at(rows, [max(fitted.split.test.train)])
    assert evaluated.predict(newest.features)["churn_probability"][0] == pytest.approx(newest.churned.mean())


def test_a_longer_horizon_adds_the_mean_gain(shop: Config, trained: TrainingRun, alike: ModelBundle) -> None:
    task = shop.task.model_copy(update={"value_horizons": (Window(60),)})
    rows = build_snapshots(shop.model_copy(update={"task": task}))
    assert trained.fitted.value is not None and alike.spread is not None
    step = LongerHorizon("value_60d", Margin(), 0.0, alike.spread)
    predicted = fit_everybody_alike(replace(trained.fitted.value, longer=(step,)), rows, 0.8).predict(rows.rows)
    assert predicted["value_60d"][0] > predicted["value"][0]
    assert predicted["value_60d_low"][0] <= predicted["value_60d"][0] <= predicted["value_60d_high"][0]
