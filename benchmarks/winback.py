"""How well lapsed customers' returns are predicted at rolling cutoffs, compared with BG/NBD, RFM and recency.

Real logs with a shorter `active_within`, so that enough customers lapse, and two simulated shops. At each test cutoff
everything is fitted again on the cutoffs whose labels end by it, as `regulars train winback` does. BG/NBD is the one
among the features, fitted on all customers, active ones as well: it is the stronger of the two. Intervals of
differences resample customers and blocks of cutoffs (`benchmarks/rolling.py`).

The second table is about the last day to try: of customers who were still silent some time after a cutoff, how many
came back within a horizon from then, and how many were expected to by the power law of fading.

    python benchmarks/winback.py [LOG ...] [--data DIR] [--cutoffs N] [--customers N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from features.audit import audit
from features.config.load import Config
from features.engines.open import open_engine
from features.intake import read_log
from features.snapshots.build import Snapshots, snapshots_from_tables
from features.snapshots.lapsed import lapsed_cutoffs
from features.task import Window
from training.backtesting.backtest import backtest_folds
from training.data.prediction import Prediction
from training.data.time_split import Sample, sample_at, training_sample
from training.evaluation.baselines import LAPSED_BASELINES
from training.evaluation.evaluate import OURS
from training.winback import fit_fade

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import rolling  # noqa: E402
from benchmarks.accuracy import DATA_SOURCES, load_benchmark_config  # noqa: E402

PEERS = ("BG/NBD and Gamma-Gamma", "logistic regression on RFM", "recency alone")
FEWEST = 200  # lapsed customers at a test cutoff
FEWEST_CUTOFFS = 4  # from which fading is learned: fewer have too narrow a range of silences
# horizon, active_within, lapsed_within and every
TASKS = {
    "cdnow": ("90d", "120d", "360d", "30d"),
    "online_retail": ("30d", "60d", "180d", "15d"),
    "complete_journey": ("28d", "28d", "168d", "14d"),
    "season": ("60d", "120d", "360d", "30d"),
    "one-time": ("90d", "180d", "540d", "30d"),
}


def main(arguments: Sequence[str]) -> int:
    """Prints two tables for each log; a log without data is named and skipped."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for log in options.logs or TASKS:
            config = _config_of(log, options, Path(folder))
            if config is None:
                print(f"skipped {log}: its data are not there", file=sys.stderr)
                continue
            rows = load_lapsed(config, options.customers)
            cutoffs = predict(rows, config, options.cutoffs)
            if not cutoffs:
                print(f"{log}: no test cutoff has {FEWEST} lapsed customers and enough returns", flush=True)
                continue
            table = rolling.table(f"{log}: {_words(log)}", cutoffs, rolling.compare(cutoffs, rows.task.horizon))
            print(f"{table}\n{order_line(cutoffs)}\n{fade_line(rows)}\n", flush=True)
    return 0


def load_lapsed(config: Config, customers: int) -> Snapshots:
    """The snapshots of lapsed customers at a log's mature cutoffs, of at most so many customers."""
    task = config.task.to_lapsed_task()
    assert task is not None
    with open_engine(config.engine, config.folder) as engine:
        tables = audit.with_too_long_windows(read_log.read_tables(config, engine), task)
        rows = snapshots_from_tables(tables, task, lapsed_cutoffs(tables, task, engine), engine)
    everyone, place = np.unique(rows.rows["customer_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    kept = np.random.default_rng(rolling.SEED).permutation(len(everyone))[place] < customers
    return replace(rows, rows=rows.rows.filter(pa.array(kept)))


def predict(rows: Snapshots, config: Config, most: int) -> list[rolling.TestCutoff]:
    """Ours and the peers at rolling cutoffs with FEWEST lapsed customers or more."""
    ours, horizon = rolling.Rolling(rows, config.training.seed, config.serving.interval), rows.task.horizon
    folds = [f for f in backtest_folds(rows) if f.train[0] + horizon.delta <= f.train[-1]]
    folds = [f for f in folds if len(sample_at(rows, [f.test])) >= FEWEST]
    places = np.unique(np.linspace(0, len(folds) - 1, min(most, len(folds))).round().astype(int)) if folds else []
    done = []
    for fold in (folds[place] for place in places):
        mine = ours.at(fold)
        if mine is None:
            continue
        train, truth = training_sample(rows, fold), sample_at(rows, [fold.test])
        peers = {name: LAPSED_BASELINES[name](train, truth, horizon) for name in PEERS}
        done.append(replace(mine, predictions={**mine.predictions, **peers}))
    return done


def order_line(cutoffs: Sequence[rolling.TestCutoff]) -> str:
    """The mean AUC of each model, and the paired difference to the best peer."""
    figures = {name: [_auc(c.predictions[name], c.truth) for c in cutoffs] for name in (OURS, *PEERS)}
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    best = max(PEERS, key=lambda name: means[name])
    gaps = np.array(_auc_gaps(cutoffs, best))
    low, high = np.percentile(gaps, [2.5, 97.5])
    texts = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return f"AUC: {texts}; ours minus {best}: {means[OURS] - means[best]:+.3f} ({low:+.3f} to {high:+.3f})"


def _auc(prediction: Prediction, truth: Sample, weight: np.ndarray | None = None) -> float:
    return float(roc_auc_score(truth.churned, prediction.churn, sample_weight=weight))


def _auc_gaps(cutoffs: Sequence[rolling.TestCutoff], best: str, resamples: int = 200) -> list[float]:
    """The mean difference of AUC in resamples of the customers."""
    ids = [c.truth.customers.to_numpy(zero_copy_only=False) for c in cutoffs]
    everyone, place = np.unique(np.concatenate(ids), return_inverse=True)
    places = np.split(place, np.cumsum([len(n) for n in ids])[:-1])
    rng = np.random.default_rng(rolling.SEED)
    gaps = []
    for _ in range(resamples):
        drawn = rng.poisson(1.0, len(everyone)).astype(float)
        weights = [drawn[rows] for rows in places]
        parts = zip(cutoffs, weights, strict=True)
        gaps.append(
            np.mean([_auc(c.predictions[OURS], c.truth, w) - _auc(c.predictions[best], c.truth, w) for c, w in parts])
        )
    return gaps


def fade_line(rows: Snapshots) -> str:
    """Of customers silent a horizon or more after a cutoff: who came back then, and who was expected to."""
    horizon, days = rows.task.horizon.days, rows.cutoffs
    texts = []
    for steps in (1, 2):
        expected, actual = [], []
        for start in days:
            later = [c for c in days if (c - start).days >= steps * horizon]
            known = [c for c in days if (start - c).days >= horizon]
            if not later or len(known) < FEWEST_CUTOFFS:
                continue
            pairs = _still_silent(rows, known, start, later[0])
            if pairs is not None:
                expected.append(pairs[0])
                actual.append(pairs[1])
        if expected:
            both = (np.mean(np.concatenate(column)) for column in (expected, actual))
            texts.append("after {} horizon(s) {:.1%} expected, {:.1%} came back".format(steps, *both))
    return f"fading of those still silent: {'; '.join(texts) or 'too few cutoffs'}"


def _still_silent(
    rows: Snapshots, known: Sequence[date], start: date, later: date
) -> tuple[np.ndarray, np.ndarray] | None:
    """The expected chance on a later day of customers silent since a cutoff, and whether they came back then."""
    train, now, then = (sample_at(rows, cutoffs) for cutoffs in (known, [start], [later]))
    if min(train.churned.sum(), (1 - train.churned).sum()) < 10 or not len(now):
        return None
    fade = fit_fade(train)
    chance = 1 - LAPSED_BASELINES["logistic regression on RFM"](train, now, rows.task.horizon).churn
    silence = now.column("recency_days")
    after = dict(
        zip(then.customers.to_pylist(), zip(then.column("recency_days"), then.churned, strict=True), strict=True)
    )
    expected, actual = [], []
    for name, p, silent in zip(now.customers.to_pylist(), chance, silence, strict=True):
        reached, churned = after.get(name, (0.0, 0.0))
        if reached == silent + (later - start).days:
            odds = p / (1 - p) * (reached / silent) ** -fade
            expected.append(odds / (1 + odds))
            actual.append(1 - churned)
    return (np.array(expected), np.array(actual)) if expected else None


def _words(log: str) -> str:
    horizon, active, limit, _ = TASKS[log]
    return f"silent for {active} to {limit}, back within {horizon}"


def _config_of(log: str, options: argparse.Namespace, folder: Path) -> Config | None:
    horizon, active, limit, every = TASKS[log]
    if log in rolling.SHOPS:
        config = rolling.simulate_shop(rolling.SHOPS[log], folder / log, options.customers, rolling.SEED + 1)
    else:
        found = load_benchmark_config(log, options.data, 0, folder)
        if found is None:
            return None
        config = found
    spans: Mapping[str, object] = {
        "horizon": Window.parse(horizon),
        "active_within": Window.parse(active),
        "lapsed_within": limit,
        "every": Window.parse(every),
    }
    return config.model_copy(update={"task": config.task.model_copy(update=dict(spans))})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("logs", nargs="*", metavar="LOG", help=f"{', '.join(TASKS)}; all, if none is named")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).resolve().parent / "data", help="folder of the logs"
    )
    parser.add_argument("--cutoffs", type=int, default=8, help="most test cutoffs of a log")
    parser.add_argument("--customers", type=int, default=4_000, help="most customers of a log")
    options = parser.parse_args(arguments)
    if unknown := [log for log in options.logs if log not in TASKS]:
        parser.error(f"no such log: {', '.join(unknown)}; known are {', '.join(TASKS)}")
    assert set(DATA_SOURCES) <= set(TASKS)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
