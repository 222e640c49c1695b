"""The training command: what it refuses, and that churn or value can be trained alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import UsageError
from tests.shop import make_shop
from training.train import train_models


def test_value_without_money_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without money"):
        train_models(make_shop(tmp_path, customers=5, money=False), "value")


def test_churn_can_be_trained_alone(tmp_path: Path) -> None:
    trained = train_models(make_shop(tmp_path), "churn")
    assert [v.label for v in trained.versions] == ["shop-churn/1"]
