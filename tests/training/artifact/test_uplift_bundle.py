"""The model as text: read back to the bit, whole or refused, and the same for a customer whatever others there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.experiments import simulate_experiment
from training.artifact.model_files import BundleError
from training.artifact.uplift_bundle import UpliftBundle
from training.uplift.effects import estimate_effects


@pytest.fixture(scope="module")
def bundle() -> UpliftBundle:
    estimated = estimate_effects(
        simulate_experiment(1_000).data(), seed=3, folds=2, resamples=50, name="shop", proportional=("value",)
    )
    assert estimated.bundle.outcomes["return"].effects["email"].differs
    return estimated.bundle


def test_what_was_written_is_read_back(bundle: UpliftBundle, tmp_path: Path) -> None:
    estimated = UpliftBundle.load(bundle.save(tmp_path / "model"))
    assert (estimated, estimated.digest) == (bundle, bundle.digest)
    features = simulate_experiment(100, seed=9).features
    for name, numbers in bundle.predict(features).items():
        np.testing.assert_array_equal(estimated.predict(features.to_pandas())[name], numbers)


def test_a_customer_has_the_same_effect_whatever_others_there_are(bundle: UpliftBundle) -> None:
    features = simulate_experiment(100, seed=9).features
    together, alone = bundle.predict(features), bundle.predict(features.slice(40, 1))
    assert set(together) == {"email_return", "email_return_error", "email_value", "email_value_error"}
    for name, numbers in together.items():
        np.testing.assert_allclose(alone[name][0], numbers[40], rtol=1e-12)
    assert (together["email_return_error"] > 0).all()


def test_levels_that_were_not_there_are_none_of_them(bundle: UpliftBundle) -> None:
    features = simulate_experiment(3, seed=9).features
    predicted = [
        bundle.predict(features.set_column(4, "plan", pa.array([text] * 3, pa.string())))["email_return"]
        for text in ("new", None)
    ]
    np.testing.assert_array_equal(*predicted)


@pytest.mark.parametrize("damage", ["tree", "index", "format", "number"])
def test_a_damaged_model_is_refused(bundle: UpliftBundle, tmp_path: Path, damage: str) -> None:
    folder = bundle.save(tmp_path / "model")
    target = folder / ("return-trees-0.txt" if damage == "tree" else "bundle.json")
    text = target.read_text()
    changed = {"tree": text.replace("leaf_value", "leaf_valve"), "index": text[:99],
               "format": text.replace('"format": 1', '"format": 99'),
               "number": text.replace('"base_mean": ', '"base_mean": 9')}  # fmt: skip
    target.write_text(changed[damage])
    why = {"tree": "its checksum differs", "index": "is not an uplift model", "format": "another version",
           "number": "its digest differs"}  # fmt: skip
    with pytest.raises(BundleError, match=why[damage]):
        UpliftBundle.load(folder)


def test_tables_that_do_not_fit_are_refused(bundle: UpliftBundle) -> None:
    features = simulate_experiment(10).features
    with pytest.raises(BundleError, match="1 are missing: x2"):
        bundle.predict(features.drop_columns(["x2"]))
    with pytest.raises(BundleError, match="'x0' from numbers, found string"):
        bundle.predict(features.set_column(0, "x0", pa.array(["a"] * 10)))
    with pytest.raises(BundleError, match="'plan' from text, found int64"):
        bundle.predict(features.set_column(4, "plan", pa.array(range(10))))
