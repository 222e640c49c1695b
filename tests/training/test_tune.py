"""Tuning starts from the defaults, repeats itself, and does not lose to them on its own folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest

from features.errors import UsageError
from training.data.time_split import Sample
from training.models.churn import ChurnClassifier
from training.tune import MAX_TREES, STARTUP_TRIALS, Labelled, StudyFile, later_losses, tune_models


def _fold(seed: int) -> tuple[Labelled, Labelled]:
    def rows(seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(500, 3))
        churned = (rng.random(500) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
        table = pa.table({f"f{i}": x[:, i] for i in range(3)})
        return Sample(pa.chunked_array([[""] * 500]), np.zeros(500, int), table, churned, churned), churned

    return rows(seed), rows(seed + 100)


def _fold_of_customers(seed: int) -> tuple[Labelled, Labelled]:
    (rows, churned), test = _fold(seed)
    return (replace(rows, customers=pa.chunked_array([[f"c{i}" for i in range(500)]])), churned), test


def test_the_defaults_come_first_and_the_best_is_no_worse() -> None:
    tuned = tune_models(ChurnClassifier, [_fold(0), _fold(1)], trials=6, seed=3)
    assert tuned.trials[0].parameters["num_leaves"] == ChurnClassifier().num_leaves
    assert tuned.trials[0].loss == tuned.default_loss
    assert tuned.loss <= tuned.default_loss
    assert len(tuned.trials) == 6
    assert 5 <= tuned.parameters["n_estimators"] <= MAX_TREES


def test_the_same_seed_finds_the_same() -> None:
    first, again, other = (tune_models(ChurnClassifier, [_fold(0)], trials=4, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.trials[1].parameters != other.trials[1].parameters


def test_the_parameters_make_an_estimator() -> None:
    tuned = tune_models(ChurnClassifier, [_fold(0)], trials=2, seed=3)
    (rows, churned), _ = _fold(0)
    assert ChurnClassifier(**tuned.parameters, seed=3).fit(rows.features, churned).booster_.num_trees() > 0


def test_levels_are_levels_while_tuning_too() -> None:
    """Codes whose size says nothing: with few leaves, trees that take them for quantities do worse."""

    def rows(seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 10, 3000).astype(float)
        churned = (rng.random(3000) < np.where(codes % 2 == 1, 0.8, 0.2)).astype(float)
        return Sample(
            pa.chunked_array([[""] * 3000]), np.zeros(3000, int), pa.table({"plan": codes}), churned, churned
        ), churned

    fold = rows(0), rows(1)
    as_levels = tune_models(ChurnClassifier, [fold], trials=1, seed=3, categorical=("plan",))
    as_sizes = tune_models(ChurnClassifier, [fold], trials=1, seed=3)
    assert as_levels.loss < as_sizes.loss
    assert "categorical" not in as_levels.parameters


def test_a_search_that_was_interrupted_finds_what_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = [_fold(0), _fold(1)]
    uninterrupted = tune_models(ChurnClassifier, folds, trials=10, seed=3)
    study, train, calls = StudyFile(tmp_path / "kept" / "churn.journal", resume=True), lgb.train, iter(range(99))

    def killed(*args: object, **options: object) -> object:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return train(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lgb, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        tune_models(ChurnClassifier, folds, trials=10, seed=3, study=study)
    monkeypatch.undo()
    assert tune_models(ChurnClassifier, folds, trials=10, seed=3, study=study) == uninterrupted
    assert tune_models(ChurnClassifier, folds, trials=10, seed=3, study=study) == uninterrupted


def test_interrupted_before_the_first_trial_ends_the_defaults_still_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyFile(tmp_path / "churn.journal", resume=True)

    def killed(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lgb, "train", killed)
        tune_models(ChurnClassifier, [_fold(0)], trials=2, seed=3, study=study)
    resumed = tune_models(ChurnClassifier, [_fold(0)], trials=2, seed=3, study=study)
    assert resumed == tune_models(ChurnClassifier, [_fold(0)], trials=2, seed=3)


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "churn.journal"
    tune_models(ChurnClassifier, [_fold(0)], trials=3, seed=3, study=StudyFile(path))
    assert len(tune_models(ChurnClassifier, [_fold(0)], trials=2, seed=3, study=StudyFile(path)).trials) == 2


def test_a_study_that_cannot_be_read_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "churn.journal").write_text("not a journal\n" * 3)
    with pytest.raises(UsageError, match="the tuning study cannot be kept there"):
        tune_models(
            ChurnClassifier, [_fold(0)], trials=2, seed=3, study=StudyFile(tmp_path / "churn.journal", resume=True)
        )


def test_what_mattered_is_said_once_trials_are_many() -> None:
    assert tune_models(ChurnClassifier, [_fold(0)], trials=3, seed=3).importance == {}
    mattered = tune_models(ChurnClassifier, [_fold(0)], trials=14, seed=3).importance
    assert set(mattered) <= set(ChurnClassifier().get_params())
    assert sum(mattered.values()) == pytest.approx(1.0)
    assert list(mattered.values()) == sorted(mattered.values(), reverse=True)


def test_a_search_on_many_rows_learns_from_some_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    train = lgb.train
    monkeypatch.setattr("training.tune.MAX_ROWS", 100)
    monkeypatch.setattr(lgb, "train", lambda p, data, **o: (train(p, data, **o), learned.append(data.num_data()))[0])
    (rows, churned), test = _fold(0)
    many = replace(rows, customers=pa.chunked_array([[f"c{i % 250}" for i in range(500)]]))
    tune_models(ChurnClassifier, [((many, churned), test)], trials=1, seed=3)
    first, fold = learned
    assert 50 < fold < 150
    assert 0 < first < fold / 2
    assert first % 2 == fold % 2 == 0  # both rows of a customer, or none


def test_a_search_ends_when_nothing_but_noise_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tune.WITHOUT_GAIN", 3)
    (rows, churned), (later, outcome) = _fold(0)
    nothing = pa.table({"f0": np.zeros(500)})
    fold = (replace(rows, features=nothing), churned), (replace(later, features=nothing), outcome)
    tuned = tune_models(ChurnClassifier, [fold], trials=9, seed=3)
    assert len(tuned.trials) == 4
    assert not tuned.gained and tuned.used == {}


def test_a_search_goes_on_while_something_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees of 60 customers a leaf cannot tell groups of 25 apart, and smaller leaves can."""
    monkeypatch.setattr("training.tune.WITHOUT_GAIN", 6)

    def rows(seed: int) -> Labelled:
        rng = np.random.default_rng(seed)
        x = rng.permutation(500).astype(float)
        churned = (rng.random(500) < np.where(x // 25 % 2 == 1, 0.95, 0.05)).astype(float)
        return Sample(pa.chunked_array([[""] * 500]), np.zeros(500, int), pa.table({"x": x}), churned, churned), churned

    tuned = tune_models(ChurnClassifier, [(rows(0), rows(1))], trials=16, seed=3)
    assert len(tuned.trials) > 7
    assert tuned.loss < tuned.default_loss - 0.02
    assert tuned.gained and tuned.used == tuned.parameters


def test_trials_that_begin_badly_end_there() -> None:
    tuned = tune_models(ChurnClassifier, [_fold_of_customers(0), _fold_of_customers(1)], trials=12, seed=3)
    pruned = [trial.number for trial in tuned.trials if trial.loss is None]
    assert len(pruned) >= 3
    assert min(pruned) >= STARTUP_TRIALS
    assert tuned.loss == min(trial.loss for trial in tuned.trials if trial.loss is not None)


def test_the_loss_on_a_later_cutoff_is_that_of_the_margin() -> None:
    (rows, churned), (later, outcome) = _fold(0)
    p = ChurnClassifier(seed=1).fit(rows.features, churned).predict_proba(later.features)[:, 1]
    expected = -np.mean(outcome * np.log(p) + (1 - outcome) * np.log(1 - p))
    one, other = ChurnClassifier(seed=1), ChurnClassifier(seed=1, num_leaves=4)
    losses = later_losses([one, other], ((rows, churned), (later, outcome)), seed=1)
    assert losses[0].mean() == pytest.approx(expected)
    assert losses[1].mean() != losses[0].mean()
