"""Score tables: the contract's columns, consistent predictions, intact files, and the same bytes again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.config.load import Config, parse_config
from features.errors import DataError, UsageError
from serving.scoring import chunks, predictions
from serving.scoring.columns import EXTRA_COLUMNS_AT, SCORE_SCHEMA
from serving.scoring.predictions import load_champions
from serving.scoring.run import score_customers
from serving.scoring.score_tables import Scores, read_scores
from tests.shop import make_shop
from training.train import TrainingRun, train_models

LIFETIME = ("value_12m", "value_24m", "value_36m", "lifetime_value")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?%?")


@pytest.fixture(scope="module")
def scores(shop: Config, trained: TrainingRun) -> Scores:
    """The shop's newest cutoff, scored with contributions."""
    return score_customers(shop, trained.newest, with_contributions=True)


def _changed(config: Config, **sections: dict[str, Any]) -> Config:
    values = config.model_dump(mode="json", exclude={"folder"})
    for section, keys in sections.items():
        values[section] = {**values[section], **keys}
    return parse_config(values, config.folder / "regulars.toml")


def test_columns_are_those_of_the_contract(scores: Scores) -> None:
    schema = scores.table().schema
    years = [f"{name}{end}" for name in LIFETIME for end in ("", "_low", "_high")]
    when = "next_purchase next_purchase_low next_purchase_high expected_orders overdue_days".split()
    added = [*years, *when, *(f"returns_within_{days}d" for days in (8, 15, 30, 60))]
    assert schema.names[EXTRA_COLUMNS_AT : EXTRA_COLUMNS_AT + len(added)] == added
    assert pa.schema([field for field in schema if field.name not in added]) == SCORE_SCHEMA
    assert (
        SCORE_SCHEMA.names
        == (
            "customer_id cutoff churn_probability value value_low value_high value_at_risk lifecycle tier segment "
            "churn_reasons value_reasons churn_model value_model"
        ).split()
    )


def test_pandas_reads_the_folder(scores: Scores) -> None:
    table = pd.read_parquet(scores.folder)
    assert len(table) == scores.manifest.customers
    assert table.customer_id.is_monotonic_increasing
    assert table.cutoff.eq(pd.Timestamp(scores.cutoff)).all()


def test_the_numbers_agree_with_each_other(scores: Scores) -> None:
    table = scores.table().to_pandas()
    assert table.churn_probability.between(0, 1).all()
    stays = table.value / (1 - table.churn_probability)
    np.testing.assert_allclose(table.value + table.value_at_risk, stays, rtol=1e-9)
    assert (table.value_low.le(table.value) & table.value.le(table.value_high)).all()
    for shorter, longer in zip(("value", *LIFETIME), LIFETIME, strict=False):
        assert table[shorter].le(table[longer]).all()
        assert (table[f"{longer}_low"].le(table[longer]) & table[longer].le(table[f"{longer}_high"])).all()
    assert set(table.churn_model) == {"shop-churn/1"}
    assert set(table.value_model) == {"shop-value/1"}


@pytest.mark.parametrize(("part", "column"), [("churn", "churn_probability"), ("value", "value")])
def test_contributions_add_up_to_the_shipped_numbers(
    scores: Scores, shop: Config, trained: TrainingRun, part: str, column: str
) -> None:
    folder = shop.output / "contributions" / part / f"cutoff={scores.cutoff}"
    table = pd.read_parquet(folder / "part-00000.parquet")
    assert list(table.columns) == ["customer_id", "base", *trained.fitted.churn.features, "total"]
    added = table.base + table[list(trained.fitted.churn.features)].sum(axis=1)
    np.testing.assert_allclose(added, table.total, atol=1e-6)
    np.testing.assert_array_equal(table.total, scores.table()[column].to_numpy())


def test_reasons_are_sentences_of_the_customers_own(scores: Scores, shop: Config) -> None:
    table = scores.table().to_pandas()
    for column in ("churn_reasons", "value_reasons"):
        counts = table[column].map(len)
        assert counts.between(1, shop.serving.reasons).all()
    reason = table.churn_reasons[0][0]
    assert set(reason) == {"feature", "phrase", "reading", "contribution"}
    assert reason["reading"] and reason["phrase"] and reason["contribution"]


def test_the_manifest_says_what_is_there(scores: Scores) -> None:
    manifest = json.loads((scores.folder / "_manifest.json").read_text())
    for part in manifest["parts"]:
        assert hashlib.sha256((scores.folder / part["file"]).read_bytes()).hexdigest() == part["sha256"]
    assert sum(part["rows"] for part in manifest["parts"]) == manifest["customers"]
    assert manifest["models"]["value"]["label"] == "shop-value/1"
    assert manifest["drivers"]["churn"][0]["strength"] >= manifest["drivers"]["churn"][1]["strength"]


def test_scoring_again_gives_the_same_bytes(scores: Scores, shop: Config, tmp_path: Path) -> None:
    before = (scores.folder / "part-00000.parquet").read_bytes()
    again = score_customers(_changed(shop, serving={"output": str(tmp_path)}), scores.cutoff)
    assert (again.folder / "part-00000.parquet").read_bytes() == before


def test_numbers_do_not_depend_on_the_chunk(scores: Scores, shop: Config, tmp_path: Path) -> None:
    small = score_customers(_changed(shop, serving={"output": str(tmp_path), "chunk": 37}), scores.cutoff)
    assert len(small.manifest.parts) > 1
    assert small.table().equals(scores.table())


def test_another_language_is_another_run_of_the_same_numbers(scores: Scores, shop: Config, tmp_path: Path) -> None:
    config = _changed(shop, serving={"output": str(tmp_path)})
    shutil.copytree(scores.folder, tmp_path / "scores" / scores.folder.name)
    assert not score_customers(config, scores.cutoff).new
    chinese = score_customers(config.model_copy(update={"language": "zh"}), scores.cutoff)
    assert chinese.new and (scores.manifest.language, chinese.manifest.language) == ("en", "zh")
    assert chinese.manifest.drivers == scores.manifest.drivers
    words = ["churn_reasons", "value_reasons"]
    assert chinese.table().drop_columns(words).equals(scores.table().drop_columns(words))
    for column in words:
        for before, after in zip(scores.table()[column].to_pylist(), chinese.table()[column].to_pylist(), strict=True):
            assert [r["feature"] for r in after] == [r["feature"] for r in before]
            for old, new in zip(before, after, strict=True):
                assert re.search(r"[\u4e00-\u9fff]", new["phrase"]) and re.search(r"[\u4e00-\u9fff]", new["reading"])
                assert sorted(NUMBER.findall(new["reading"])) == sorted(NUMBER.findall(old["reading"]))


def test_contributions_never_outlive_their_numbers(shop: Config, trained: TrainingRun, tmp_path: Path) -> None:
    config = _changed(shop, serving={"output": str(tmp_path)})
    score_customers(config, trained.newest, with_contributions=True)
    kept = tmp_path / "contributions" / "value" / f"cutoff={trained.newest}"
    score_customers(config, trained.newest)
    assert kept.exists()
    score_customers(_changed(config, serving={"reasons": 1}), trained.newest)
    assert not kept.exists()


def test_nothing_is_half_written(
    shop: Config, trained: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _changed(shop, serving={"output": str(tmp_path)})
    complete = score_customers(config, trained.newest)
    before = (complete.folder / "part-00000.parquet").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr(chunks, "_write_parquet", fail)
    with pytest.raises(RuntimeError):
        score_customers(_changed(config, serving={"reasons": 1}), trained.newest)
    assert read_scores(config, trained.newest).table().equals(complete.table())
    assert (complete.folder / "part-00000.parquet").read_bytes() == before
    assert [path.name for path in complete.folder.parent.iterdir()] == [complete.folder.name]


def test_a_place_that_cannot_be_written_is_one_message(shop: Config, trained: TrainingRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        score_customers(_changed(shop, serving={"output": str(tmp_path / "file" / "in")}), trained.newest)


def test_no_champion_says_to_train(make_config) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="run `regulars train` first"):
        load_champions(make_config())


def test_models_that_do_not_share_a_gate_are_refused(shop: Config, trained: TrainingRun, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    both = {kind: predictions.load_champion(shop, kind) for kind in ("churn", "value")}
    assert both["churn"] is not None
    other = replace(both["churn"], bundle=replace(both["churn"].bundle, slope=2.0))
    monkeypatch.setattr(predictions, "load_champion", lambda config, kind: {**both, "churn": other}[kind])
    with pytest.raises(UsageError, match="do not share one classifier of returning"):
        load_champions(shop)


def test_a_config_that_makes_other_features_is_refused(shop: Config, trained: TrainingRun) -> None:
    with pytest.raises(UsageError, match="config changed since training"):
        score_customers(_changed(shop, task={"windows": ["30d"]}), trained.newest)


def test_a_cutoff_outside_the_log_is_refused(shop: Config, trained: TrainingRun) -> None:
    with pytest.raises(UsageError, match="outside the log"):
        score_customers(shop, date(2040, 1, 1))


def test_an_empty_cohort_is_refused(shop: Config, trained: TrainingRun) -> None:
    with pytest.raises(DataError, match="no one to score"):
        score_customers(_changed(shop, task={"active_within": "1d"}), trained.newest + timedelta(days=5))


def test_reading_back_the_newest_and_a_cutoff_that_is_not_there(scores: Scores, shop: Config) -> None:
    assert read_scores(shop).cutoff == scores.cutoff
    with pytest.raises(UsageError, match="is not scored"):
        read_scores(shop, date(2020, 1, 1))


def test_who_is_most_at_risk(scores: Scores) -> None:
    table = scores.table().to_pandas().set_index("customer_id")
    assert scores.most_at_risk() == table.value_at_risk.idxmax()


def test_the_shop_is_left_as_it_was(shop: Config, scores: Scores, tmp_path: Path) -> None:
    copy = shutil.copytree(shop.folder, tmp_path / "shop")
    assert not [path for path in copy.rglob(".*") if path.is_dir()]


OWN = """\
from features.own import Family, Feature, Measure, add_up

def families(task):
    late = add_up(Measure("late_orders", lambda o: (o.purchase & (o.hour >= 20)).sum()))
    share = Feature("late_share", lambda m: m.late_orders_ever / m.orders_ever, "hours", "share of late orders",
                    "{value:share} of orders came late", "share")
    return [Family("late", [share], late)]
"""


def test_models_that_learned_without_own_features_refuse_to_score_with_them(
    shop: Config, trained: TrainingRun, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(UsageError, match="shop-churn/1 was trained without features of your own, and .* take it out"):
        score_customers(_changed(shop, features={"own": str(tmp_path / "mine.py")}), trained.newest)


@pytest.mark.long
@pytest.mark.slow
def test_models_score_with_the_very_file_that_they_learned_from(tmp_path: Path) -> None:
    bare = make_shop(tmp_path)
    config = _changed(bare, features={"own": "mine.py"}, training={"trials": 0}, serving={"reasons": 20})
    (tmp_path / "mine.py").write_text(OWN)
    trained = train_models(config)
    assert trained.fitted.churn.features[-1] == "late_share"
    assert len(trained.fitted.churn.facts["own_features"]) == 16
    scores = score_customers(config, trained.newest)
    reasons = [r for row in scores.table().to_pylist() for r in row["churn_reasons"] + row["value_reasons"]]
    late_reasons = [r for r in reasons if r["feature"] == "late_share"]
    assert late_reasons and all(r["reading"].endswith("% of orders came late") for r in late_reasons)
    with pytest.raises(UsageError, match="trained with features of your own, and .* names no file now"):
        score_customers(bare, trained.newest)
    (tmp_path / "mine.py").write_text(OWN.replace("20", "21"))
    with pytest.raises(UsageError, match="is not the one that shop-churn/1 was trained with; put that one back"):
        score_customers(config, trained.newest)
