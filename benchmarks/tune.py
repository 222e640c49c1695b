"""The cost of tuning: 40 trials of the churn and the spend model on 150,000 rows x 120 columns, time and peak memory.

Rows are simulated: five cutoffs of the same customers, a few informative features and many uninformative ones, with
missing values. Three folds go forward in time, as in training.

    python benchmarks/tune.py [--rows N] [--columns N] [--trials N]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.special import expit

from training.data.time_split import Sample
from training.models.churn import ChurnClassifier
from training.models.lightgbm_base import LightGBMEstimator
from training.models.spend import SpendRegressor
from training.tune import Labelled, tune_models

CUTOFFS, FOLDS, SEED = 5, 3, 7


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args(arguments)
    rows = simulate_samples(options.rows, options.columns)
    sizes = f"{options.rows:,} rows of {CUTOFFS} cutoffs, {options.columns} columns"
    print(f"{sizes}, {FOLDS} folds, {options.trials} trials\n")
    print("| model | seconds | pruned trials | loss of the best trial | loss of the defaults |")
    print("|:---|---:|---:|---:|---:|")
    for name, estimator, data in (
        ("churn", ChurnClassifier, churn_folds(rows)),
        ("spend", SpendRegressor, spend_folds(rows)),
    ):
        print(table_row(name, estimator, data, options.trials), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\npeak memory {peak:.1f} GB")
    return 0


def table_row(
    name: str, estimator: type[LightGBMEstimator], folds: Sequence[tuple[Labelled, Labelled]], trials: int
) -> str:
    """One row of the table."""
    start = time.perf_counter()
    tuned = tune_models(estimator, folds, trials=trials, seed=SEED)
    seconds, pruned = time.perf_counter() - start, sum(t.loss is None for t in tuned.trials)
    return (
        f"| {name} | {seconds:,.0f} | {pruned} of {len(tuned.trials)} | {tuned.loss:.4f} | {tuned.default_loss:.4f} |"
    )


def simulate_samples(rows: int, columns: int) -> list[Sample]:
    """Simulates the rows of each cutoff."""
    rng = np.random.default_rng(SEED)
    size = rows // CUTOFFS
    names = pa.chunked_array([[f"c{i}" for i in range(size)]])
    samples = []
    for cutoff in range(CUTOFFS):
        X = rng.normal(size=(size, columns))
        churned = (rng.random(size) < expit(X[:, 0] + X[:, 1] * X[:, 2] - 0.5)).astype(float)
        value = np.where(churned == 1, 0.0, np.exp(3 + X[:, 3] / 2) * rng.gamma(2, 0.5, size))
        X[rng.random(X.shape) < 0.1] = np.nan
        table = pa.table({f"f{i}": pa.array(X[:, i], from_pandas=True) for i in range(columns)})
        samples.append(Sample(names, np.full(size, 30 * cutoff), table, churned, value))
    return samples


def churn_folds(rows: Sequence[Sample]) -> list[tuple[Labelled, Labelled]]:
    """Folds with the labels of the churn classifier."""
    return _folds([(sample, sample.churned) for sample in rows])


def spend_folds(rows: Sequence[Sample]) -> list[tuple[Labelled, Labelled]]:
    """Folds of the customers who return, with the labels of the spend model."""
    back = [sample.take(sample.churned == 0) for sample in rows]
    return _folds([(sample, sample.value) for sample in back])


def _folds(parts: Sequence[Labelled]) -> list[tuple[Labelled, Labelled]]:
    return [(_concatenate(parts[:place]), parts[place]) for place in range(CUTOFFS - 1, CUTOFFS - 1 - FOLDS, -1)]


def _concatenate(parts: Sequence[Labelled]) -> Labelled:
    samples = [sample for sample, _ in parts]
    return Sample(
        pa.chunked_array([chunk for s in samples for chunk in s.customers.chunks]),
        np.concatenate([s.dates for s in samples]),
        pa.concat_tables([s.features for s in samples]),
        np.concatenate([s.churned for s in samples]),
        np.concatenate([s.value for s in samples]),
    ), np.concatenate([label for _, label in parts])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
