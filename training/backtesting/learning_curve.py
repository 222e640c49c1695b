"""The learning curve: the last cutoff judged after learning from few customers, then from more, up to all of them.

Few customers are a stable sample: who is in a smaller one is in every larger one, with all of their cutoffs. The
features are those of the whole log, so the curve shows what learning makes of few customers. BG/NBD is fitted on the
same few; every model is judged on all customers of the last cutoff.
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

from features.atomic_files import atomic_folder
from features.config.load import Config
from features.errors import DataError
from features.snapshots import build
from features.snapshots.build import Snapshots
from training.backtesting.backtest import backtest_folds, log_folder, predict_with_ours
from training.data.prediction import Prediction
from training.data.time_split import Fold, Sample, sample_at, why_too_few
from training.evaluation.baselines import btyd_fitted_on
from training.evaluation.evaluate import HIGHER_IS_BETTER, OURS, Evaluation, evaluate_predictions
from training.evaluation.metrics import BEST, TITLES
from training.evaluation.plots import curve_plot
from training.evaluation.tenure_hazard import baselines_for
from training.models.base_models import has_money
from training.registry import models as registry

FIRST = 300
RHYTHM = "BG/NBD and Gamma-Gamma"
LEARNED = (RHYTHM, "plain LightGBM")
SHOWN = ("auc", "brier", "calibration_slope", "gini", "deviance", "total_error")
PICTURED = ("brier", "deviance")


@dataclass(frozen=True)
class LearningCurve:
    """A learning curve.

    Attributes:
        table: learned_from (customers), rows, model, metric, value, low, high, difference (ours less this model), its
            difference_low and difference_high, cutoff, customers (judged).
        cutoff: That was judged.
        left_out: Why some sizes are not there, one sentence each.
        folder: With curve.csv.
        run_id: Of MLflow.
    """

    table: pd.DataFrame
    cutoff: date
    left_out: tuple[str, ...]
    folder: Path
    run_id: str


def measure_learning_curve(config: Config) -> LearningCurve:
    """Learns from 300, 1,000, 3,000, 10,000, ... and all customers, judges, writes OUTPUT/learning_curve and logs it.

    Raises:
        DataError: The log breaks its contract, or is too small to learn from.
        UsageError: The tracking store does not answer, or the output cannot be written.
    """
    rows = build.build_snapshots(config)
    registry.connect_to_mlflow(config)
    table, fold, left_out = evaluate_sizes(rows, config)
    made = LearningCurve(table, fold.test, tuple(left_out), config.path(config.serving.output) / "learning_curve", "")
    _write(made)
    return replace(made, run_id=_log(made, rows, config))


def evaluate_sizes(rows: Snapshots, config: Config) -> tuple[pd.DataFrame, Fold, list[str]]:
    """The curve's table, the fold that it is of, and why some sizes were left out.

    Raises:
        DataError: No size can be learned from.
    """
    folds = backtest_folds(rows)
    if not folds:
        raise DataError("a learning curve needs two cutoffs at least a horizon apart; give a longer log")
    fold, settings = folds[-1], config.training
    truth, ranked = sample_at(rows, [fold.test]), _ranked(sample_at(rows, fold.train), settings.seed)
    parts, left_out = [], []
    for many in tqdm(sample_sizes(len(ranked)), desc="learning from more customers", leave=False, disable=None):
        few = rows if many == len(ranked) else replace(rows, rows=_of(rows.rows, ranked[many - 1], settings.seed))
        train = sample_at(few, fold.train)
        why = why_too_few(train, truth, has_money(rows))
        if why:
            left_out.append(f"{many:,} customers: {why}")
            continue
        said = _said(few, config, fold, truth)
        found = evaluate_predictions(said, truth, fold.test, seed=settings.seed, resamples=settings.bootstrap)
        parts.append(_beside(found).assign(learned_from=many, rows=len(train)))
    if not parts:
        raise DataError("no size can be learned from. " + "; ".join(left_out))
    return pd.concat(parts, ignore_index=True)[_COLUMNS], fold, left_out


_COLUMNS = [
    "learned_from", "rows", "model", "metric", "value", "low", "high", "difference", "difference_low",
    "difference_high", "cutoff", "customers",
]  # fmt: skip


def sample_sizes(customers: int) -> list[int]:
    """300, 1,000, 3,000, 10,000, ... as far as there are more customers, then all of them.

    >>> sample_sizes(5000), sample_sizes(200)
    ([300, 1000, 3000, 5000], [200])
    """

    def steps() -> Iterator[int]:
        size = FIRST
        while size < customers:
            yield size
            size = size * 10 // 3 if str(size)[0] == "3" else size * 3

    return [*steps(), customers]


def hash_place(customer: str, seed: int) -> str:
    """Where a customer stands in the order of all: by a hash, the same whoever else is there."""
    return hashlib.sha256(f"{seed}:{customer}".encode()).hexdigest()


def _ranked(train: Sample, seed: int) -> list[str]:
    """The places of the customers learned from, ascending."""
    return sorted({hash_place(str(customer), seed) for customer in train.customers.unique().to_pylist()})


def _of(table: pa.Table, last: str, seed: int) -> pa.Table:
    """The rows of the customers whose place is not after `last`."""
    customers = table["customer_id"].unique().to_pylist()
    chosen = [customer for customer in customers if hash_place(str(customer), seed) <= last]
    return table.filter(pc.is_in(table["customer_id"], pa.array(chosen, table["customer_id"].type)))


def _said(few: Snapshots, config: Config, fold: Fold, truth: Sample) -> dict[str, Prediction]:
    """What ours and the two rungs that learn most say of all customers, after learning from few."""
    horizon, learned = few.task.horizon, sample_at(few, fold.train)
    rungs = {name: rung for name, rung in baselines_for(few.task).items() if name in LEARNED}
    said = {name: rung(learned, truth, horizon) for name, rung in rungs.items()}
    if RHYTHM in said:  # without labels: it learns from the past of the same few
        said[RHYTHM] = btyd_fitted_on(sample_at(few, [fold.test]), truth, horizon)
    return {OURS: predict_with_ours(few, config, fold.train, truth), **said}


def _beside(found: Evaluation) -> pd.DataFrame:
    """Each model's figures with the difference of ours to it."""
    names = {"against": "model", "low": "difference_low", "high": "difference_high"}
    gaps = found.differences.rename(columns=names).drop(columns="cutoff")
    whole = found.metrics[found.metrics.segment == "all"]
    return whole.merge(gaps, on=["model", "metric"], how="left").drop(columns="segment")


def learning_curve_text(curve: LearningCurve) -> str:
    """The chief metrics by size, as text for a terminal."""
    t = curve.table
    customers = int(t.customers.iloc[0])
    lines = [f"judged on {customers:,} customers at {curve.cutoff}, after learning from"]
    lines += [f"left out: {why}" for why in curve.left_out]
    models = list(t.model.unique())
    for metric in (metric for metric in SHOWN if (t.metric == metric).any()):
        better = "higher" if metric in HIGHER_IS_BETTER else f"nearer {BEST.get(metric, 0):.0f}"
        lines += [
            "",
            f"{TITLES[metric]} ({better} is better)",
            f"{'customers':>12}  " + "".join(f"{m:<36}" for m in models),
        ]
        for many, rows in t[t.metric == metric].groupby("learned_from"):
            by = rows.set_index("model")
            lines.append(f"{many:>12,}  " + "".join(f"{_cell(by, model):<36}" for model in models).rstrip())
    return "\n".join(lines)


def _cell(rows: pd.DataFrame, model: str) -> str:
    if model not in rows.index:
        return "not measured"
    row: Any = rows.loc[model]
    return f"{row.value:,.4g} ({row.low:,.4g} to {row.high:,.4g})"


def _write(made: LearningCurve) -> None:
    with atomic_folder(made.folder) as beside:
        made.table.to_csv(beside / "curve.csv", index=False)
        (beside / "summary.txt").write_text(learning_curve_text(made) + "\n", encoding="utf-8")
        for metric in PICTURED:
            rows = made.table[made.table.metric == metric]
            if len(rows):
                curve_plot(rows, TITLES[metric]).savefig(beside / f"{metric}.png")


def _log(made: LearningCurve, rows: Snapshots, config: Config) -> str:
    ours, now = made.table[made.table.model == OURS].to_dict("records"), get_current_time_millis()
    entries = [Metric(f"{row['metric']}_by_customers", row["value"], now, int(row["learned_from"])) for row in ours]
    facts = {"judged": str(made.cutoff), "left_out": len(made.left_out), "seed": config.training.seed}
    return log_folder(
        f"learning curve {made.cutoff}", made.folder, rows, facts, [e for e in entries if np.isfinite(e.value)]
    )
