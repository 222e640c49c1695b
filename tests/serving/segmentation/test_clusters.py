"""Micro-segments: planted groups are found and named, the same on any number of threads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from features.feature import Feature, measure_value
from serving.segmentation.clusters import Clusters, fit_clusters

FEATURES = [
    Feature(name, measure_value(name), name, phrase, "{value}", unit)
    for name, phrase, unit in (
        ("recency_days", "days since the last order", "days"),
        ("orders", "orders so far", "orders"),
        ("share", "share of orders at weekends", "share"),
        ("same", "what nobody differs in", "count"),
    )
]


def planted(n: int = 450, seed: int = 1) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three groups: lately and often; long ago and seldom; in between and at weekends."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    columns = {
        "recency_days": np.exp(np.choose(group, [1.0, 5.0, 3.0]) + rng.normal(0, 0.25, n)),
        "orders": np.exp(np.choose(group, [4.0, 1.0, 2.5]) + rng.normal(0, 0.25, n)),
        "share": np.clip(np.choose(group, [0.2, 0.2, 0.8]) + rng.normal(0, 0.05, n), 0, 1),
        "same": np.ones(n),
    }
    columns["orders"][:9] = np.nan
    return columns, group


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    fitted = fit_clusters(planted()[0], FEATURES, (2, 5), seed=7)
    assert fitted is not None
    return fitted


def test_planted_groups_are_found_and_named_by_what_sets_them_apart(clusters: Clusters) -> None:
    columns, group = planted(seed=2)
    codes = clusters.assign(columns)
    assert adjusted_rand_score(group, codes) > 0.97
    names = {clusters.names[codes[group == g][0]] for g in range(3)}
    assert any("high: orders so far" in name and "low: days since the last order" in name for name in names)
    assert any("high: share of orders at weekends" in name for name in names)
    assert all("nobody differs" not in name for name in names)
    assert not clusters.blurred


def test_the_same_bytes_on_any_number_of_threads(clusters: Clusters) -> None:
    with threadpool_limits(2):
        again = fit_clusters(planted()[0], FEATURES, (2, 5), seed=7)
    assert again is not None
    assert json.dumps(again.to_dict()) == json.dumps(clusters.to_dict())


def test_one_cloud_is_said_to_blur() -> None:
    rng = np.random.default_rng(3)
    columns = {feature.name: rng.normal(0, 1, 300) for feature in FEATURES}
    clusters = fit_clusters(columns, FEATURES, (5, 6), seed=7)
    assert clusters is not None and clusters.blurred


def test_groups_that_only_differ_in_degree_are_told_apart() -> None:
    rng = np.random.default_rng(4)
    level = rng.integers(0, 4, 400)
    columns = {"orders": np.exp(level + rng.normal(0, 0.05, 400)), "share": rng.normal(0, 1e-12, 400)}
    clusters = fit_clusters(columns, FEATURES[1:3], (4, 4), seed=7)
    assert clusters is not None and len(set(clusters.names)) == 4
    assert sum(name.endswith(")") for name in clusters.names) >= 2


def test_too_few_or_all_equal_customers_have_no_groups() -> None:
    few = {name: values[:40] for name, values in planted()[0].items()}
    assert fit_clusters(few, FEATURES, (2, 5), seed=7) is None
    assert fit_clusters({feature.name: np.ones(500) for feature in FEATURES}, FEATURES, (2, 5), seed=7) is None
    assert fit_clusters({}, [], (2, 5), seed=7) is None
