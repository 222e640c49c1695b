"""The training command: what it refuses, and that churn or value can be trained alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from features.config.load import Config
from features.errors import UsageError
from serving.scoring.predictions import load_champions
from tests.shop import make_shop
from training.train import TrainingRun, _current_champions, train_models


def test_value_without_money_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without money"):
        train_models(make_shop(tmp_path, customers=5, money=False), "value")


def test_churn_can_be_trained_alone(tmp_path: Path) -> None:
    trained = train_models(make_shop(tmp_path), "churn")
    assert [v.label for v in trained.versions] == ["shop-churn/1"]


def test_a_champion_of_another_zone_scores_nobody_and_does_not_stop_its_successor(
    trained: TrainingRun, shop: Config
) -> None:
    moved = shop.model_copy(update={"task": shop.task.model_copy(update={"timezone": "Asia/Tokyo"})})
    with pytest.raises(
        UsageError, match="shop-churn/1 was trained with days that begin in 'UTC'.*run `regulars train`"
    ):
        load_champions(moved)
    record = SimpleNamespace(facts={})
    assert set(_current_champions(record, shop).models) == {"churn", "value"}  # type: ignore[arg-type]
    assert _current_champions(record, moved).models == {}  # type: ignore[arg-type]
