"""Features whose definition changed are features of the catalog."""

from __future__ import annotations

from collections.abc import Callable

from features.catalog.families import catalog_features
from features.definitions import DEFINITIONS, redefined_features
from features.intake.tables import Tables
from features.task import Task


def test_every_changed_feature_is_in_the_catalog(
    make_log: Callable[..., Tables], make_task: Callable[..., Task]
) -> None:
    tables = make_log([{"customer": "a", "time": "2024-01-01", "amount": 1.0}])
    assert set(DEFINITIONS) <= {feature.name for feature in catalog_features(make_task(), tables.contract)}


def test_a_later_definition_than_ours_is_another_one_too() -> None:
    assert redefined_features(["orders_expected", "recency_days"], {"orders_expected": 3, "recency_days": 2}) == [
        "orders_expected",
        "recency_days",
    ]
