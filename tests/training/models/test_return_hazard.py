"""The hazard of returning: its rows, its fit, what travels in a model, and nothing from after `known_by`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.snapshots.build import Snapshots, build_snapshots
from training.artifact.bundle import ModelBundle
from training.data.time_split import ReturnTimes, sample_at
from training.models import return_hazard
from training.models.ensemble import fit_ensemble
from training.models.everybody_alike import fit_everybody_alike
from training.models.return_hazard import fit_return_hazard, life_table, period_bounds, person_periods

FAST = {"churn": {"n_estimators": 10}, "spend": {"n_estimators": 5}}


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def model(shop: Config, rows: Snapshots) -> ModelBundle:
    """A churn model with its hazard, of all cutoffs but the last."""
    cutoffs = rows.cutoffs[:-1]
    bundle = fit_ensemble(rows, shop, cutoffs, FAST).churn
    return replace(bundle, returns=fit_return_hazard(bundle, rows.as_known(rows.cutoffs[-1]), shop, cutoffs[:-1]))


def test_person_periods_against_a_loop() -> None:
    rng, bounds = np.random.default_rng(3), (2, 5, 7, 14)
    days = np.where(rng.random(200) < 0.3, np.nan, rng.integers(0, 16, 200))
    seen = rng.integers(5, 15, 200)
    days = np.where(days < seen, days, np.nan)
    expected = []
    for place in range(200):
        for period, end in enumerate(bounds):
            start = (0, *bounds)[period]
            if end > seen[place] or days[place] < start:
                break
            expected.append((place, period, float(start <= days[place] < end)))
    found = person_periods(ReturnTimes(days, np.zeros(200), seen), bounds)
    assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_a_life_table_has_a_hazard_for_every_period() -> None:
    table = life_table(np.array([0, 0, 0, 1]), np.array([1.0, 0.0, 0.0, 1.0]), np.ones(4), 4)
    assert np.round(table, 3).tolist() == [0.375, 0.75, 0.75, 0.75]


def test_the_marks_of_the_horizon_are_bounds() -> None:
    for days in (1, 3, 7, 28, 90, 365):
        bounds = period_bounds(return_hazard.Window(days))
        assert {max(1, round(share * days)) for share in (0.25, 0.5, 1, 2)} <= set(bounds)


def test_curves_are_near_what_happened_and_equal_the_churn_probability(rows: Snapshots, model: ModelBundle) -> None:
    truth = sample_at(rows, rows.cutoffs[-1:])
    predicted, curves = model.predict(truth.features), model.return_curves(truth.features)
    assert curves is not None and model.returns is not None and truth.returns is not None
    horizon = rows.task.horizon.days
    np.testing.assert_allclose(curves.returned_by(horizon), 1 - predicted["churn_probability"], atol=1e-9, rtol=0)
    for days in model.returns.marks[:-1]:
        observed = float(np.mean(truth.returns.days < days))
        assert abs(float(curves.returned_by(days).mean()) - observed) < 0.12, days
    orders = predicted["expected_orders"].sum() / truth.returns.orders.sum()
    assert 0.7 < orders < 1.4


def test_it_travels_as_text_and_predicts_the_same_bits(model: ModelBundle, rows: Snapshots, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    assert (folder / "returns-0.txt").read_text().startswith("tree")
    again = ModelBundle.load(folder)
    assert again == model and again.digest == model.digest
    one, other = model.predict(rows.rows), again.predict(rows.rows)
    assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_a_model_without_it_keeps_its_columns_and_its_digest(model: ModelBundle, tmp_path: Path) -> None:
    earlier = replace(model, returns=None)
    text = (earlier.save(tmp_path / "model") / "bundle.json").read_text()
    assert '"returns"' not in text
    assert ModelBundle.load(tmp_path / "model") == earlier
    assert earlier.classifier_digest == model.classifier_digest


def test_everybody_alike_has_one_curve(shop: Config, rows: Snapshots, model: ModelBundle) -> None:
    predicted = fit_everybody_alike(model, rows, shop.serving.interval).predict(rows.rows)
    for name in ("next_purchase_days_low", "expected_orders", f"returns_within_{rows.task.horizon}"):
        assert len(np.unique(predicted[name])) == 1, name


def test_no_label_from_after_the_cutoff_is_learned(shop: Config, rows: Snapshots, model: ModelBundle) -> None:
    """Returns that happened on the day of the cutoff or later are changed: the fitted hazard stays the same."""
    cutoffs, day = rows.cutoffs[:-2], rows.cutoffs[-1]
    days = rows.rows["return_days"].to_numpy()
    ahead = (np.datetime64(day, "D") - rows.rows["cutoff"].to_numpy().astype("datetime64[D]")).astype(float)
    changed = pa.array(np.where(days >= ahead, ahead + 1, days), mask=np.isnan(days) & (ahead > 0))
    at = rows.rows.column_names.index("return_days")
    other = replace(rows, rows=rows.rows.set_column(at, "return_days", changed))
    assert fit_return_hazard(model, other.as_known(day), shop, cutoffs) == model.returns


def test_the_pace_is_found_and_believed_by_half(rows: Snapshots, model: ModelBundle) -> None:
    """First purchases are drawn as the hazard spreads them, with exponents that make them earlier or later."""
    assert model.returns is not None
    rng, X, end = np.random.default_rng(8), model.model_inputs(rows.rows), model.returns.bounds.index(30)
    share = np.expm1(model.returns.log_survival(X)[:, : end + 1])
    share, starts = share / share[:, [end]], np.array((0, *model.returns.bounds))
    for pace in (0.6, 1.0, 1.5):
        period = (rng.random((len(share), 1)) > share**pace).sum(axis=1)
        assert return_hazard.fit_pace(model.returns, X, starts[period].astype(float)) == pytest.approx(
            pace**0.5, rel=0.1
        )


def test_contracts_and_rows_without_times_get_none(shop: Config, rows: Snapshots, model: ModelBundle) -> None:
    without = replace(rows, rows=rows.rows.drop_columns(["return_days", "return_orders"]))
    assert fit_return_hazard(model, without, shop, rows.cutoffs[:-2]) is None


def test_customers_are_drawn_by_the_seed(
    shop: Config, rows: Snapshots, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(return_hazard, "MOST_ROWS", 3_000)
    known, cutoffs = rows.as_known(rows.cutoffs[-1]), rows.cutoffs[:-2]
    few = fit_return_hazard(model, known, shop, cutoffs)
    assert few == fit_return_hazard(model, known, shop, cutoffs) != model.returns
