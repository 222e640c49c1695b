"""Lapsed customers scored at a cutoff: numbers, reasons, the manifest, skipping, and what forgetting leaves."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from features.config.load import Config
from features.intake.log import opened
from features.snapshots.lapsed import build_lapsed_snapshots
from serving.privacy.forget import forget_customer
from serving.scoring.winback import WinbackJob, plan_winback, score_winback, winback_note, write_winback_features
from serving.winback.table import WINBACK_SCHEMA, WinbackScores, read_winback
from tests.shop import make_shop
from training.registry import winback_models
from training.train import _train_winback

CUTOFF = date(2023, 11, 26)
IDENTITY = {"data": "of a test"}


@pytest.fixture(scope="module")
def quiet_shop(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A shop whose customers lapse after 20 days, with a registered win-back model and no other."""
    shop = make_shop(tmp_path_factory.mktemp("quiet"))
    task = type(shop.task).model_validate({**shop.task.model_dump(), "active_within": "20d", "lapsed_within": "150d"})
    serving = shop.serving.model_copy(update={"csv": True})
    config = shop.model_copy(update={"task": task, "serving": serving})
    with opened(config) as log:
        snapshots = build_lapsed_snapshots(log)
    trained = _train_winback(snapshots, config)
    assert trained.settled is not None and trained.settled.champions
    assert "lapsed customers at" in trained.text and "shop-winback-value/1" in trained.text
    return config


def _planned(config: Config) -> WinbackJob | None:
    return plan_winback(config, CUTOFF, IDENTITY)


@pytest.fixture(scope="module")
def scores(quiet_shop: Config) -> WinbackScores:
    job = _planned(quiet_shop)
    assert job is not None
    with opened(quiet_shop) as log:
        return score_winback(write_winback_features(job, log))


def test_each_lapsed_customer_has_a_chance_a_value_and_reasons(scores: WinbackScores) -> None:
    table = scores.table()
    assert table.schema.equals(WINBACK_SCHEMA) and table.num_rows == scores.manifest.customers > 50
    rows = table.to_pandas()
    assert rows.silent_days.between(21, 150).all() and rows.customer_id.is_unique
    assert np.allclose(rows.value, rows.return_probability * rows.value_if_back)
    assert (rows.value_low <= rows.value_high).all()
    assert rows.reasons.map(len).between(1, 3).all()
    assert scores.manifest.returns == pytest.approx(rows.return_probability.sum())
    assert scores.manifest.value_low <= rows.value.sum() <= scores.manifest.value_high
    assert f"{len(rows):,} lapsed customers" in winback_note(scores)
    lines = (scores.folder / "winback.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(rows) and lines[0].startswith('"customer_id","cutoff","silent_days"')
    assert " points)" in lines[1]


def test_reasons_say_what_raises_the_chance_of_coming_back(scores: WinbackScores) -> None:
    """Long silences lower it, so that their contributions are below 0."""
    rows = scores.to_pandas()
    longest = rows[rows.silent_days > 100].reasons
    silence = [
        reason["contribution"] for reasons in longest for reason in reasons if reason["feature"] == "recency_days"
    ]
    assert silence and np.mean(np.array(silence) < 0) > 0.9


def test_what_would_be_the_same_is_not_written_again(quiet_shop: Config, scores: WinbackScores) -> None:
    assert _planned(quiet_shop) is None
    again = read_winback(quiet_shop, CUTOFF)
    assert again is not None and again.manifest == scores.manifest
    serving = quiet_shop.serving.model_copy(update={"last_try": 0.1})
    assert _planned(quiet_shop.model_copy(update={"serving": serving})) is not None


def test_nothing_is_planned_without_a_model_or_where_it_is_off(
    quiet_shop: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = quiet_shop.task.model_copy(update={"lapsed_within": "off"})
    assert _planned(quiet_shop.model_copy(update={"task": off})) is None
    monkeypatch.setattr("serving.scoring.winback.load_champion", lambda config, kind: None)
    serving = quiet_shop.serving.model_copy(update={"last_try": 0.1})
    assert _planned(quiet_shop.model_copy(update={"serving": serving})) is None
    assert winback_models.FADE == "fade"


def test_a_forgotten_customer_is_in_no_table(quiet_shop: Config, scores: WinbackScores) -> None:
    """Last, because it changes the files."""
    customer = scores.table(["customer_id"])["customer_id"][0].as_py()
    before = scores.manifest.customers
    result = forget_customer(quiet_shop, customer, True)
    assert any("winback" in place for place, _ in result.places)
    left = read_winback(quiet_shop, CUTOFF)
    assert left is not None and left.table().num_rows == before - 1
    assert customer not in left.table(["customer_id"])["customer_id"].to_pylist()
    assert left.manifest.customers == before - 1
    assert Path(left.folder).is_dir()
