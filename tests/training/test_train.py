"""The training command: what it refuses, and that churn or value can be trained alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config.load import Config, parse_config
from features.errors import DataError, UsageError
from serving.scoring.predictions import load_champions
from tests.shop import make_shop
from training import train
from training.registry.models import load_champion
from training.train import QUICK_REFUSAL, TrainingRun, _current_champions, train_models, training_outcome, training_text


def test_value_without_money_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without money"):
        train_models(make_shop(tmp_path, customers=5, money=False), "value")


def test_churn_can_be_trained_alone(tmp_path: Path) -> None:
    trained = train_models(make_shop(tmp_path), "churn")
    assert [v.label for v in trained.versions] == ["shop-churn/1"]


def test_a_quick_look_is_marked_and_never_replaces_a_full_champion(tmp_path: Path) -> None:
    config = make_shop(tmp_path, customers=150)
    lines: list[str] = []
    first = train_models(config, "churn", quick=True, report_line=lines.append)
    assert first.decision.promoted and first.quick
    assert "0 trials" in lines[0] and lines[0].startswith("training will take about")
    assert training_outcome(first).startswith("shop-churn/1, champion, a quick look only;")
    assert "note: a quick look (`regulars train --quick`)" in training_text(first.fitted)
    champion = load_champion(config, "churn")
    assert champion is not None and champion.bundle.is_quick
    assert "a quick look" in (config.output / "model_card.md").read_text(encoding="utf-8")
    full = train_models(config, "churn")
    assert full.decision.promoted and not full.quick
    again = train_models(config, "churn", quick=True)
    assert not again.decision.promoted
    assert again.decision.reasons == (QUICK_REFUSAL,)
    champion = load_champion(config, "churn")
    assert champion is not None and champion.version.version == "2"


def test_a_champion_of_another_zone_scores_nobody_and_does_not_stop_its_successor(
    trained: TrainingRun, shop: Config
) -> None:
    moved = shop.model_copy(update={"task": shop.task.model_copy(update={"timezone": "Asia/Tokyo"})})
    with pytest.raises(
        UsageError, match="shop-churn/1 was trained with days that begin in 'UTC'.*run `regulars train`"
    ):
        load_champions(moved)
    record = SimpleNamespace(facts={}, quick=False)
    assert set(_current_champions(record, shop).models) == {"churn", "value"}  # type: ignore[arg-type]
    assert _current_champions(record, moved).models == {}  # type: ignore[arg-type]


def test_too_little_to_learn_from_says_that_ids_look_like_order_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_few(*given: Any, **options: Any) -> None:
        raise DataError("0 of 90 stayed.")

    monkeypatch.setattr(train, "fit_models", too_few)
    for each, said in ((1, True), (9, False)):
        rows = [
            {"id": f"i{number}", "at": datetime(2024, 1, 1) + timedelta(days=number + 9 * order)}
            for number in range(90)
            for order in range(each)
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
        events = {"source": "log.parquet", "customer": "id", "time": "at"}
        config = parse_config({"config_version": 1, "name": "t", "events": events}, tmp_path / "regulars.toml")
        with pytest.raises(DataError, match="^0 of 90 stayed") as problem:
            train._fit_or_explain(None, None, config, config, False)  # type: ignore[arg-type]
        assert ("customer ids occur in one order only" in str(problem.value)) == said
