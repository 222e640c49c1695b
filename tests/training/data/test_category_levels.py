"""Levels: learned from what a model learns from, never a rare one, the same for a text whatever else there is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.config.load import Config
from features.feature import Feature, measure_value
from features.snapshots.build import Snapshots, build_snapshots
from serving.explanation.contributions import compute_contributions, shap_explanation, top_reasons
from tests.drivers import rank_drivers
from training.artifact.bundle import ModelBundle, encode_levels
from training.artifact.model_files import BundleError
from training.data.category_levels import FEWEST_CUSTOMERS, MOST_LEVELS, encode_sample, learn_levels
from training.data.time_split import Sample, sample_at
from training.fit import FittedModels, fit_models
from training.models import lightgbm_base
from training.models.churn import ChurnClassifier
from training.registry import aliases, models, run_record

RARE = "Ms Canary Rarelevel"
PLAN = Feature("plan", measure_value("plan"), "plan", "plan", "plan {value}", "level", unread="plan not known")
SHARES = {"basic": 0.40, "silver": 0.25, "gold": 0.25, None: 0.10}


def _with_plans(rows: Snapshots, seed: int = 9) -> Snapshots:
    """The shop with a plan a customer, which half of them tell their fate by; one rare plan is somebody's name."""
    rng, table = np.random.default_rng(seed), rows.rows
    churned = pd.Series(table["churned"].to_numpy()).groupby(table["customer_id"].to_numpy()).mean()
    fate = np.where(churned > churned.median(), "basic", "silver")
    drawn = rng.choice([name or "" for name in SHARES], len(churned), p=list(SHARES.values()))
    plans = dict(zip(churned.index, np.where(rng.random(len(churned)) < 0.5, fate, drawn), strict=True))
    plans |= dict.fromkeys(list(plans)[:3], RARE)
    text = pa.array([plans[c] or None for c in table["customer_id"].to_pylist()], pa.string())
    place = table.column_names.index("churned")
    return replace(rows, rows=table.add_column(place, "plan", text), features=(*rows.features, PLAN))


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """The shop's mature cutoffs, with plans."""
    return _with_plans(build_snapshots(shop))


@pytest.fixture(scope="module")
def learned(shop: Config, rows: Snapshots) -> FittedModels:
    """What they teach."""
    return fit_models(rows, shop)


@pytest.fixture(scope="module")
def bundle(learned: FittedModels) -> ModelBundle:
    """The shipped value model."""
    assert learned.value is not None
    return learned.value


def _sample(levels: list[str | None], customers: list[str]) -> Sample:
    nothing = np.zeros(len(levels))
    table = pa.table({"plan": pa.array(levels, pa.string())})
    return Sample(pa.chunked_array([customers]), nothing, table, nothing, nothing)


def test_levels_come_by_customers_then_name_and_a_customer_counts_once() -> None:
    twenty, thirty = [f"a{i}" for i in range(20)], [f"b{i}" for i in range(30)]
    rare = [f"c{i}" for i in range(19)]
    levels = ["silver"] * 20 + ["basic"] * 30 + ["Gold"] * 20 + ["rare"] * 190 + [None] * 40
    customers = [*twenty, *thirty, *(f"{c}x" for c in twenty), *rare * 10, *(f"d{i}" for i in range(40))]
    assert learn_levels(_sample(levels, customers)) == {"plan": ("basic", "Gold", "silver")}
    turned = _sample(levels[::-1], customers[::-1])
    assert learn_levels(turned) == {"plan": ("basic", "Gold", "silver")}


def test_no_more_than_32_levels_are_told_apart() -> None:
    levels = [f"level {i:02d}" for i in range(40) for _ in range(FEWEST_CUSTOMERS)]
    learned_levels = learn_levels(_sample(levels, [str(i) for i in range(len(levels))]))["plan"]
    assert learned_levels == tuple(f"level {i:02d}" for i in range(MOST_LEVELS))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_codes_are_places_then_other_then_null(kind: pa.DataType) -> None:
    text = pa.chunked_array(
        [pa.array(["b", None], pa.string()).cast(kind), pa.array(["x", "a"], pa.string()).cast(kind)]
    )
    assert encode_levels(text, ["a", "b"]).to_pylist() == [1.0, 3.0, 2.0, 0.0]
    assert encode_levels(text, []).to_pylist() == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", [pa.null(), pa.float64(), pa.string()])
def test_a_column_of_nulls_is_a_column_of_nulls_whatever_its_type(kind: pa.DataType) -> None:
    assert encode_levels(pa.chunked_array([pa.nulls(2, kind)]), ["a"]).to_pylist() == [2.0, 2.0]


def test_numbers_stay_as_they_are() -> None:
    both = replace(_sample(["a"], ["c"]), features=pa.table({"n": [1.5], "plan": ["a"], "m": [None]}))
    table = encode_sample(both, {"plan": ("a",)}).features
    assert table.column_names == ["n", "plan", "m"]
    assert [table[name].to_pylist() for name in table.column_names] == [[1.5], [0.0], [None]]


def test_the_bundle_holds_the_common_levels_and_nobody_s_name(bundle: ModelBundle, tmp_path: Path) -> None:
    assert set(bundle.levels["plan"]) == {"basic", "gold", "silver"}
    text = "".join(path.read_text() for path in bundle.save(tmp_path / "m").iterdir())
    assert "silver" in text
    assert "Canary" not in text
    assert json.loads((tmp_path / "m" / "bundle.json").read_text())["levels"]["plan"] == list(bundle.levels["plan"])
    assert ModelBundle.load(tmp_path / "m") == bundle


def test_the_digests_see_the_levels(bundle: ModelBundle) -> None:
    other = replace(bundle, levels={**bundle.levels, "plan": bundle.levels["plan"][::-1]})
    assert other.digest != bundle.digest
    assert other.classifier_digest != bundle.classifier_digest


def test_the_level_is_what_the_trees_split_on(bundle: ModelBundle, rows: Snapshots) -> None:
    one = rows.rows.slice(0, 1)
    place = one.column_names.index("plan")
    predicted = {
        p: _said(bundle, one.set_column(place, "plan", pa.array([p], pa.string()))) for p in [*SHARES, RARE, "new"]
    }
    assert predicted["basic"] != predicted["silver"]
    assert predicted[RARE] == predicted["new"]
    assert predicted["basic"] > predicted["silver"]


def _said(bundle: ModelBundle, table: pa.Table) -> float:
    return float(bundle.predict(table)["churn_probability"][0])


def test_a_text_says_the_same_whatever_other_rows_there_are(bundle: ModelBundle, rows: Snapshots) -> None:
    some = rows.rows.slice(0, 300)
    all_rows = bundle.predict(some)
    alone = [bundle.predict(some.slice(i, 1)) for i in (0, 7, 299)]
    backwards = bundle.predict(some.take(pa.array(range(299, -1, -1))))
    for name, numbers in all_rows.items():
        np.testing.assert_array_equal([part[name][0] for part in alone], numbers[[0, 7, 299]])
        np.testing.assert_array_equal(backwards[name][::-1], numbers)


@pytest.mark.parametrize("kind", ["object", "str", "category"])
def test_pandas_text_says_what_arrow_says(bundle: ModelBundle, rows: Snapshots, kind: str) -> None:
    frame = rows.rows.select(rows.names).to_pandas()
    frame["plan"] = frame["plan"].astype(kind)
    np.testing.assert_array_equal(bundle.predict(frame)["value"], bundle.predict(rows.rows)["value"])


def test_numbers_where_text_was_learned_are_refused_and_text_where_numbers_were(
    bundle: ModelBundle, rows: Snapshots
) -> None:
    frame = rows.rows.select(rows.names).slice(0, 2).to_pandas()
    with pytest.raises(BundleError, match="learned column 'plan' from text, found double"):
        bundle.predict(frame.assign(plan=[1.0, 2.0]))
    with pytest.raises(BundleError, match="learned column 'recency_days' from numbers, found"):
        bundle.predict(frame.assign(recency_days=["long", "ago"]))


def _replaced(rows: Snapshots, plans: list[str | None]) -> Snapshots:
    place = rows.rows.column_names.index("plan")
    return replace(rows, rows=rows.rows.set_column(place, "plan", pa.array(plans, pa.string())))


def test_levels_are_learned_from_the_cutoffs_that_a_model_learns_from(shop: Config, rows: Snapshots) -> None:
    """What the last cutoff calls its plans is 'other' to the judged models, and a level to the shipped ones."""
    quick = shop.model_copy(update={"training": shop.training.model_copy(update={"trials": 0})})
    plans, last = rows.rows["plan"].to_pylist(), max(rows.rows["cutoff"].to_pylist())
    late = [moment == last for moment in rows.rows["cutoff"].to_pylist()]
    learned_levels, other = (
        fit_models(_replaced(rows, [name if now else p for p, now in zip(plans, late, strict=True)]), quick)
        for name in ("platinum", "titanium")
    )
    assert set(learned_levels.churn.levels["plan"]) == {"basic", "gold", "silver", "platinum"}
    np.testing.assert_array_equal(
        learned_levels.predictions["churn_probability"], other.predictions["churn_probability"]
    )
    with_known = fit_models(_replaced(rows, ["basic" if now else p for p, now in zip(plans, late, strict=True)]), quick)
    assert (with_known.predictions["churn_probability"] != learned_levels.predictions["churn_probability"]).any()


def test_only_the_shipped_models_learn_the_levels_of_the_last_cutoff(
    shop: Config, rows: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = shop.model_copy(update={"training": shop.training.model_copy(update={"trials": 1})})
    plans, last = rows.rows["plan"].to_pylist(), max(rows.rows["cutoff"].to_pylist())
    moments = rows.rows["cutoff"].to_pylist()
    saw: list[bool] = []

    def learn_and_record(sample: Sample) -> dict[str, tuple[str, ...]]:
        saw.append("platinum" in sample.features["plan"].to_pylist())
        return learn_levels(sample)

    for module in ("fit", "models.base_models"):
        monkeypatch.setattr(f"training.{module}.learn_levels", learn_and_record)
    fit_models(_replaced(rows, ["platinum" if m == last else p for p, m in zip(plans, moments, strict=True)]), once)
    assert saw.count(True) == 1
    assert len(saw) > 4


def test_the_same_bytes_whatever_the_threads_and_the_order_of_text(
    rows: Snapshots, learned: FittedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = sample_at(rows, learned.split.all_cutoffs)
    text = sample.features["plan"]
    arranged = text.dictionary_encode().combine_chunks()
    turned = pa.DictionaryArray.from_arrays(
        pa.array(
            [len(arranged.dictionary) - 1 - i.as_py() if i.is_valid else None for i in arranged.indices], pa.int32()
        ),
        arranged.dictionary[::-1],
    )
    assert turned.cast(pa.string()).to_pylist() == text.to_pylist()
    levels = learn_levels(sample)
    features = encode_sample(sample, levels).features
    assert encode_levels(pa.chunked_array([turned]), levels["plan"]).to_pylist() == features["plan"].to_pylist()
    models_text = set()
    for threads in (1, 2, 2):
        monkeypatch.setitem(lightgbm_base.FIXED, "num_threads", threads)
        gate = ChurnClassifier(n_estimators=30, categorical=("plan",)).fit(features, sample.churned)
        models_text.add(gate.booster_.model_to_string().split("parameters:")[0])  # after it LightGBM names the threads
    assert len(models_text) == 1


def test_contributions_add_up_and_are_one_a_column(bundle: ModelBundle, rows: Snapshots) -> None:
    some = rows.rows.slice(0, 200)
    parts, shipped = compute_contributions(bundle, some), bundle.predict(some)
    for part, number in ((parts["churn"], shipped["churn_probability"]), (parts["value"], shipped["value"])):
        assert part.values.shape == (200, len(bundle.features))
        np.testing.assert_array_equal(part.total, number)
        np.testing.assert_allclose(part.base + part.values.sum(axis=1), number, rtol=1e-9, atol=1e-9)
        assert np.abs(part.values[:, bundle.features.index("plan")]).max() > 0


def test_a_reason_reads_the_level_or_says_that_there_is_none(bundle: ModelBundle, rows: Snapshots) -> None:
    some = rows.rows
    part = compute_contributions(bundle, some)["churn"]
    only = replace(
        part, values=np.where(np.arange(part.values.shape[1]) == bundle.features.index("plan"), part.values, 0)
    )
    predicted = [
        learned_levels[0]["reading"] for learned_levels in top_reasons(only, some, rows.features, 3) if learned_levels
    ]
    assert {"plan basic", "plan gold", "plan not known"} <= set(predicted)


def test_a_driver_of_levels_names_the_extreme_ones_but_no_rare_one(bundle: ModelBundle, rows: Snapshots) -> None:
    part = compute_contributions(bundle, rows.rows)["churn"]
    plans = np.array([p or "" for p in rows.rows["plan"].to_pylist()])
    share = part.values[:, bundle.features.index("plan")].copy()
    few = np.flatnonzero(plans == RARE)[: FEWEST_CUSTOMERS - 1]
    share[few] = 9.0
    keep = np.union1d(few, np.flatnonzero(plans != RARE))
    values = np.zeros_like(part.values)
    values[:, bundle.features.index("plan")] = share
    (learned_levels,) = rank_drivers(replace(part, values=values[keep]), rows.rows.take(pa.array(keep)), rows.features)
    means = {p: share[plans == p].mean() for p in ("basic", "silver", "gold")}
    assert (learned_levels["highest"], learned_levels["lowest"]) == (
        max(means, key=means.__getitem__),
        min(means, key=means.__getitem__),
    )
    assert learned_levels["direction"] == 0.0
    assert "basic" == learned_levels["highest"]


def test_shap_s_own_type_holds_the_text(bundle: ModelBundle, rows: Snapshots) -> None:
    pytest.importorskip("shap")
    some = rows.rows.slice(0, 5)
    learned_levels = shap_explanation(compute_contributions(bundle, some)["value"], some, bundle.features)
    assert learned_levels.data[:, bundle.features.index("plan")].tolist() == some["plan"].to_pylist()


@pytest.fixture(scope="module")
def registered(learned: FittedModels, rows: Snapshots, shop: Config) -> Config:
    """The value model, registered under a name of its own."""
    config = shop.model_copy(update={"name": "plans"})
    assert learned.value is not None
    named = {kind: replace(getattr(learned, kind), name="plans") for kind in ("churn", "value", "evaluated")}
    kept = run_record.save_training_record(
        replace(learned, **named), rows, config, ("value",), "the card", pd.DataFrame()
    )
    aliases.set_champions(config, {v.kind: v.version for v in models.log_and_register(kept, config)})
    return config


def test_mlflow_takes_text_and_says_what_the_bundle_says(
    registered: Config, bundle: ModelBundle, rows: Snapshots
) -> None:
    models.connect_to_mlflow(registered)
    model = mlflow.pyfunc.load_model("models:/plans-value@champion")
    frame = rows.rows.select(rows.names).to_pandas()
    predicted = model.predict(frame)
    for name, numbers in bundle.predict(rows.rows).items():
        np.testing.assert_array_equal(predicted[name].to_numpy(float, na_value=np.nan), numbers)
    inputs = [column for column in model.metadata.signature.inputs if column.required]
    kinds = {column.name: column.type.name for column in inputs}
    assert kinds == {name: "string" if name in bundle.levels else "double" for name in bundle.features}
    assert kinds["plan"] == "string"
    assert model.input_example["plan"].tolist() == [bundle.levels["plan"][0]]
    nobody = frame.iloc[:1].assign(plan=pd.Series([None], dtype=object, index=frame.index[:1]))
    assert model.predict(nobody)["value"].iloc[0] == bundle.predict(nobody)["value"][0]


def test_what_is_registered_holds_no_rare_text(registered: Config, tmp_path: Path) -> None:
    models.connect_to_mlflow(registered)
    path = Path(mlflow.artifacts.download_artifacts("models:/plans-value@champion", dst_path=str(tmp_path / "model")))
    text = "".join(file.read_text(encoding="utf-8") for file in path.rglob("*") if file.is_file())
    assert "silver" in text
    assert "Canary" not in text
    learned_levels = models.load_champion(registered, "value")
    assert learned_levels is not None
    assert learned_levels.bundle.levels["plan"]
