"""The learning curve: metrics at the last cutoff after training on few customers, then on more, up to all of them.

The samples are nested: a customer of a smaller sample is in every larger one, with all of their cutoffs. The features
are those of the whole log, so the curve shows only the effect of fewer training customers. BG/NBD is fitted on the same
sample. Every model is evaluated on all customers of the last cutoff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from mlflow.entities import Metric
from mlflow.utils.time import get_current_time_millis
from tqdm import tqdm

from features.config.load import Config
from features.errors import DataError
from features.snapshots import build
from features.snapshots.build import Snapshots
from features.storage.atomic_files import atomic_folder
from training.backtesting.backtest import backtest_folds, log_folder, predict_with_ours
from training.data.prediction import Prediction
from training.data.time_split import Fold, Sample, sample_at, training_sample, why_too_few
from training.evaluation.baselines import btyd_fitted_on
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation, evaluate_predictions
from training.evaluation.metrics import BEST, TITLES
from training.evaluation.plots import curve_plot
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import has_money
from training.registry import models as registry

SMALLEST_SIZE = 300
BTYD = "BG/NBD and Gamma-Gamma"
FITTED_BASELINES = (BTYD, "plain LightGBM")
SHOWN = ("auc", "brier", "calibration_slope", "gini", "deviance", "total_error")
PICTURED = ("brier", "deviance")


@dataclass(frozen=True)
class LearningCurve:
    """A learning curve.

    Attributes:
        table: learned_from (training customers), rows, model, metric, value, low, high, difference (our model minus
            this one), difference_low, difference_high, cutoff, customers (evaluated).
        cutoff: The evaluated cutoff.
        left_out: Why some sizes were left out, a sentence each.
        folder: Where curve.csv is.
        run_id: MLflow's id of the run.
    """

    table: pd.DataFrame
    cutoff: date
    left_out: tuple[str, ...]
    folder: Path
    run_id: str


def measure_learning_curve(config: Config) -> LearningCurve:
    """Evaluates training on 300, 1,000, 3,000, ... and all customers, writes OUTPUT/learning_curve and logs it.

    Raises:
        DataError: The log breaks its contract, or is too small to learn from.
        UsageError: The tracking store does not answer, or the output cannot be written.
    """
    rows = build.build_snapshots(config)
    registry.connect_to_mlflow(config)
    table, fold, left_out = evaluate_sizes(rows, config)
    curve = LearningCurve(table, fold.test, tuple(left_out), config.path(config.serving.output) / "learning_curve", "")
    _write_curve(curve)
    return replace(curve, run_id=_log_curve(curve, rows, config))


def evaluate_sizes(rows: Snapshots, config: Config) -> tuple[pd.DataFrame, Fold, list[str]]:
    """Fits and evaluates every model for each sample size.

    Returns:
        The curve's table, its fold, and for each size that is left out a sentence that says why.

    Raises:
        DataError: The log has too few cutoffs, or no size is large enough.
    """
    folds = backtest_folds(rows)
    if not folds:
        raise DataError("a learning curve needs two cutoffs at least a horizon apart; give a longer log")
    fold, settings = folds[-1], config.training
    truth, ranked = sample_at(rows, [fold.test]), _sorted_hashes(training_sample(rows, fold), settings.seed)
    parts, left_out = [], []
    for count in tqdm(sample_sizes(len(ranked)), desc="training on more customers", leave=False, disable=None):
        few = (
            rows
            if count == len(ranked)
            else replace(rows, rows=_rows_up_to(rows.rows, ranked[count - 1], settings.seed))
        )
        train = training_sample(few, fold)
        why = why_too_few(train, truth, has_money(rows))
        if why:
            left_out.append(f"{count:,} customers: {why}")
            continue
        predictions = _predict_from_few(few, config, fold, truth)
        evaluation = evaluate_predictions(
            predictions, truth, fold.test, seed=settings.seed, resamples=settings.bootstrap
        )
        parts.append(_with_differences(evaluation).assign(learned_from=count, rows=len(train)))
    if not parts:
        raise DataError("no number of customers is large enough. " + "; ".join(left_out))
    return pd.concat(parts, ignore_index=True)[CURVE_COLUMNS], fold, left_out


CURVE_COLUMNS = [
    "learned_from", "rows", "model", "metric", "value", "low", "high", "difference", "difference_low",
    "difference_high", "cutoff", "customers",
]  # fmt: skip


def sample_sizes(customers: int) -> list[int]:
    """300, 1,000, 3,000, 10,000, ... below the number of customers, then all of them.

    >>> sample_sizes(5000), sample_sizes(200)
    ([300, 1000, 3000, 5000], [200])
    """

    def steps() -> Iterator[int]:
        size = SMALLEST_SIZE
        while size < customers:
            yield size
            size = size * 10 // 3 if str(size)[0] == "3" else size * 3

    return [*steps(), customers]


def hash_place(customer: str, seed: int) -> str:
    """A hash that orders customers for sampling; it does not depend on the other customers."""
    return hashlib.sha256(f"{seed}:{customer}".encode()).hexdigest()


def _sorted_hashes(train: Sample, seed: int) -> list[str]:
    """The hashes of the training customers, ascending."""
    return sorted({hash_place(str(customer), seed) for customer in train.customers.unique().to_pylist()})


def _rows_up_to(table: pa.Table, last: str, seed: int) -> pa.Table:
    """The rows of the customers whose hash is not above `last`."""
    customers = table["customer_id"].unique().to_pylist()
    chosen = [customer for customer in customers if hash_place(str(customer), seed) <= last]
    return table.filter(pc.is_in(table["customer_id"], pa.array(chosen, table["customer_id"].type)))


def _predict_from_few(few: Snapshots, config: Config, fold: Fold, truth: Sample) -> dict[str, Prediction]:
    """Predictions for all customers by our model and two baselines, fitted on few customers."""
    horizon, train = few.task.horizon, training_sample(few, fold)
    baselines = {name: baseline for name, baseline in baselines_for(few.task).items() if name in FITTED_BASELINES}
    predictions = {name: baseline(train, truth, horizon) for name, baseline in baselines.items()}
    if BTYD in predictions:  # needs no labels: fitted on the history of the same few
        predictions[BTYD] = btyd_fitted_on(sample_at(few, [fold.test]), truth, horizon)
    return {OURS: predict_with_ours(few.as_known(fold.test), config, fold.train, truth), **predictions}


def _with_differences(evaluation: Evaluation) -> pd.DataFrame:
    """Each model's metrics with our difference to it."""
    names = {"against": "model", "low": "difference_low", "high": "difference_high"}
    gaps = evaluation.differences.rename(columns=names).drop(columns="cutoff")
    overall = evaluation.metrics[evaluation.metrics.segment == "all"]
    return overall.merge(gaps, on=["model", "metric"], how="left").drop(columns="segment")


def learning_curve_text(curve: LearningCurve) -> str:
    """The chief metrics by number of training customers, as text for a terminal."""
    t = curve.table
    customers = int(t.customers.iloc[0])
    lines = [f"evaluated on {customers:,} customers at {curve.cutoff}, after training on"]
    lines += [f"left out: {why}" for why in curve.left_out]
    models = list(t.model.unique())
    for metric in (metric for metric in SHOWN if (t.metric == metric).any()):
        better = "higher" if metric in HIGHER_IS_BETTER else f"nearer {BEST.get(metric, 0):.0f}"
        lines += [
            "",
            f"{TITLES[metric]} ({better} is better)",
            f"{'customers':>12}  " + "".join(f"{m:<36}" for m in models),
        ]
        for count, rows in t[t.metric == metric].groupby("learned_from"):
            by = rows.set_index("model")
            lines.append(f"{count:>12,}  " + "".join(f"{_cell(by, model):<36}" for model in models).rstrip())
    return "\n".join(lines)


def _cell(rows: pd.DataFrame, model: str) -> str:
    if model not in rows.index:
        return "not measured"
    row: Any = rows.loc[model]
    return f"{row.value:,.4g} ({row.low:,.4g} to {row.high:,.4g})"


def _write_curve(curve: LearningCurve) -> None:
    with atomic_folder(curve.folder) as beside:
        curve.table.to_csv(beside / "curve.csv", index=False)
        (beside / "summary.txt").write_text(learning_curve_text(curve) + "\n", encoding="utf-8")
        for metric in PICTURED:
            rows = curve.table[curve.table.metric == metric]
            if len(rows):
                curve_plot(rows, TITLES[metric]).savefig(beside / f"{metric}.png")


def _log_curve(curve: LearningCurve, rows: Snapshots, config: Config) -> str:
    ours, now = curve.table[curve.table.model == OURS].to_dict("records"), get_current_time_millis()
    entries = [Metric(f"{row['metric']}_by_customers", row["value"], now, int(row["learned_from"])) for row in ours]
    facts = {"judged": str(curve.cutoff), "left_out": len(curve.left_out), "seed": config.training.seed}
    return log_folder(
        f"learning curve {curve.cutoff}", curve.folder, rows, facts, [e for e in entries if np.isfinite(e.value)]
    )
