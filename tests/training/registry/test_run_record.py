"""A training saved in a folder: complete, as text, without credentials or customers, and refused if it is not ours."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from features.config.load import Config
from features.config.table_sections import Identity
from features.errors import UsageError
from features.snapshots.build import Snapshots, build_snapshots
from training.registry import run_record
from training.registry.run_record import TrainingRecord
from training.train import TrainingRun, log_kept_training


@pytest.fixture(scope="module")
def rows(shop: Config, trained: TrainingRun) -> Snapshots:
    return build_snapshots(shop)


@pytest.fixture
def kept(shop: Config, trained: TrainingRun, rows: Snapshots, tmp_path: Path) -> TrainingRecord:
    """The shop's training, kept elsewhere; its store and its log are named by URLs with a login."""
    serving = shop.serving.model_copy(update={"output": str(tmp_path)})
    tracking = shop.tracking.model_copy(update={"uri": "http://me:secret@tracking:5000?token=secret"})
    events = shop.events.model_copy(update={"source": "postgresql://me@db/shop?sslpassword=secret", "table": "log"})
    identity = Identity(source="who.csv", customer="id", person="person")
    update = {"serving": serving, "tracking": tracking, "events": events, "identity": identity}
    config = shop.model_copy(update=update)
    return run_record.save_training_record(trained.fitted, rows, config, ("churn", "value"), "# card", pd.DataFrame())


def test_what_is_read_is_what_was_kept(kept: TrainingRecord, trained: TrainingRun) -> None:
    back, learned = run_record.load_training_record(kept.folder), trained.fitted
    assert back.kinds == ("churn", "value")
    assert back.cutoff == learned.split.test.test
    assert (back.bundle("churn"), back.bundle("value"), back.judge) == (learned.churn, learned.value, learned.evaluated)
    pd.testing.assert_frame_equal(back.evaluation.metrics, learned.evaluation.metrics, check_dtype=False)
    assert back.card == "# card"
    assert [len(list(t.trials)) for t in learned.tuned.values()] == [
        sum(trial["of"] == name for trial in back.facts["trials"]) for name in learned.tuned
    ]


def test_nothing_of_a_login_or_a_customer_is_kept(kept: TrainingRecord, trained: TrainingRun) -> None:
    files = [path for path in kept.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".txt", ".csv", ".md", ".png"}
    text = "".join(path.read_text(encoding="utf-8") for path in files if path.suffix != ".png")
    assert "secret" not in text
    assert not [customer for customer in trained.fitted.truth.customers.to_pylist() if customer in text]
    assert kept.facts["inputs"][0]["source"] == "postgresql://db/shop table log"
    sources = {table["name"]: table["source"] for table in kept.facts["inputs"][1:]}
    assert sources == {"shop events": "postgresql://db/shop table log", "shop identity": "who.csv"}


def test_a_training_of_another_business_or_version_is_refused(kept: TrainingRecord, shop: Config) -> None:
    with pytest.raises(UsageError, match="is a training of 'shop', and the config's name is 'other'"):
        log_kept_training(shop.model_copy(update={"name": "other"}), kept.folder)
    facts = json.loads((kept.folder / "facts.json").read_text())
    (kept.folder / "facts.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(UsageError, match="made by another version"):
        run_record.load_training_record(kept.folder)
    with pytest.raises(UsageError, match="not a training saved for later"):
        run_record.load_training_record(kept.folder / "run")


def test_a_bundle_that_was_changed_is_noticed(kept: TrainingRecord) -> None:
    (file, *_) = sorted((kept.folder / "bundles" / "churn").glob("*.txt"))
    file.write_text(file.read_text() + "\n")
    with pytest.raises(UsageError, match="checksum differs"):
        kept.bundle("churn")


def test_what_is_logged_leaves_no_folder(kept: TrainingRecord, tmp_path: Path) -> None:
    kept.remove()
    assert not list(tmp_path.iterdir())
