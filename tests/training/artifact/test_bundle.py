"""A bundle comes back as it was written, or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from training.artifact.bundle import ModelBundle
from training.artifact.margin import Margin, Term
from training.artifact.model_files import BundleError
from training.artifact.reasons import feature_contributions
from training.artifact.spread import Spread
from training.models.churn import ChurnClassifier
from training.models.spend import SpendRegressor

TERM = Term("f1", "log1p", 2.0, 0.3, 0.5)
SPREAD = Spread(0.8, 0.8, (0.0, 0.5, 1.0), (1.0, 4.0), ((0.0, 1.0, 3.0), (0.5, 1.0, 2.0)), (1.5, 1.1), 0.1)


@pytest.fixture(scope="module")
def features() -> pa.Table:
    """Features of made-up customers."""
    rng = np.random.default_rng(0)
    return pa.table(
        {f"f{i}": pa.array(np.where(rng.random(500) < 0.1, np.nan, rng.normal(size=500))) for i in range(4)}
    )


@pytest.fixture(scope="module")
def bundle(features: pa.Table) -> ModelBundle:
    """A value model with a calibrator that does something."""
    rng = np.random.default_rng(1)
    gate = ChurnClassifier().fit(features, (rng.random(500) < 0.4).astype(float))
    spend = SpendRegressor().fit(features, rng.gamma(2, 30, 500))
    return ModelBundle(
        kind="value",
        name="shop",
        features=tuple(features.column_names),
        task={"horizon": "30d"},
        gate=Margin(0.1, (TERM,), (gate.booster_.model_to_string(),), (0.7,)),
        slope=0.8,
        intercept=-0.1,
        spend=Margin(trees=(spend.booster_.model_to_string(),) * 2, weights=(0.5, 0.5)),
        log_level=0.2,
        spread=SPREAD,
    )


def test_bounds_of_terms_are_written_and_a_term_without_lowest_is_as_before(
    bundle: ModelBundle, features: pa.Table, tmp_path: Path
) -> None:
    bounded = dataclasses.replace(TERM, lowest=-0.5, greatest=0.5)
    for term, keys in ((TERM, {"greatest"}), (bounded, {"greatest", "lowest"})):
        gate = dataclasses.replace(bundle.gate, terms=(term,))
        model = dataclasses.replace(bundle, gate=gate)
        folder = model.save(tmp_path / f"bounds-{len(keys)}")
        (written,) = json.loads((folder / "bundle.json").read_text())["gate"]["terms"]
        assert keys == written.keys() & {"greatest", "lowest"}
        assert ModelBundle.load(folder) == model
        amounts = feature_contributions(model, features)
        for name, column in (("churn", "churn_probability"), ("value", "value")):
            apart = model.predict(features)[column] - amounts[name].sum(axis=1)
            assert np.ptp(apart) < 1e-6


def test_it_comes_back_as_it_was_written(bundle: ModelBundle, features: pa.Table, tmp_path: Path) -> None:
    back = ModelBundle.load(bundle.save(tmp_path / "model"))
    assert back == bundle
    assert back.digest == bundle.digest
    for name, numbers in bundle.predict(features).items():
        np.testing.assert_array_equal(back.predict(features)[name], numbers)


def test_everything_in_it_is_text(bundle: ModelBundle, tmp_path: Path) -> None:
    for path in bundle.save(tmp_path / "model").iterdir():
        path.read_text(encoding="utf-8")


def test_its_numbers_do_not_contradict_each_other(bundle: ModelBundle, features: pa.Table) -> None:
    predicted = bundle.predict(features)
    spend = predicted["value"] + predicted["value_at_risk"]
    np.testing.assert_allclose(predicted["value"], (1 - predicted["churn_probability"]) * spend, rtol=1e-12)
    assert (predicted["value_low"] <= predicted["value"]).all()
    assert (predicted["value"] <= predicted["value_high"]).all()


def test_pandas_and_arrow_in_any_order_of_columns_say_the_same(bundle: ModelBundle, features: pa.Table) -> None:
    shuffled = features.to_pandas()[["f2", "f0", "f3", "f1"]].assign(more="x")
    np.testing.assert_array_equal(bundle.predict(shuffled)["value"], bundle.predict(features)["value"])


def test_a_missing_column_is_named(bundle: ModelBundle, features: pa.Table) -> None:
    with pytest.raises(BundleError, match="1 are missing: f2"):
        bundle.predict(features.drop_columns(["f2"]))


def test_a_margin_adds_up_terms_and_weighted_trees(bundle: ModelBundle, features: pa.Table) -> None:
    X = bundle.model_inputs(features)
    trees = np.asarray(bundle.gate.boosters()[0].predict(X, raw_score=True))
    shaped = np.log1p(np.maximum(X["f1"].to_numpy() / 2, 0)) - 0.3
    np.testing.assert_allclose(bundle.gate.predict(X), 0.1 + 0.5 * np.nan_to_num(shaped) + 0.7 * trees)


def test_the_interval_is_that_of_the_groups_on_either_side() -> None:
    sure = np.ones(3)
    low, high = SPREAD.interval(sure, np.exp([1.0, 4.0, 2.5]))
    ratios = [(0.2, 2.6), (0.6, 1.8), (0.4, 2.2)]
    np.testing.assert_allclose(low / np.exp([1.0, 4.0, 2.5]), [r[0] for r in ratios])
    np.testing.assert_allclose(high / np.exp([1.0, 4.0, 2.5]), [r[1] for r in ratios])
    np.testing.assert_allclose(np.concatenate(SPREAD.interval(sure[:1] * 0.1, np.array([50.0]))), [0.0, 5.0])


def test_half_a_chance_of_nothing_puts_the_low_end_at_nothing() -> None:
    low, high = SPREAD.interval(np.array([0.5]), np.array([2 * np.exp(4.0)]))
    assert low.tolist() == [0.0]
    np.testing.assert_allclose(high, 2 * np.exp(4.0) * np.interp(0.6, (0, 0.5, 1), (0.5, 1, 2)))


@pytest.mark.parametrize("part", ["gate-0.txt", "spend-1.txt"])
def test_a_file_that_was_changed_is_refused(bundle: ModelBundle, tmp_path: Path, part: str) -> None:
    folder = bundle.save(tmp_path / "model")
    (folder / part).write_text((folder / part).read_text() + " ")
    with pytest.raises(BundleError, match="checksum differs"):
        ModelBundle.load(folder)


@pytest.mark.parametrize("key", ["slope", "features", "checksums", "digest"])
def test_a_number_that_was_changed_is_refused(bundle: ModelBundle, tmp_path: Path, key: str) -> None:
    folder = bundle.save(tmp_path / "model")
    index = json.loads((folder / "bundle.json").read_text())
    other = {"slope": 0.81, "features": index["features"][::-1], "checksums": {}, "digest": None}[key]
    (folder / "bundle.json").write_text(json.dumps({**index, key: other}))
    with pytest.raises(BundleError, match="bundle.json is not the file that was written: its digest differs"):
        ModelBundle.load(folder)


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a model of regulars"):
        ModelBundle.load(tmp_path)
    (tmp_path / "bundle.json").write_text("[]")
    with pytest.raises(BundleError, match="not a model of regulars"):
        ModelBundle.load(tmp_path)


def test_another_format_is_refused(bundle: ModelBundle, tmp_path: Path) -> None:
    folder = bundle.save(tmp_path / "model")
    index = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(BundleError, match="another version"):
        ModelBundle.load(folder)


def test_trees_that_are_not_lightgbm_are_refused(bundle: ModelBundle, features: pa.Table) -> None:
    with pytest.raises(BundleError, match="not LightGBM's"):
        dataclasses.replace(bundle, gate=Margin(trees=("not trees",), weights=(1.0,))).predict(features)


def test_the_digest_sees_every_change_that_matters(bundle: ModelBundle) -> None:
    assert dataclasses.replace(bundle, log_level=0.3).digest != bundle.digest
    assert dataclasses.replace(bundle, log_level=0.3).classifier_digest == bundle.classifier_digest
    assert dataclasses.replace(bundle, slope=0.9).classifier_digest != bundle.classifier_digest


def test_pandas_null_types_are_read(bundle: ModelBundle) -> None:
    row = pd.DataFrame({name: pd.array([None], dtype="Float64") for name in bundle.features})
    assert np.isfinite(bundle.predict(row)["value"]).all()
