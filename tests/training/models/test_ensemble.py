"""The whole procedure: nothing later is used, folds that cannot tell are left out, and the bundle is the stack."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from training import side_by_side
from training.data.category_levels import encode_sample
from training.data.time_split import out_of_time_folds, sample_at
from training.models.base_models import fit_base_models
from training.models.ensemble import FittedEnsemble, calibrate_ensemble, fit_ensemble


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """Snapshots of the shop's mature cutoffs."""
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def cutoffs(rows: Snapshots) -> list[date]:
    """All but the last two of them."""
    return sorted({m.date() for m in rows.rows["cutoff"].unique().to_pylist()})[:-2]


@pytest.fixture(scope="module")
def shipped(rows: Snapshots, shop: Config, cutoffs: list[date]) -> FittedEnsemble:
    """What those cutoffs teach."""
    return fit_ensemble(rows, shop, cutoffs, {})


def test_fitting_side_by_side_changes_no_bit(
    rows: Snapshots, shop: Config, cutoffs: list[date], shipped: FittedEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = 1 if side_by_side._openmp_threads() > 1 else 2
    monkeypatch.setattr(side_by_side, "_openmp_threads", lambda: other)
    assert fit_ensemble(rows, shop, cutoffs, {}).richest == shipped.richest


def _labelled(rows: Snapshots, where: np.ndarray, churned: int, value: float) -> Snapshots:
    """The same snapshots with other labels where `where` (n,) holds."""
    table, mask = rows.rows, pa.array(where)
    for name, label in (("churned", churned), ("value", value)):
        place, column = table.column_names.index(name), table[name]
        changed = pa.compute.if_else(mask, pa.scalar(label, column.type), column)
        table = table.set_column(place, name, changed)
    return replace(rows, rows=table)


def _moments(rows: Snapshots) -> np.ndarray:
    return rows.rows["cutoff"].to_numpy()


def test_nothing_after_its_cutoffs_is_used(
    rows: Snapshots, shop: Config, cutoffs: list[date], shipped: FittedEnsemble
) -> None:
    later = _moments(rows) > np.datetime64(max(cutoffs))
    assert later.any()
    again = fit_ensemble(_labelled(rows, later, 1, 1e6), shop, cutoffs, {})
    assert again.richest == shipped.richest


def test_the_bundle_is_the_weighted_sum_of_its_base_models(
    rows: Snapshots, shop: Config, cutoffs: list[date], shipped: FittedEnsemble
) -> None:
    base_models = fit_base_models(sample_at(rows, cutoffs), rows, shop.training.seed, {})
    truth = sample_at(rows, [max(cutoffs)])
    X = encode_sample(truth, base_models.levels).features
    weights = shipped.richest.facts["members"]
    spend = sum(w * m.predict(X) for w, m in zip(weights["spend"], base_models.spend, strict=True))
    log_odds = shipped.richest.slope * sum(
        w * m.predict(X) for w, m in zip(weights["gate"], base_models.churn, strict=True)
    )
    churn = 1 / (1 + np.exp(-(log_odds + shipped.richest.intercept)))
    predicted = shipped.richest.predict(truth.features)
    np.testing.assert_allclose(predicted["churn_probability"], churn)
    np.testing.assert_allclose(predicted["value"], (1 - churn) * np.exp(spend + shipped.richest.log_level))


def test_a_later_cutoff_of_one_fate_says_nothing_and_is_left_out(
    rows: Snapshots, shop: Config, cutoffs: list[date], shipped: FittedEnsemble
) -> None:
    newest = out_of_time_folds(cutoffs, shop.task.horizon)[0].test
    assert shipped.churn.facts["heard"][0] == str(newest)
    there = _moments(rows) == np.datetime64(datetime(newest.year, newest.month, newest.day))
    without = fit_ensemble(_labelled(rows, there, 1, 0.0), shop, cutoffs, {})
    assert str(newest) not in without.churn.facts["heard"]
    assert without.churn.facts["heard"]


def test_without_out_of_time_predictions_weights_are_equal_and_nothing_is_shifted(
    rows: Snapshots, shop: Config, cutoffs: list[date]
) -> None:
    alone = fit_ensemble(rows, shop, cutoffs[-1:], {}).richest
    assert alone.facts["heard"] == []
    assert alone.facts["members"] == {"gate": [1 / 3] * 3, "spend": [1 / 3] * 3}
    assert (alone.slope, alone.intercept, alone.log_level) == (1.0, 0.0, 0.0)
    predicted = alone.predict(sample_at(rows, cutoffs[-1:]).features)
    assert (predicted["value_low"] <= predicted["value"]).all() and (
        predicted["value_high"] >= predicted["value"]
    ).all()
    assert predicted["value_high"].max() > predicted["value"].max()


def test_cross_calibration_leaves_out_the_predicted_cutoff(shipped: FittedEnsemble) -> None:
    first, *rest = shipped.out_of_time
    assert rest
    other = replace(first.truth, churned=1 - first.truth.churned, value=10 * first.truth.churned)
    flipped = replace(first, truth=other)
    target, horizon = first.fold.test + shipped.horizon.delta, shipped.horizon
    assert calibrate_ensemble([flipped, *rest], shipped.base_models, 0.8, target, horizon) != calibrate_ensemble(
        shipped.out_of_time, shipped.base_models, 0.8, target, horizon
    )
    as_it_was = shipped.cross_calibrated(0.8)[0][1]
    as_flipped = replace(shipped, out_of_time=(flipped, *rest)).cross_calibrated(0.8)[0][1]
    np.testing.assert_array_equal(as_it_was.churn, as_flipped.churn)


def test_new_levels_at_scoring_time_are_other(rows: Snapshots, shipped: FittedEnsemble) -> None:
    table = rows.rows
    name = next(iter(shipped.churn.levels))
    strange = table.set_column(table.column_names.index(name), name, pa.array(["never seen"] * table.num_rows))
    assert np.isfinite(shipped.churn.predict(strange)["churn_probability"]).all()


def test_a_handful_of_customers_still_have_intervals(rows: Snapshots, shop: Config, cutoffs: list[date]) -> None:
    known = sorted(set(rows.rows["customer_id"].to_pylist()))[:24]
    few = replace(rows, rows=rows.rows.filter(pa.compute.is_in(rows.rows["customer_id"], pa.array(known))))
    predicted = fit_ensemble(few, shop, cutoffs, {}).richest.predict(sample_at(few, cutoffs).features)
    assert np.isfinite(predicted["value_high"]).all()
    assert (predicted["value_high"] >= predicted["value"]).all()
