"""The backtest on a small shop: fitted again at each cutoff on what was known, evaluated, written and logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.exceptions import MlflowException

from features.config.load import Config
from features.errors import DataError, UsageError
from features.snapshots.build import Snapshots, build_snapshots
from features.task import Window
from tests.shop import make_shop
from training.backtesting import backtest as room
from training.backtesting.backtest import Backtest, backtest_folds, backtest_models, backtest_text, predict_rolling
from training.backtesting.rolling import POOLED, evaluate_rolling
from training.data.time_split import Sample, sample_at, why_too_few
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import OURS

CUTOFFS = 2


@pytest.fixture(scope="module")
def rows(shop: Config) -> Snapshots:
    """Snapshots of the shop's mature cutoffs."""
    return build_snapshots(shop)


@pytest.fixture(scope="module")
def finished(shop: Config) -> Backtest:
    """A backtest of the shop's last cutoffs."""
    return backtest_models(shop, CUTOFFS)


def _changed(rows: Snapshots, after: np.datetime64, features_too: bool) -> Snapshots:
    """The same snapshots with labels turned round, and features moved, of every cutoff after a moment."""
    late = rows.rows["cutoff"].to_numpy() > after
    table = rows.rows
    for name in ("churned", "value", *(rows.names if features_too else ())):
        column = table[name]
        if pa.types.is_string(column.type):
            continue
        values = column.to_numpy().astype(float)
        turned = 1 - values if name == "churned" else values * 3 + 7
        changed = pa.array(np.where(late, turned, values), from_pandas=True).cast(column.type)
        table = table.set_column(table.column_names.index(name), name, changed)
    return replace(rows, rows=table)


@pytest.mark.parametrize("horizon", [30, 45, 70])
def test_every_cutoff_learns_from_labels_that_end_by_it(rows: Snapshots, horizon: int) -> None:
    longer = replace(rows, task=replace(rows.task, horizon=Window(horizon)))
    cutoffs = sorted({moment.date() for moment in rows.rows["cutoff"].to_pylist()})
    folds = backtest_folds(longer)
    assert folds[-1].test == cutoffs[-1]
    for fold in folds:
        assert all((fold.test - c).days >= horizon for c in fold.train)
        assert all((fold.test - c).days < horizon for c in cutoffs if c not in fold.train)


def test_nothing_that_came_after_a_cutoff_is_used(shop: Config, rows: Snapshots) -> None:
    (judged,), _ = predict_rolling(_only(rows, 1), shop, 1)
    end = np.datetime64(judged.cutoff, "us")
    # Every label became another one after it was known at later cutoffs; features of later cutoffs see later days.
    labels = replace(_changed(rows, np.datetime64("2000-01-01"), features_too=False), revisions=_as_they_were(rows))
    future = _changed(labels, end, features_too=True)
    again = next(j for j in predict_rolling(future, shop, 2)[0] if j.cutoff == judged.cutoff)
    for model, predicted in judged.predictions.items():
        np.testing.assert_array_equal(again.predictions[model].churn, predicted.churn)
        np.testing.assert_array_equal(again.predictions[model].value, predicted.value)
    assert not np.array_equal(again.truth.churned, judged.truth.churned)
    learned = _changed(rows, end - np.timedelta64(rows.task.horizon.days + 40, "D"), features_too=False)
    other = next(j for j in predict_rolling(learned, shop, 2)[0] if j.cutoff == judged.cutoff)
    assert not np.array_equal(other.predictions[OURS].churn, judged.predictions[OURS].churn)


def _as_they_were(rows: Snapshots) -> tuple[pa.Table, ...]:
    """The labels of all rows as known at every cutoff by which their horizon had passed."""
    labels = rows.rows.select(["customer_id", "cutoff", "churned", "value"])
    moments, horizon = labels["cutoff"].to_numpy(), np.timedelta64(rows.task.horizon.days, "D")
    parts = []
    for day in rows.cutoffs:
        part = labels.filter(moments + horizon <= np.datetime64(day))
        parts.append(part.append_column("known_by", pa.array([day] * part.num_rows, pa.date32())))
    return (pa.concat_tables(parts),)


def _only(rows: Snapshots, drop: int) -> Snapshots:
    """The snapshots without the last `drop` cutoffs."""
    last = sorted(set(rows.rows["cutoff"].to_pylist()))[-1 - drop]
    return replace(rows, rows=rows.rows.filter(rows.rows["cutoff"].to_numpy() <= np.datetime64(last)))


def test_ours_and_every_baseline_are_evaluated_at_every_cutoff_and_pooled(finished: Backtest) -> None:
    metrics = pd.read_csv(finished.folder / "metrics.csv")
    assert len(finished.cutoffs) == CUTOFFS
    overall = metrics[(metrics.segment == "all") & (metrics.metric == "brier")]
    assert set(overall.model) == {OURS, *BASELINES}
    assert set(overall.cutoff) == {*map(str, finished.cutoffs), POOLED}
    assert (overall.low <= overall.value).all() and (overall.value <= overall.high).all()
    assert {"coverage", "calibration_slope", "total_error_distance"} <= set(metrics.metric)
    differences = pd.read_csv(finished.folder / "differences.csv")
    assert set(differences.against) == set(BASELINES)
    grades = pd.read_csv(finished.folder / "grades.csv")
    assert (grades.cutoffs <= CUTOFFS).all() and (grades.better + grades.level <= grades.cutoffs).all()
    assert set(pd.read_csv(finished.folder / "groups.csv").number) == {"churn", "value", "covered"}


def test_the_terminal_shows_ours_the_best_baseline_and_the_counts(finished: Backtest) -> None:
    text = backtest_text(finished)
    assert (finished.folder / "summary.txt").read_text() == text + "\n"
    brier = next(line for line in text.splitlines() if line.startswith("Brier score"))
    m = finished.figures.metrics
    baselines = m[(m.metric == "brier") & (m.cutoff == POOLED) & (m.segment == "all") & (m.model != OURS)]
    assert baselines.sort_values("value").model.iloc[0] in brier
    assert f"of {CUTOFFS}" in brier
    g = finished.figures.grades
    count = g[(g.metric == "auc") & (g.against == "recency alone")].better.iloc[0]
    graded = next(line for line in text.splitlines() if line.startswith("better than recency alone in"))
    assert graded.split(" in ")[1].split()[:4] == [str(count), "of", str(CUTOFFS), "cutoffs"]


def test_it_is_logged_with_its_tables(finished: Backtest) -> None:
    run = mlflow.get_run(finished.run_id)
    pooled = finished.figures.row("auc")
    assert pooled is not None
    assert run.data.metrics["auc"] == pytest.approx(pooled["value"])
    assert run.data.params["cutoffs"] == str(CUTOFFS)
    names = {f.path for f in mlflow.MlflowClient().list_artifacts(finished.run_id, "backtest")}
    assert {"backtest/metrics.csv", "backtest/grades.csv", "backtest/auc.png", "backtest/summary.txt"} <= names


def test_a_second_run_leaves_the_same_bytes_and_nothing_beside(finished: Backtest, shop: Config) -> None:
    before = {path.name: path.read_bytes() for path in finished.folder.iterdir()}
    backtest_models(shop, CUTOFFS)
    assert {path.name: path.read_bytes() for path in finished.folder.iterdir()} == before
    assert not [path.name for path in finished.folder.parent.iterdir() if path.name.startswith(".")]


def test_overlapping_cutoffs_are_told(finished: Backtest, shop: Config, rows: Snapshots) -> None:
    assert finished.overlap == ""
    closer = replace(rows, task=replace(rows.task, every=Window(15)))
    figures = replace(finished.figures, grades=finished.figures.grades.assign(cutoffs_apart=1))
    assert "only 1 of 2 are at least a horizon apart" in room._overlap_note(figures, closer)


def test_a_cutoff_that_cannot_be_judged_is_left_out_and_told(shop: Config, rows: Snapshots) -> None:
    last = max(rows.rows["cutoff"].to_pylist())
    gone = np.where(rows.rows["cutoff"].to_numpy() == np.datetime64(last), 1, rows.rows["churned"].to_numpy())
    column = rows.rows.column_names.index("churned")
    table = rows.rows.set_column(column, "churned", pa.array(gone.astype(np.int8)))
    judged, left_out = predict_rolling(replace(rows, rows=table), shop, 2)
    assert [str(j.cutoff) for j in judged] == [str(backtest_folds(rows)[-2].test)]
    (why,) = left_out
    assert why.startswith(str(last.date())) and "0 stayed" in why and "at least 10 of each" in why
    with pytest.raises(DataError, match="no cutoff can be evaluated.*0 stayed"):
        predict_rolling(replace(rows, rows=table), shop, 1)


def test_too_short_a_log_is_refused(shop: Config, rows: Snapshots) -> None:
    first = rows.rows.filter(rows.rows["cutoff"].to_numpy() == np.datetime64(min(rows.rows["cutoff"].to_pylist())))
    with pytest.raises(DataError, match="two cutoffs at least a horizon"):
        predict_rolling(replace(rows, rows=first), shop, 12)


def test_nobody_who_spent_is_said(rows: Snapshots) -> None:
    some = sample_at(rows, [backtest_folds(rows)[-1].test])
    broke = Sample(some.customers, some.dates, some.features, some.churned, np.zeros(len(some)))
    assert why_too_few(some, some, True) == ""
    assert "spent more than was refunded" in why_too_few(broke, some, True)
    assert why_too_few(broke, some, False) == ""


def test_a_store_that_dies_keeps_the_tables(
    finished: Backtest, shop: Config, rows: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: object, **__: object) -> None:
        raise MlflowException("connection to http://me:secret@host refused\nsecond line")

    monkeypatch.setattr(room.mlflow, "log_artifacts", dead)
    with pytest.raises(UsageError) as message:
        room._log_backtest(finished, rows, shop)
    assert str(message.value).endswith(f"the figures are in {finished.folder}: connection to http://host refused")


def test_without_money_only_churn_is_evaluated(tmp_path: Path) -> None:
    config = make_shop(tmp_path, money=False)
    judged, left_out = predict_rolling(build_snapshots(config), config, 1)
    figures = evaluate_rolling(judged, config.task.horizon, seed=1, resamples=50)
    assert {"auc", "brier"} <= set(figures.metrics.metric)
    assert not {"gini", "coverage", "total_error"} & set(figures.metrics.metric)
    said = (figures, (judged[0].cutoff,), ("2023-01-01: why",), "they overlap", tmp_path, "", ("rows come late",))
    message = backtest_text(Backtest(*said))
    assert "evaluated at 1 cutoff (" in message
    assert "left out: 2023-01-01: why" in message and "they overlap" in message and left_out == []
    assert "note: rows come late\n" in message
