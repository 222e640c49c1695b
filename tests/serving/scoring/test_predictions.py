"""Which features a champion is given: its own in its order, whatever the catalog has besides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from features.errors import UsageError
from features.feature import Feature, measure_value
from serving.scoring.predictions import Champions, model_features
from training.artifact.bundle import BundleError


def feature(name: str) -> Feature:
    return Feature(name, measure_value(name), "family", name, "{value:count}", "count")


def champions(*names: str) -> Champions:
    def model_inputs(table: pa.Table) -> pa.Table:
        if missing := set(names) - set(table.column_names):
            raise BundleError(f"{missing} are missing")
        return table.select(names)

    bundle: Any = SimpleNamespace(features=names, facts={}, model_inputs=model_inputs)
    model = SimpleNamespace(bundle=bundle, version=SimpleNamespace(label="shop-churn/1"))
    return cast(Champions, SimpleNamespace(by_target={"churn": model}, churn=model, richest=model))


def test_features_that_came_after_the_training_are_left_out() -> None:
    catalog = [feature(name) for name in ("orders", "visits_rate_ever", "recency")]
    assert [f.name for f in model_features(champions("recency", "orders"), catalog, "")] == ["recency", "orders"]


def test_a_feature_that_the_config_no_longer_builds_is_refused() -> None:
    with pytest.raises(UsageError, match="run `regulars train` again"):
        model_features(champions("recency", "orders"), [feature("orders")], "")
