"""The reasons that a registered model gives are those of the score table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from features import phrases
from features.catalog import btyd_shares
from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation import contributions as explain
from training.artifact.reasons import Wording, feature_contributions, largest_reasons, rank_families
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
    wordings = [Wording.of(feature) for feature in catalog]
    part = explain.compute_contributions(trained.fitted.churn, rows)["churn"]
    chosen = largest_reasons(part.values, rows, wordings, 4, phrases.format_reading)
    assert chosen == explain.top_reasons(part, rows, catalog, 4)
    assert {len(mine) for mine in chosen} == {4}


def test_no_reason_is_a_forecast(trained: TrainingRun, snapshots: Snapshots) -> None:
    """What BG/NBD and Gamma-Gamma contribute lies with behaviour; without their shares it stays with them."""
    bundle = trained.fitted.value
    assert bundle is not None
    forecasts = [bundle.features.index(name) for name in btyd_shares.MADE_OF]
    without = feature_contributions(bundle, snapshots.rows.select(snapshots.names))
    for name, amounts in feature_contributions(bundle, snapshots.rows).items():
        assert np.abs(without[name][:, forecasts]).max() > 0
        assert not amounts[:, forecasts].any()
        np.testing.assert_allclose(amounts.sum(axis=1), without[name].sum(axis=1), rtol=1e-9, atol=1e-9)
    for kind, part in explain.compute_contributions(bundle, snapshots.rows).items():
        for reasons in explain.top_reasons(part, snapshots.rows, snapshots.features, 5):
            assert not {reason["feature"] for reason in reasons} & btyd_shares.MADE_OF.keys(), kind


def test_families_are_ranked_by_their_net_contribution(trained: TrainingRun, snapshots: Snapshots) -> None:
    rows, catalog = snapshots.rows.slice(0, 60), snapshots.features
    part = explain.compute_contributions(trained.fitted.churn, rows)["churn"]
    family = {feature.name: feature.family for feature in catalog}
    for amounts, reasons in zip(part.values, explain.top_reasons(part, rows, catalog, 4), strict=True):
        net: dict[str, float] = {}
        for feature, amount in zip(catalog, amounts, strict=True):
            net[feature.family] = net.get(feature.family, 0.0) + amount
        largest = sorted(net.values(), key=abs, reverse=True)
        assert [reason["contribution"] for reason in reasons] == pytest.approx(largest[:4])
        assert all(reason["contribution"] == pytest.approx(net[family[reason["feature"]]]) for reason in reasons)


def test_a_feature_that_needs_a_formula_speaks_only_where_no_other_does() -> None:
    words = [
        Wording("plain", "x", "", ""),
        Wording("index", "x", "", "", formula="a / b"),
        Wording("other", "y", "", ""),
    ]
    amounts = np.array([[0.1, 0.6, 0.2], [-0.1, 0.6, 0.2], [0.0, -0.3, 0.2], [-0.2, -0.3, 0.2]])
    assert rank_families(amounts, words).speakers[:, 0].tolist() == [0, 1, 1, 0]
    assert rank_families(np.zeros((2, 3)), words).speakers.tolist() == [[0, 2], [0, 2]]


def test_no_reading_comes_twice_and_the_next_feature_of_the_family_speaks() -> None:
    words = [Wording(name, family, name, "{value:days}") for name, family in (("a", "x"), ("b", "y"), ("c", "y"))]
    rows = pa.table({"a": [3.0], "b": [3.0], "c": [5.0]})
    (reasons,) = largest_reasons(np.array([[0.5, 0.3, 0.1]]), rows, words, 3, phrases.format_reading)
    assert [(r["feature"], r["reading"], r["contribution"]) for r in reasons] == [
        ("a", "3 days", 0.5),
        ("c", "5 days", 0.4),
    ]
