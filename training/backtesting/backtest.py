"""The command: the whole procedure repeated at rolling cutoffs, each judged on what then came, beside the ladder.

At a cutoff t everything is learned anew from the cutoffs whose labels end by t; nothing that happened later is used.
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

from features.atomic_files import atomic_folder
from features.config.load import Config
from features.errors import DataError, UsageError
from features.intake.log import Business, config_of
from features.snapshots import build
from features.snapshots.build import Snapshots
from training.backtesting.rolling import POOLED, CutoffPredictions, RollingEvaluation, evaluate_rolling
from training.data.prediction import Prediction, PredictionInterval
from training.data.time_split import Fold, Sample, fold_at, sample_at, why_too_few
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, evaluation_segments
from training.evaluation.metrics import BEST, TITLES
from training.evaluation.plots import cutoffs_plot
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import has_money
from training.models.ensemble import fit_ensemble
from training.registry import models

MOST = 12
TABLES = ("metrics", "differences", "grades", "groups")
SHOWN = (
    "auc", "average_precision", "brier", "reliability", "resolution", "calibration_error", "calibration_slope",
    "calibration_in_the_large", "spearman", "gini", "deviance", "decile_error", "total_error", "mae",
)  # fmt: skip
GRADED = ("auc", "brier", "spearman", "gini", "deviance", "decile_error")
PICTURED = ("auc", "brier", "gini", "total_error")


@dataclass(frozen=True)
class Backtest:
    """A backtest: its figures, its cutoffs, and where they were written.

    Attributes:
        figures: At each cutoff and pooled.
        cutoffs: That were judged.
        left_out: Why others were not, one sentence each.
        overlap: In words, how far the cutoffs' labels see the same days; empty where they do not.
        folder: With the tables.
        run_id: Of MLflow.
    """

    figures: RollingEvaluation
    cutoffs: tuple[date, ...]
    left_out: tuple[str, ...]
    overlap: str
    folder: Path
    run_id: str

    def to_pandas(self) -> pd.DataFrame:
        """The metrics at each cutoff and pooled, with their intervals."""
        return self.figures.metrics


def backtest_models(business: Business, most: int = MOST) -> Backtest:
    """Rolls over the last cutoffs, judges, writes OUTPUT/backtest and logs it to MLflow.

    Args:
        business: An opened log, a config, or the path of a config.
        most: Cutoffs to judge; fewer where the log has fewer that can be learned for.

    Raises:
        DataError: The log breaks its contract, or has no cutoff that can be judged.
        UsageError: The tracking store does not answer, or the output cannot be written.
    """
    config = config_of(business)
    rows = build.build_snapshots(config)
    models.connect_to_mlflow(config)
    judged, left_out = predict_rolling(rows, config, most)
    settings, horizon = config.training, rows.task.horizon
    figures = evaluate_rolling(judged, horizon, seed=settings.seed, resamples=settings.bootstrap)
    cutoffs = tuple(j.cutoff for j in judged)
    made = Backtest(figures, cutoffs, tuple(left_out), _overlap(figures, rows), _folder(config), "")
    _write(made)
    return replace(made, run_id=_log(made, rows, config))


def predict_rolling(rows: Snapshots, config: Config, most: int) -> tuple[list[CutoffPredictions], list[str]]:
    """What ours and each rung say at the last cutoffs, ascending, and why some were left out.

    Raises:
        DataError: No cutoff can be judged.
    """
    folds = backtest_folds(rows)
    if not folds:
        raise DataError(
            f"a backtest needs two cutoffs at least a horizon ({rows.task.horizon}) apart with their labels known; "
            "give a longer log or a shorter [task] horizon or every"
        )
    judged, left_out, wanted = [], [], folds[-most:]
    rungs = baselines_for(rows.task)
    bar = tqdm(total=len(wanted) * (1 + len(rungs)), desc="rolling over cutoffs", leave=False, disable=None)
    with bar:
        for fold in wanted:
            train, truth = sample_at(rows, fold.train), sample_at(rows, [fold.test])
            why = why_too_few(train, truth, has_money(rows))
            if why:
                left_out.append(f"{fold.test}: {why}")
                bar.update(1 + len(rungs))
                continue
            said = {OURS: predict_with_ours(rows, config, fold.train, truth)}
            bar.update()
            for name, rung in rungs.items():
                said[name] = rung(train, truth, rows.task.horizon)
                bar.update()
            judged.append(
                CutoffPredictions(
                    fold.test, _outcomes(truth), said, evaluation_segments(truth, rows.task.horizon), fold.train
                )
            )
    if not judged:
        raise DataError("no cutoff can be judged. " + "; ".join(left_out))
    return judged, left_out


def _outcomes(truth: Sample) -> Sample:
    """The customers and what they did; of the features, which many cutoffs would not fit in memory with, one."""
    return replace(truth, features=truth.features.select(truth.features.column_names[:1]))


def backtest_folds(rows: Snapshots) -> list[Fold]:
    """Every cutoff that can be judged, ascending, with the cutoffs whose labels end by it."""
    cutoffs = rows.cutoffs
    return [fold for test in cutoffs if (fold := fold_at(cutoffs, test, rows.task.horizon))]


def predict_with_ours(rows: Snapshots, config: Config, cutoffs: Sequence[date], truth: Sample) -> Prediction:
    """What our whole procedure, on some cutoffs, says of customers at a later one."""
    said = fit_ensemble(rows, config, cutoffs, {}).richest.predict(truth.features)
    if "value" not in said:
        return Prediction(said["churn_probability"], None)
    bounds = PredictionInterval(said["value_low"], said["value_high"], config.serving.interval)
    return Prediction(said["churn_probability"], said["value"], bounds)


def backtest_text(result: Backtest) -> str:
    """The pooled figures beside the best rung, and the grades, as text for a terminal."""
    figures, many = result.figures, len(result.cutoffs)
    whole = figures.row("brier") or {}
    span = f"{result.cutoffs[0]}" if many == 1 else f"{result.cutoffs[0]} to {result.cutoffs[-1]}"
    lines = [
        f"judged at {many} cutoff{'' if many == 1 else 's'} ({span}) on {whole['customers']:,} customers; at each, all "
        "was learned anew from what was known by then, with default parameters",
        *([result.overlap] if result.overlap else []),
        *(f"left out: {why}" for why in result.left_out),
        "",
        f"{'mean over the cutoffs':<40}{'regulars (95% interval)':<32}{'best of the ladder':<38}"
        f"{'regulars less it':<36}better in",
    ]
    lines += [row for metric in SHOWN if (row := _row(figures, metric))]
    covered = figures.row("coverage")
    if covered:
        lines.append(f"{TITLES['coverage']:<40}{_cell(covered, 'value')}")
    return "\n".join([*lines, "", *_graded(figures)])


def _row(figures: RollingEvaluation, metric: str) -> str:
    """A metric's line; empty where it was not measured."""
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
    rung, count = f"{best.model} {best.value:,.4g}", f"{grade.better} of {grade.cutoffs}"
    return f"{title + ' ' + arrow:<40}{_cell(mine, 'value'):<32}{rung:<38}{_cell(gap, 'difference', '+'):<36}{count}"


def _cell(row: dict[str, Any], name: str, sign: str = "") -> str:
    return f"{row[name]:{sign},.4g} ({row['low']:{sign},.4g} to {row['high']:{sign},.4g})"


def _graded(figures: RollingEvaluation) -> list[str]:
    """In how many cutoffs ours is better than each rung, by the chief metrics."""
    grades = figures.grades.set_index(["against", "metric"])
    known = [metric for metric in GRADED if metric in grades.index.get_level_values("metric")]
    lines = [" " * 44 + "".join(f"{TITLES[metric]:<26}" for metric in known).rstrip()]
    for rung in figures.grades["against"].unique():
        counts = [grades.loc[(rung, metric)] if (rung, metric) in grades.index else None for metric in known]
        cells = ["" if row is None else f"{row.better} of {row.cutoffs} cutoffs" for row in counts]
        lines.append(f"{f'better than {rung} in':<44}" + "".join(f"{cell:<26}" for cell in cells).rstrip())
    return lines


def _overlap(figures: RollingEvaluation, rows: Snapshots) -> str:
    every, horizon, grades = rows.task.every, rows.task.horizon, figures.grades
    cutoffs, apart = int(grades.cutoffs.max()), int(grades.cutoffs_apart.max())
    if every.days >= horizon.days or cutoffs == apart:
        return ""
    return (
        f"the cutoffs are {every} apart and each sees the {horizon} after it: they overlap, and only {apart} of "
        f"{cutoffs} are at least a horizon apart. Intervals resample customers with all their cutoffs"
    )


def _folder(config: Config) -> Path:
    return config.path(config.serving.output) / "backtest"


def _write(made: Backtest) -> None:
    """The tables, what was printed, and a picture a metric."""
    with atomic_folder(made.folder) as beside:
        for name in TABLES:
            getattr(made.figures, name).to_csv(beside / f"{name}.csv", index=False)
        (beside / "summary.txt").write_text(backtest_text(made) + "\n", encoding="utf-8")
        m = made.figures.metrics
        for metric in PICTURED:
            rows = m[(m.metric == metric) & (m.segment == "all") & (m.cutoff != POOLED)]
            if len(rows):
                cutoffs_plot(rows, TITLES[metric], OURS).savefig(beside / f"{metric}.png")


def _log(made: Backtest, rows: Snapshots, config: Config) -> str:
    """A run with the tables as artifacts and our figures as metrics, by cutoff with the day as the step."""
    m, now = made.figures.metrics, get_current_time_millis()
    ours = m[(m.model == OURS) & (m.segment == "all")].to_dict("records")
    entries = []
    for row in ours:
        if row["cutoff"] == POOLED:
            ends = {"": row["value"], "_low": row["low"], "_high": row["high"]}
            entries += [Metric(f"{row['metric']}{end}", value, now, 0) for end, value in ends.items()]
        else:
            entries.append(Metric(f"{row['metric']}_by_cutoff", row["value"], now, int(row["cutoff"].replace("-", ""))))
    facts = {"cutoffs": len(made.cutoffs), "left_out": len(made.left_out), "seed": config.training.seed}
    return log_folder(f"backtest {made.cutoffs[-1]}", made.folder, rows, facts, entries)


def log_folder(title: str, folder: Path, rows: Snapshots, facts: dict[str, Any], entries: Sequence[Metric]) -> str:
    """Logs a folder of tables as a run of the connected store and returns its id.

    Raises:
        UsageError: The store went away meanwhile; the folder stays.
    """
    try:
        with mlflow.start_run(run_name=title) as run:
            mlflow.set_tag("regulars.fingerprint", rows.fingerprint)
            mlflow.log_params({**facts, "data_fingerprint": rows.data_fingerprint})
            known = [entry for entry in entries if np.isfinite(entry.value)]
            for start in range(0, len(known), 1000):
                MlflowClient().log_batch(run.info.run_id, metrics=known[start : start + 1000])
            mlflow.log_artifacts(str(folder), folder.name)
            return str(run.info.run_id)
    except (MlflowException, OSError, SQLAlchemyError) as problem:
        why = re.sub(r"://\S*@", "://", str(problem).strip().split("\n")[0])  # without who logs in
        raise UsageError(f"the tracking store does not answer, the figures are in {folder}: {why}") from None
