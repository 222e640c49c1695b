"""Contributions add up to the predicted number, agree with brute force, and become one reason a family."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.feature import Feature
from serving.explanation.contributions import Contributions, compute_contributions, shap_explanation, top_reasons
from training.artifact.bundle import LongerHorizon, ModelBundle
from training.artifact.margin import Margin, Term
from training.artifact.spread import Spread
from training.models.churn import ChurnClassifier
from training.models.spend import GainRegressor, SpendRegressor


def _features(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({f"f{i}": np.where(rng.random(rows) < 0.15, np.nan, rng.normal(size=rows)) for i in range(5)})


TERM = Term("f3", "log1p", 1.0, 0.4, -0.7)


def _trees(model: ChurnClassifier | SpendRegressor | GainRegressor) -> tuple[str, ...]:
    return (model.booster_.model_to_string(),)


def _shap(margin: Margin, features: pa.Table) -> np.ndarray:
    """Shares of the features and, last, the base (n, 6), in a margin."""
    values = np.zeros((features.num_rows, 6))
    for booster, weight in zip(margin.boosters(), margin.weights, strict=True):
        values += weight * np.asarray(booster.predict(features, pred_contrib=True))
    for term in margin.terms:
        values[:, features.column_names.index(term.feature)] += term.contribution(features)
    return values + margin.intercept * np.eye(6)[-1]


def _bundle(seed: int = 0, slope: float = 1.0, intercept: float = 0.0, log_level: float = 0.0) -> ModelBundle:
    features, rng = _features(400, seed), np.random.default_rng(seed + 1)
    signal = np.nan_to_num(features["f0"].to_numpy())
    given = {"n_estimators": 60, "learning_rate": 0.2, "min_child_samples": 10, "lambda_l2": 0.1}
    gate, spend, gain = ChurnClassifier(**given), SpendRegressor(**given), GainRegressor(**given)
    churned, spent = (signal + rng.normal(size=400) > 0).astype(float), np.exp(3 + signal + rng.normal(size=400))
    grown = _trees(gain.fit(features, np.where(rng.random(400) < 0.5, 0.0, spent)))
    spread = Spread(0.8, 0.8, (0.0, 1.0), (1.0,), ((0.0, 2.0),), (1.3,), 0.1)
    return ModelBundle(
        kind="value",
        name="shop",
        features=tuple(features.column_names),
        task={},
        gate=Margin(0.2, (TERM,), _trees(gate.fit(features, churned)), (0.8,)),
        spend=Margin(trees=_trees(spend.fit(features, spent)) * 2, weights=(0.4, 0.6)),
        slope=slope,
        intercept=intercept,
        log_level=log_level,
        spread=spread,
        longer=tuple(
            LongerHorizon(f"value_{days}d", Margin(-0.1, (TERM,), grown, (weight,)), -log_level / 2, spread)
            for days, weight in ((60, 1.0), (90, 0.3))
        ),
    )


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    """A value model on made-up customers."""
    return _bundle()


@settings(max_examples=25, deadline=None)
@given(slope=st.floats(0.05, 5), intercept=st.floats(-5, 5), log_level=st.floats(-3, 8), seed=st.integers(0, 5))
def test_base_plus_contributions_is_the_shipped_number(
    bundle: ModelBundle, slope: float, intercept: float, log_level: float, seed: int
) -> None:
    changed = dataclasses.replace(bundle, slope=slope, intercept=intercept, log_level=log_level)
    features = _features(50, seed + 10)
    shipped = changed.predict(features)
    parts = compute_contributions(changed, features)
    assert list(parts) == ["churn", "value", "value_60d", "value_90d"]
    for name, part in parts.items():
        number = shipped["churn_probability" if name == "churn" else name]
        np.testing.assert_array_equal(part.total, number)
        np.testing.assert_allclose(part.base + part.values.sum(axis=1), number, rtol=1e-9, atol=1e-9)


def test_money_agrees_with_a_path_walked_in_small_steps(bundle: ModelBundle) -> None:
    features = _features(20, 3)
    assert bundle.spend is not None
    gate, spend = _shap(bundle.gate, features), _shap(bundle.spend, features)
    walked = np.zeros((20, 5))
    steps = 20_000
    for step in range(steps):
        t = (step + 0.5) / steps
        z = gate[:, -1] + t * gate[:, :-1].sum(axis=1)
        money = np.exp(spend[:, -1] + t * spend[:, :-1].sum(axis=1)) / (1 + np.exp(z))
        slope_z = -money / (1 + np.exp(-z))
        walked += (gate[:, :-1] * slope_z[:, None] + spend[:, :-1] * money[:, None]) / steps
    np.testing.assert_allclose(compute_contributions(bundle, features)["value"].values, walked, rtol=1e-6, atol=1e-6)


def test_money_over_a_longer_horizon_agrees_with_a_path_walked_in_small_steps(bundle: ModelBundle) -> None:
    features, parts = _features(20, 3), compute_contributions(bundle, _features(20, 3))
    for before, step in zip(("value", "value_60d"), bundle.longer, strict=True):
        gain, steps = _shap(step.gain, features), 4_000
        path = [gain[:, -1] + (s + 0.5) / steps * gain[:, :-1].sum(axis=1) for s in range(steps)]
        walked = gain[:, :-1] * np.exp(np.array(path) + step.log_level).mean(axis=0)[:, None]
        added = parts[step.column].values - parts[before].values
        np.testing.assert_allclose(added, walked, rtol=1e-6, atol=1e-6)


def test_probability_is_shared_in_proportion_to_shap_in_the_margin(bundle: ModelBundle) -> None:
    features = _features(20, 4)
    shap_values = _shap(bundle.gate, features)[:, :-1]
    part = compute_contributions(bundle, features)["churn"]
    ratio = part.values / np.where(shap_values == 0, np.nan, shap_values)
    assert np.nanmax(np.nanstd(ratio, axis=1)) < 1e-12
    assert np.nanmin(ratio) > 0


def test_a_customer_at_the_base_gets_finite_contributions() -> None:
    flat = ChurnClassifier(n_estimators=1, min_child_samples=400).fit(_features(400, 0), np.arange(400) % 2)
    names = tuple(f"f{i}" for i in range(5))
    still = ModelBundle("churn", "shop", names, {}, Margin(trees=_trees(flat), weights=(1.0,)))
    part = compute_contributions(still, _features(3, 1))["churn"]
    assert np.isfinite(part.values).all()
    np.testing.assert_allclose(part.base, part.total)


def test_a_churn_model_explains_churn_alone(bundle: ModelBundle) -> None:
    churn = dataclasses.replace(bundle, kind="churn", spend=None, spread=None, longer=())
    assert set(compute_contributions(churn, _features(3, 1))) == {"churn"}


def test_what_a_prediction_contributes_is_handed_on_and_sums_stay(bundle: ModelBundle) -> None:
    features, rng = _features(30, 8), np.random.default_rng(2)
    share = rng.normal(size=30)
    with_shares = features.append_column("f0:f1", pa.array(share)).append_column("f0:f4", pa.array(1 - share))
    plain, handed = compute_contributions(bundle, features), compute_contributions(bundle, with_shares)
    assert list(handed) == list(plain)
    for name, part in handed.items():
        before = plain[name].values
        assert np.abs(before[:, 0]).max() > 0 and not part.values[:, 0].any()
        np.testing.assert_allclose(part.values[:, 1], before[:, 1] + share * before[:, 0], rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(part.values[:, 2:4], before[:, 2:4])
        np.testing.assert_allclose(part.base + part.values.sum(axis=1), part.total, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(part.total, plain[name].total)
    from_pandas = compute_contributions(bundle, with_shares.to_pandas())
    np.testing.assert_array_equal(from_pandas["value"].values, handed["value"].values)


def test_it_is_a_shap_explanation(bundle: ModelBundle) -> None:
    shap = pytest.importorskip("shap")
    features = _features(10, 5)
    part = compute_contributions(bundle, features)["value"]
    explanation = shap_explanation(part, features, bundle.features)
    assert isinstance(explanation, shap.Explanation)
    np.testing.assert_allclose(explanation.base_values + explanation.values.sum(axis=1), part.total)
    assert explanation.feature_names == list(bundle.features)
    named = shap_explanation(part, features, bundle.features, phrases=["a", "b", "c", "d", "e"], scale=100)
    np.testing.assert_allclose(named.base_values + named.values.sum(axis=1), 100 * part.total)
    assert named.feature_names == ["a", "b", "c", "d", "e"]
    np.testing.assert_array_equal(named.data, explanation.data)


def _catalog() -> list[Feature]:
    families = ["silence", "silence", "money", "habit"]
    return [
        Feature(f"x{i}", lambda m: m, family, f"phrase {i}", "{value:days} of x", "days", unread="unknown")
        for i, family in enumerate(families)
    ]


PART = Contributions("probability", 0.1, np.array([[0.3, 0.5, -0.4, 0.0], [0.0, 0.0, 0.0, 0.0]]), np.array([0.5, 0.1]))
ROWS = pa.table({"x0": [1.0, 2.0], "x1": [7.0, None], "x2": [None, 1.0], "x3": [1.0, 1.0]})


def test_reasons_are_the_largest_families_in_the_words_of_their_strongest_feature() -> None:
    first, second = top_reasons(PART, ROWS, _catalog(), 3)
    assert [(r["feature"], r["reading"], r["contribution"]) for r in first] == [
        ("x1", "7 days of x", 0.8),
        ("x2", "unknown", -0.4),
    ]
    assert second == []


def test_no_more_reasons_than_asked_for() -> None:
    assert [len(reasons) for reasons in top_reasons(PART, ROWS, _catalog(), 1)] == [1, 0]
