"""Reasons for sooner or later: they add up to the curve, and their slopes are those of the curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation import return_reasons
from serving.explanation.return_reasons import return_contributions
from training.artifact.bundle import ModelBundle
from training.models.ensemble import fit_ensemble
from training.models.return_hazard import fit_return_hazard


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def model(shop: Config, rows: Snapshots) -> ModelBundle:
    few = {kind: {"n_estimators": 10} for kind in ("churn", "spend")}
    bundle = fit_ensemble(rows, shop, rows.cutoffs, few).churn
    return replace(bundle, returns=fit_return_hazard(bundle, rows, shop, rows.cutoffs))


def test_base_and_contributions_are_the_curve(rows: Snapshots, model: ModelBundle) -> None:
    some, curves = rows.rows.slice(0, 60), model.return_curves(rows.rows.slice(0, 60))
    assert curves is not None and model.returns is not None
    for days in model.returns.marks[:-1]:
        part = return_contributions(model, some, days)
        np.testing.assert_allclose(part.base + part.values.sum(axis=1), curves.returned_by(days), atol=1e-6, rtol=0)
        np.testing.assert_allclose(part.total, curves.returned_by(days), atol=1e-9, rtol=0)
        assert 0 < part.base < 1
    used = np.abs(part.values).sum(axis=0) > 0
    assert used.sum() > 10 and not used[model.features.index("return_probability")]  # handed on to behaviour


def test_over_the_horizon_only_the_classifier_gives_reasons(rows: Snapshots, model: ModelBundle) -> None:
    from serving.explanation.contributions import compute_contributions

    some = rows.rows.slice(0, 30)
    part = return_contributions(model, some, rows.task.horizon.days)
    churn = compute_contributions(model, some)["churn"]
    np.testing.assert_allclose(part.values, -churn.values, atol=1e-6, rtol=0)
    assert part.base == pytest.approx(1 - churn.base)


def test_slopes_are_those_of_the_curve() -> None:
    margins = np.random.default_rng(1).normal(-1, 1.5, (6, 9))
    slopes, step = return_reasons._slopes(margins, 3, 1.3), 1e-6
    for column in range(9):
        moved = margins.copy()
        moved[:, column] += step
        change = (return_reasons._returned(moved, 3, 1.3) - return_reasons._returned(margins, 3, 1.3)) / step
        np.testing.assert_allclose(slopes[:, column], change, atol=1e-6)


def test_a_day_that_is_no_point_of_the_curve_is_refused(rows: Snapshots, model: ModelBundle) -> None:
    for bundle, days in ((model, 10_000), (replace(model, returns=None), 30)):
        with pytest.raises(ValueError, match="no curve of returning with a point at"):
            return_contributions(bundle, rows.rows.slice(0, 1), days)
