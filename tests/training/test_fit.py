"""Training on a small shop: evaluated on unseen cutoffs, fitted on all of them, refused if it cannot learn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config.load import Config
from features.errors import DataError
from features.snapshots.build import Snapshots, build_snapshots
from tests.shop import make_shop
from training.artifact.margin import Margin
from training.data.time_split import Sample, out_of_time_folds
from training.evaluation import plots
from training.fit import FittedModels, _study_name, contacted_note, fit_models
from training.models import base_models
from training.train import training_text


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """Snapshots of the shop's mature cutoffs."""
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def learned(shop: Config, rows: Snapshots) -> FittedModels:
    """What the shop teaches."""
    return fit_models(rows, shop)


def test_what_judges_was_not_learned_from(learned: FittedModels) -> None:
    split = learned.split
    assert learned.evaluation.metrics.cutoff.max() == split.test.test
    assert split.test.test not in split.test.train
    assert learned.churn.facts["cutoffs"] == [str(c) for c in split.all_cutoffs]


def test_figures_have_intervals_and_a_ladder_at_the_last_cutoff(learned: FittedModels) -> None:
    metrics = learned.evaluation.metrics
    last = metrics[metrics.cutoff == learned.split.test.test]
    assert set(last.model) == {
        "regulars",
        "everybody alike",
        "recency alone",
        "past mean rate",
        "logistic regression on RFM",
        "BG/NBD and Gamma-Gamma",
        "plain LightGBM",
    }
    sure = last[last.metric.isin(["auc", "spearman"]) & (last.segment == "all")]
    assert ((sure.low <= sure.value) & (sure.value <= sure.high)).all()
    assert {"auc", "gini", "coverage", "total_error"} <= set(last[last.model == "regulars"].metric)


def test_segments_and_their_groups_are_judged_at_the_last_cutoff(learned: FittedModels) -> None:
    figures = learned.evaluation
    last = figures.metrics[figures.metrics.cutoff == learned.split.test.test]
    assert {"all", "lifecycle: active", "lifecycle: dormant"} <= set(last.segment)
    assert {"all", "lifecycle: active"} <= set(figures.groups.segment)
    assert figures.row("calibration_slope")["low"] < figures.row("calibration_slope")["high"]


def test_earlier_cutoffs_are_judged_too(learned: FittedModels, shop: Config) -> None:
    out_of_time = out_of_time_folds(learned.split.test.train, shop.task.horizon)
    assert len(out_of_time) == 3
    assert set(learned.evaluation.metrics.cutoff) == {learned.split.test.test, *(fold.test for fold in out_of_time)}


def test_the_judge_learned_only_what_had_come_by_the_last_cutoff(learned: FittedModels, shop: Config) -> None:
    last = learned.split.test.test
    assert learned.evaluated.kind == "value"
    assert all(date.fromisoformat(c) + shop.task.horizon.delta <= last for c in learned.evaluated.facts["cutoffs"])


def test_churn_and_value_share_one_classifier(learned: FittedModels, rows: Snapshots) -> None:
    assert learned.value is not None
    assert learned.churn.classifier_digest == learned.value.classifier_digest
    predicted = [bundle.predict(rows.rows)["churn_probability"] for bundle in (learned.churn, learned.value)]
    np.testing.assert_array_equal(*predicted)


def test_the_same_seed_learns_the_same_bits(learned: FittedModels, rows: Snapshots, shop: Config) -> None:
    again = fit_models(rows, shop)
    assert again.churn == learned.churn
    assert again.value == learned.value
    assert again.evaluation.metrics.equals(learned.evaluation.metrics)


def test_nothing_is_fitted_twice(rows: Snapshots, shop: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, fitted = base_models.fit_base_models, []

    def fit_counted(sample: Sample, *others: Any) -> base_models.BaseModels:
        fitted.append((len(sample), tuple(np.unique(sample.dates))))
        return fit(sample, *others)

    monkeypatch.setattr(base_models, "fit_base_models", fit_counted)
    untuned = shop.model_copy(update={"training": shop.training.model_copy(update={"trials": 0})})
    split = fit_models(rows, untuned).split
    assert len(fitted) == len(set(fitted))
    folds = {
        *out_of_time_folds(split.test.train, shop.task.horizon),
        *out_of_time_folds(split.all_cutoffs, shop.task.horizon),
    }
    assert len(fitted) == 1 + len({fold.train for fold in folds} | {split.test.train})


def test_no_customer_is_in_the_bundles(learned: FittedModels, rows: Snapshots, tmp_path: Path) -> None:
    assert learned.value is not None
    text = "".join(p.read_text() for p in learned.value.save(tmp_path / "m").iterdir())
    ids = set(rows.rows["customer_id"].to_pylist())
    assert len(ids) > 100
    assert not [customer for customer in ids if customer in text]


def test_the_terminal_shows_ours_beside_the_ladder(learned: FittedModels) -> None:
    text = training_text(learned)
    assert "recency alone" in text or "BG/NBD" in text or "plain LightGBM" in text
    assert max(map(len, text.splitlines())) <= 150
    assert "AUC" in text
    assert str(learned.split.test.test) in text


def test_without_money_there_is_a_churn_model_alone(tmp_path: Path) -> None:
    config = make_shop(tmp_path, money=False)
    learned = fit_models(build_snapshots(config), config)
    assert learned.value is None
    assert learned.churn.kind == "churn"
    assert "spearman" not in set(learned.evaluation.metrics.metric)


def test_a_short_log_is_learned_with_defaults_and_says_so(shop: Config, rows: Snapshots) -> None:
    moments = sorted(set(rows.rows["cutoff"].to_pylist()))[-3:]
    few = rows.rows.filter(np.isin(np.array(rows.rows["cutoff"].to_pylist()), moments))
    learned = fit_models(replace(rows, rows=few), shop)
    assert learned.tuned == {}
    assert "default parameters" in learned.split.shortfall
    two = rows.rows.filter(np.isin(np.array(rows.rows["cutoff"].to_pylist()), moments[-2:]))
    shortest = fit_models(replace(rows, rows=two), shop)
    assert shortest.evaluated.slope == 1.0
    assert shortest.evaluated.log_level == 0.0
    assert shortest.evaluated.spread is not None
    assert "uncalibrated" in shortest.split.shortfall
    assert shortest.evaluated_without == ("calibration", "tuning")
    assert shortest.churn.facts["heard"], "the registered model has a later cutoff to be calibrated on"
    assert "not of one kind" in training_text(shortest)
    assert learned.evaluated_without == ("tuning",) and len(learned.shortfalls) == 1


def test_who_cannot_be_learned_from_is_said(shop: Config, rows: Snapshots) -> None:
    column = rows.rows.column_names.index("churned")
    for fate, word in ((1, "0 purchased"), (0, "0 churned")):
        same = rows.rows.set_column(column, "churned", [np.full(rows.rows.num_rows, fate, dtype=np.int8)])
        with pytest.raises(DataError, match=word):
            fit_models(replace(rows, rows=same), shop)
    with pytest.raises(DataError, match="two cutoffs"):
        first = rows.rows["cutoff"].to_numpy() == np.datetime64(min(rows.rows["cutoff"].to_pylist()))
        fit_models(replace(rows, rows=rows.rows.filter(first)), shop)


def test_the_cutoffs_are_dates(learned: FittedModels) -> None:
    assert all(type(cutoff) is date for cutoff in learned.split.all_cutoffs)


def test_who_was_left_out_for_a_contact_is_said(learned: FittedModels, rows: Snapshots) -> None:
    assert contacted_note(rows) == ()
    (note,) = contacted_note(replace(rows, touched=rows.rows.num_rows))
    assert "(50.0%) are left out" in note and f"{rows.rows.num_rows:,} of" in note
    assert f"note: {note}" in training_text(replace(learned, notes=(note,)))


def test_a_study_is_another_one_if_labels_wait_longer(rows: Snapshots) -> None:
    waiting = replace(rows, label_delay=replace(rows.label_delay, wait=rows.label_delay.wait + 3))
    names = {_study_name(kind, known, 7) for kind in ("churn", "spend") for known in (rows, waiting)}
    assert len(names) == 4


def test_contributions_add_up_to_the_margin_and_their_tenths_to_all_customers(learned: FittedModels) -> None:
    X = learned.evaluated.model_inputs(learned.truth.features)
    gate = learned.evaluated.gate
    np.testing.assert_allclose(gate.contributions(X).sum(axis=1) + _base(gate, X), gate.predict(X), atol=1e-8)
    table = plots.feature_contributions(learned.evaluated, learned.truth)
    assert table.strength.is_monotonic_decreasing and table.tenth.between(1, 10).all()
    assert table.feature.nunique() <= 15 and set(table.feature) <= set(learned.evaluated.features)
    assert len(plots.importance_plot(table).axes[0].patches) == table.feature.nunique()
    assert plots.contributions_plot(table).axes[0].get_title().startswith("SHAP")


def _base(gate: Margin, X: pa.Table) -> np.ndarray:
    """What the margin is without any feature's contribution."""
    trees = sum(w * b.predict(X, pred_contrib=True)[:, -1] for b, w in zip(gate.boosters(), gate.weights, strict=True))
    return gate.intercept + np.asarray(trees)
