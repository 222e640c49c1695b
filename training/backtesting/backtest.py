"""The command `backtest`: repeats the complete procedure at past cutoffs and evaluates each beside the baselines.

At a cutoff t everything is fitted again on the cutoffs whose labels end by t; nothing that happened later is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from features.config.load import Config
from features.errors import DataError, UsageError
from features.intake.log import Business, opened
from features.label_delay import label_delay_note
from features.snapshots import build
from features.snapshots.build import Snapshots
from features.storage.atomic_files import atomic_folder
from training.backtesting.rolling import POOLED, CutoffPredictions, RollingEvaluation, evaluate_rolling
from training.data.prediction import Prediction, PredictionInterval
from training.data.time_split import Fold, Sample, fold_at, sample_at, training_sample, why_too_few
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, evaluation_segments
from training.evaluation.metrics import BEST, TITLES
from training.evaluation.plots import cutoffs_plot
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import has_money
from training.models.ensemble import fit_ensemble
from training.registry import models

MAX_CUTOFFS = 12
TABLES = ("metrics", "differences", "grades", "groups")
SHOWN = (
    "auc", "average_precision", "brier", "reliability", "resolution", "calibration_error", "calibration_slope",
    "calibration_in_the_large", "spearman", "gini", "deviance", "decile_error", "total_error", "mae",
)  # fmt: skip
GRADED = ("auc", "brier", "spearman", "gini", "deviance", "decile_error")
PICTURED = ("auc", "brier", "gini", "total_error")


@dataclass(frozen=True)
class Backtest:
    """A backtest: its metrics, its cutoffs, and where they were written.

    Attributes:
        figures: Metrics at each cutoff and pooled.
        cutoffs: The evaluated cutoffs.
        left_out: Why other cutoffs were left out, a sentence each.
        overlap: A sentence on how far the labels of different cutoffs cover the same days; empty if they do not.
        folder: Where the tables are.
        run_id: MLflow's id of the run.
        notes: Which cutoffs have no outcome yet because rows of their horizon may still arrive, in words.
    """

    figures: RollingEvaluation
    cutoffs: tuple[date, ...]
    left_out: tuple[str, ...]
    overlap: str
    folder: Path
    run_id: str
    notes: tuple[str, ...] = ()

    def to_pandas(self) -> pd.DataFrame:
        """The metrics at each cutoff and pooled, with their intervals."""
        return self.figures.metrics


def backtest_models(business: Business, most: int = MAX_CUTOFFS) -> Backtest:
    """Evaluates the procedure at the last cutoffs, writes OUTPUT/backtest and logs it to MLflow.

    Args:
        business: An opened log, a config, or the path of a config.
        most: Most cutoffs to evaluate; the last ones are taken.

    Returns:
        The backtest.

    Raises:
        DataError: The log breaks its contract, or no cutoff can be evaluated.
        UsageError: The tracking store does not answer, or the output cannot be written.
    """
    with opened(business) as log:
        config, rows = log.config, build.build_snapshots(log)
    models.connect_to_mlflow(config)
    evaluated, left_out = predict_rolling(rows, config, most)
    settings, horizon = config.training, rows.task.horizon
    figures = evaluate_rolling(evaluated, horizon, seed=settings.seed, resamples=settings.bootstrap)
    cutoffs = tuple(j.cutoff for j in evaluated)
    notes = label_delay_note(rows.label_delay, rows.end, horizon)
    backtest = Backtest(figures, cutoffs, tuple(left_out), _overlap_note(figures, rows), _folder(config), "", notes)
    _write_backtest(backtest)
    return replace(backtest, run_id=_log_backtest(backtest, rows, config))


def predict_rolling(rows: Snapshots, config: Config, most: int) -> tuple[list[CutoffPredictions], list[str]]:
    """Fits and predicts with our model and each baseline at the last cutoffs.

    Args:
        rows: Of every mature cutoff, with labels.
        config: Seed and interval.
        most: Most cutoffs.

    Returns:
        The predictions by cutoff, ascending, and for each cutoff that is left out a sentence that says why.

    Raises:
        DataError: No cutoff can be evaluated.
    """
    folds = backtest_folds(rows)
    if not folds:
        raise DataError(
            f"a backtest needs two cutoffs at least a horizon ({rows.task.horizon}) apart with their labels known; "
            "give a longer log or a shorter [task] horizon or every"
        )
    predictions, left_out, chosen = [], [], folds[-most:]
    baselines = baselines_for(rows.task)
    bar = tqdm(total=len(chosen) * (1 + len(baselines)), desc="backtesting cutoffs", leave=False, disable=None)
    with bar:
        for fold in chosen:
            train, truth = training_sample(rows, fold), sample_at(rows, [fold.test])
            why = why_too_few(train, truth, has_money(rows))
            if why:
                left_out.append(f"{fold.test}: {why}")
                bar.update(1 + len(baselines))
                continue
            predicted = {OURS: predict_with_ours(rows.as_known(fold.test), config, fold.train, truth)}
            bar.update()
            for name, baseline in baselines.items():
                predicted[name] = baseline(train, truth, rows.task.horizon)
                bar.update()
            predictions.append(
                CutoffPredictions(
                    fold.test, _outcomes_only(truth), predicted, evaluation_segments(truth, rows.task.horizon)
                )
            )
    if not predictions:
        raise DataError("no cutoff can be evaluated. " + "; ".join(left_out))
    return predictions, left_out


def _outcomes_only(truth: Sample) -> Sample:
    """The sample with only one feature, to save memory."""
    return replace(truth, features=truth.features.select(truth.features.column_names[:1]))


def backtest_folds(rows: Snapshots) -> list[Fold]:
    """A fold for every cutoff with earlier cutoffs whose labels end by it, ascending."""
    cutoffs = rows.cutoffs
    return [fold for test in cutoffs if (fold := fold_at(cutoffs, test, rows.task.horizon))]


def predict_with_ours(rows: Snapshots, config: Config, cutoffs: Sequence[date], truth: Sample) -> Prediction:
    """Fits our complete procedure on some cutoffs, with default parameters, and predicts a later one.

    Args:
        rows: With labels at these cutoffs.
        config: Seed and interval.
        cutoffs: The training cutoffs.
        truth: The later cutoff's customers (n rows).

    Returns:
        Predictions for the customers.
    """
    predicted = fit_ensemble(rows, config, cutoffs, {}).richest.predict(truth.features)
    if "value" not in predicted:
        return Prediction(predicted["churn_probability"], None)
    interval = PredictionInterval(predicted["value_low"], predicted["value_high"], config.serving.interval)
    return Prediction(predicted["churn_probability"], predicted["value"], interval)


def backtest_text(backtest: Backtest) -> str:
    """The pooled metrics beside the best baseline, and the counts of better cutoffs, as text for a terminal."""
    figures, cutoff_count = backtest.figures, len(backtest.cutoffs)
    overall = figures.row("brier") or {}
    span = f"{backtest.cutoffs[0]}" if cutoff_count == 1 else f"{backtest.cutoffs[0]} to {backtest.cutoffs[-1]}"
    lines = [
        f"evaluated at {cutoff_count} cutoff{'' if cutoff_count == 1 else 's'} ({span}) on {overall['customers']:,} "
        "customers; at each, everything was fitted again on what was known by then, with default parameters",
        *([backtest.overlap] if backtest.overlap else []),
        *(f"left out: {why}" for why in backtest.left_out),
        *(f"note: {note}" for note in backtest.notes),
        "",
        f"{'mean over the cutoffs':<40}{'regulars (95% interval)':<32}{'best baseline':<38}"
        f"{'regulars minus it':<36}better in",
    ]
    lines += [row for metric in SHOWN if (row := _metric_line(figures, metric))]
    covered = figures.row("coverage")
    if covered:
        lines.append(f"{TITLES['coverage']:<40}{_estimate_cell(covered, 'value')}")
    return "\n".join([*lines, "", *_grade_lines(figures)])


def _metric_line(figures: RollingEvaluation, metric: str) -> str:
    """A metric's line; empty if it was not measured."""
    name = f"{metric}_distance" if metric in BEST else metric
    mine, m = figures.row(name), figures.metrics
    theirs = m[(m.metric == name) & (m.model != OURS) & (m.cutoff == POOLED)]
    if mine is None or theirs.empty:
        return ""
    best = theirs.sort_values("value", ascending=metric not in HIGHER_IS_BETTER, kind="stable").iloc[0]
    d, g = figures.differences, figures.grades
    gap = d[(d.metric == metric) & (d.against == best.model) & (d.cutoff == POOLED)].iloc[0].to_dict()
    grade = g[(g.metric == metric) & (g.against == best.model)].iloc[0]
    title = TITLES[metric] + (f", off {BEST[metric]:.0f} by" if metric in BEST else "")
    arrow = "↑" if metric in HIGHER_IS_BETTER else "↓"
    best_cell, gap_cell = f"{best.model} {best.value:,.4g}", _estimate_cell(gap, "difference", "+")
    count = f"{grade.better} of {grade.cutoffs}"
    return f"{title + ' ' + arrow:<40}{_estimate_cell(mine, 'value'):<32}{best_cell:<38}{gap_cell:<36}{count}"


def _estimate_cell(row: dict[str, Any], name: str, sign: str = "") -> str:
    return f"{row[name]:{sign},.4g} ({row['low']:{sign},.4g} to {row['high']:{sign},.4g})"


def _grade_lines(figures: RollingEvaluation) -> list[str]:
    """Lines that say at how many cutoffs our model is better than each baseline, by the chief metrics."""
    grades = figures.grades.set_index(["against", "metric"])
    known = [metric for metric in GRADED if metric in grades.index.get_level_values("metric")]
    lines = [" " * 44 + "".join(f"{TITLES[metric]:<26}" for metric in known).rstrip()]
    for baseline in figures.grades["against"].unique():
        counts = [grades.loc[(baseline, metric)] if (baseline, metric) in grades.index else None for metric in known]
        cells = ["" if row is None else f"{row.better} of {row.cutoffs} cutoffs" for row in counts]
        lines.append(f"{f'better than {baseline} in':<44}" + "".join(f"{cell:<26}" for cell in cells).rstrip())
    return lines


def _overlap_note(figures: RollingEvaluation, rows: Snapshots) -> str:
    every, horizon, grades = rows.task.every, rows.task.horizon, figures.grades
    cutoffs, independent = int(grades.cutoffs.max()), int(grades.cutoffs_apart.max())
    if every.days >= horizon.days or cutoffs == independent:
        return ""
    return (
        f"the cutoffs are {every} apart and each sees the {horizon} after it: they overlap, and only {independent} of "
        f"{cutoffs} are at least a horizon apart. Intervals resample customers with all their cutoffs"
    )


def _folder(config: Config) -> Path:
    return config.path(config.serving.output) / "backtest"


def _write_backtest(backtest: Backtest) -> None:
    """Writes the tables, the printed text, and a plot for each of the chief metrics."""
    with atomic_folder(backtest.folder) as beside:
        for name in TABLES:
            getattr(backtest.figures, name).to_csv(beside / f"{name}.csv", index=False)
        (beside / "summary.txt").write_text(backtest_text(backtest) + "\n", encoding="utf-8")
        m = backtest.figures.metrics
        for metric in PICTURED:
            rows = m[(m.metric == metric) & (m.segment == "all") & (m.cutoff != POOLED)]
            if len(rows):
                cutoffs_plot(rows, TITLES[metric], OURS).savefig(beside / f"{metric}.png")


def _log_backtest(backtest: Backtest, rows: Snapshots, config: Config) -> str:
    """Logs a run with the tables as artifacts and our metrics, by cutoff with the day as the step; returns its id."""
    m, now = backtest.figures.metrics, get_current_time_millis()
    ours = m[(m.model == OURS) & (m.segment == "all")].to_dict("records")
    entries = []
    for row in ours:
        if row["cutoff"] == POOLED:
            ends = {"": row["value"], "_low": row["low"], "_high": row["high"]}
            entries += [Metric(f"{row['metric']}{end}", value, now, 0) for end, value in ends.items()]
        else:
            entries.append(Metric(f"{row['metric']}_by_cutoff", row["value"], now, int(row["cutoff"].replace("-", ""))))
    params = {"cutoffs": len(backtest.cutoffs), "left_out": len(backtest.left_out), "seed": config.training.seed}
    return log_folder(f"backtest {backtest.cutoffs[-1]}", backtest.folder, rows, params, entries)


def log_folder(title: str, folder: Path, rows: Snapshots, params: dict[str, Any], metrics: Sequence[Metric]) -> str:
    """Logs a folder of tables as a run of the connected store.

    Args:
        title: The run's name.
        folder: The tables.
        rows: The snapshots, whose fingerprints are logged.
        params: The run's parameters.
        metrics: The run's metrics; those that are not finite are left out.

    Returns:
        The run's id.

    Raises:
        UsageError: The store no longer answers; the folder stays.
    """
    try:
        with mlflow.start_run(run_name=title) as run:
            mlflow.set_tag("regulars.fingerprint", rows.fingerprint)
            mlflow.log_params({**params, "data_fingerprint": rows.data_fingerprint})
            known = [entry for entry in metrics if np.isfinite(entry.value)]
            for start in range(0, len(known), 1000):
                MlflowClient().log_batch(run.info.run_id, metrics=known[start : start + 1000])
            mlflow.log_artifacts(str(folder), folder.name)
            return str(run.info.run_id)
    except (MlflowException, OSError, SQLAlchemyError) as problem:
        why = re.sub(r"://\S*@", "://", str(problem).strip().split("\n")[0])  # without who logs in
        raise UsageError(f"the tracking store does not answer, the figures are in {folder}: {why}") from None
