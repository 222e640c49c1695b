"""Totals of lifetime value: those of the score columns, in their intervals, with how far labels reach in words."""

from __future__ import annotations

import numpy as np
import pytest

from features.outputs.manifests import ScoreManifest
from serving.language.messages import get_language
from serving.scoring.lifetime_totals import lifetime_lines, lifetime_name, lifetime_totals, reach_text
from tests.training.artifact.test_lifetime import CUSTOMERS, LIFETIME, VALUE
from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin

BUNDLE = ModelBundle("value", "shop", (), {}, Margin(), lifetime=LIFETIME)
EMPTY = {"format": 1, "name": "shop", "cutoff": "2024-06-01", "customers": 4, "parts": []}


@pytest.fixture(scope="module")
def manifest() -> ScoreManifest:
    """A manifest with the totals of four customers."""
    totals = lifetime_totals(BUNDLE, LIFETIME.predict(CUSTOMERS, {90: VALUE}))
    return ScoreManifest.model_validate({**EMPTY, "lifetime": totals})


def test_totals_are_sums_of_the_columns_inside_their_intervals(manifest: ScoreManifest) -> None:
    columns = LIFETIME.predict(CUSTOMERS, {90: VALUE})
    assert manifest.lifetime is not None
    for row in manifest.lifetime["totals"]:
        assert row["total"] == pytest.approx(columns[row["column"]].sum())
        assert row["low"] <= row["total"] <= row["high"]
        assert row["profit"] is None
    assert [row["days"] for row in manifest.lifetime["totals"]] == [365, 3650]


def test_a_terminal_is_told_the_totals_and_how_far_labels_reach(manifest: ScoreManifest) -> None:
    lines = lifetime_lines(manifest)
    assert lines[0].startswith("Value over 12 months of all customers: ")
    assert "Labels reach 365 days" in lines[-1]
    assert "365" in reach_text(manifest, get_language("zh"))
    assert lifetime_name("lifetime_value", get_language("zh")) == "生命周期价值"


def test_scores_without_lifetime_value_say_nothing() -> None:
    assert lifetime_totals(ModelBundle("churn", "shop", (), {}, Margin()), {"value": np.zeros(2)}) is None
    nothing = ScoreManifest.model_validate(EMPTY)
    assert lifetime_lines(nothing) == []
    assert reach_text(nothing, get_language("en")) == ""
