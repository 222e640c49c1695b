"""Champions that would misread the features of today refuse, and say what to do."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from features.definitions import DEFINITIONS, feature_definitions
from features.errors import UsageError
from training.registry.compatibility import is_outdated, learned_until, refuse_outdated


def model(definitions: dict[str, int] | None = None, features: tuple[str, ...] = tuple(DEFINITIONS)) -> Any:
    facts = {"cutoffs": ["2024-02-01", "2024-03-01"], **({} if definitions is None else {"definitions": definitions})}
    return SimpleNamespace(features=features, task={"horizon": "28d", "timezone": "UTC"}, facts=facts)


def test_a_model_of_todays_features_scores() -> None:
    today = model(feature_definitions(DEFINITIONS))
    assert not is_outdated(today, "UTC")
    refuse_outdated("shop-churn/2", today, "UTC", "regulars train")


def test_a_model_of_earlier_definitions_refuses_and_says_what_to_run() -> None:
    earlier = model()
    assert is_outdated(earlier, "UTC")
    with pytest.raises(
        UsageError,
        match="shop-churn/1 was trained with an earlier definition of orders_expected, .* and 2 more.*`regulars train`",
    ):
        refuse_outdated("shop-churn/1", earlier, "UTC", "regulars train")


def test_a_model_without_the_changed_features_still_scores() -> None:
    assert not is_outdated(model(features=("recency_days",)), "UTC")


def test_a_model_of_another_zone_refuses() -> None:
    today = model(feature_definitions(DEFINITIONS))
    assert is_outdated(today, "Asia/Tokyo")
    with pytest.raises(UsageError, match="days that begin in 'UTC'"):
        refuse_outdated("shop-churn/2", today, "Asia/Tokyo", "regulars train")


def test_what_it_learned_ends_a_horizon_after_its_last_cutoff() -> None:
    assert learned_until(model()) == date(2024, 3, 29)
