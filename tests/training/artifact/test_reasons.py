"""The reasons that a registered model gives are those of the score table."""

from __future__ import annotations

import numpy as np
import pytest

from features import phrases
from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation import contributions as explain
from training.artifact.reasons import Wording, feature_contributions, largest_reasons
from training.registry.run_record import WORDING_FIELDS
from training.train import TrainingRun


@pytest.fixture(scope="module")
def snapshots(shop: Config, trained: TrainingRun) -> Snapshots:
    """The cohort of the newest cutoff."""
    return build_snapshots(shop, [trained.newest], with_labels=False)


def test_contributions_are_those_of_the_score_table(trained: TrainingRun, snapshots: Snapshots) -> None:
    for bundle in (trained.fitted.churn, trained.fitted.value):
        assert bundle is not None
        rows = snapshots.rows.slice(0, 40)
        mine, for_scores = feature_contributions(bundle, rows), explain.compute_contributions(bundle, rows)
        assert mine.keys() == for_scores.keys()
        for name, amounts in mine.items():
            np.testing.assert_allclose(amounts, for_scores[name].values, rtol=1e-9, atol=1e-9)


def test_reasons_are_worded_as_in_the_score_table(trained: TrainingRun, snapshots: Snapshots) -> None:
    rows, catalog = snapshots.rows.slice(0, 40), snapshots.features
    wordings = [Wording(f.name, **{field: getattr(f, field) for field in WORDING_FIELDS}) for f in catalog]
    part = explain.compute_contributions(trained.fitted.churn, rows)["churn"]
    chosen = largest_reasons(part.values, rows, wordings, 4, phrases.format_reading)
    assert chosen == explain.top_reasons(part, rows, catalog, 4)
    assert {len(mine) for mine in chosen} == {4}
