"""How far churn is overstated where rows become known late: with labels at once, and with labels that wait.

Customers of a simulated shop buy at rates of their own until they leave. Each purchase becomes known after a delay, and
the log is read on its last day, without the rows that are still on their way. Since the simulation knows all purchases,
the churn of the newest labelled cutoff is compared with the truth of the same customers. A second table takes one step
back: training at an earlier cutoff learns from labels as known then, and not as known today. It says by how much the
two differ at the newest cutoff whose horizon ends there.

    python benchmarks/late_rows.py [--seeds 10] [--customers 1000]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.stats import t

from features.intake.log import open_log
from features.snapshots.build import Snapshots, build_snapshots
from training.data.time_split import sample_at

START, DAYS, HORIZON, EVERY = date(2023, 1, 1), 400, 28, 28
DELAYS = {"none": 0.0, "3 days": 3.0, "7 days": 7.0, "14 days": 14.0}  # means of exponential delays


def main(arguments: Sequence[str]) -> int:
    """Prints one row a delay."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--customers", type=int, default=1_000)
    options = parser.parse_args(arguments)
    print("| mean delay | churn overstated, labels at once | labels wait | days waited | known then less known today |")
    print("|:---|---:|---:|---:|---:|")
    for name, mean in DELAYS.items():
        rows = [compare(mean, options.customers, seed) for seed in range(options.seeds)]
        at_once, waited, days, then = (np.array(column) for column in zip(*rows, strict=True))
        texts = [
            mean_text(100 * at_once),
            mean_text(100 * waited),
            f"{days.min()} to {days.max()}",
            mean_text(100 * then),
        ]
        print(f"| {name} | {' | '.join(texts)} |", flush=True)
    return 0


def compare(mean: float, customers: int, seed: int) -> tuple[float, float, int, float]:
    """Churn overstated with labels at once and with labels that wait, the days waited, and known then less today."""
    rng = np.random.default_rng(seed)
    rate, end = rng.gamma(1.5, 1 / 30, (customers, 1)), rng.exponential(300, (customers, 1)) + 30
    bought = (rng.random((customers, DAYS)) < 1 - np.exp(-rate)) & (np.arange(DAYS) < end)
    who, day = np.nonzero(bought)
    known = day + np.floor(rng.exponential(mean, len(day))).astype(int) if mean else day
    arrived = known < DAYS
    columns = {"customer": [f"c{n}" for n in who[arrived]], "amount": 10.0}
    start = pd.Timestamp(START)
    times = {name: start + pd.to_timedelta(days[arrived], "D") for name, days in (("time", day), ("known_at", known))}
    log = pd.DataFrame(columns | times)
    at_once, waiting = (labelled(log, delay) for delay in ("none", "usual"))
    newest = [overstated(snapshots, bought) for snapshots in (at_once, waiting)]
    return newest[0], newest[1], waiting.label_delay.wait, _then_less_today(waiting)


def labelled(log: pd.DataFrame, delay: str) -> Snapshots:
    """Snapshots of every cutoff with an outcome."""
    task = {"horizon": f"{HORIZON}d", "every": f"{EVERY}d", "windows": ["28d", "84d"], "label_delay": delay}
    columns = {"customer": "customer", "time": "time", "known_at": "known_at", "amount": "amount"}
    with TemporaryDirectory() as folder, open_log(log, folder=folder, task=task, **columns) as opened:
        return build_snapshots(opened)


def overstated(snapshots: Snapshots, bought: np.ndarray) -> float:
    """The share of churned customers by the labels of the newest cutoff, less that by all purchases."""
    cutoff = snapshots.cutoffs[-1]
    newest, begin = sample_at(snapshots, [cutoff]), (cutoff - START).days
    customers = [int(name[1:]) for name in newest.customers.to_pylist()]
    truth = ~bought[customers, begin : begin + HORIZON].any(axis=1)
    return float(newest.churned.mean() - truth.mean())


def _then_less_today(snapshots: Snapshots) -> float:
    """Churn at the newest cutoff that the last one can learn from: as known then, less as known today."""
    last = snapshots.cutoffs[-1]
    learned = [max(c for c in snapshots.cutoffs if c + timedelta(HORIZON) <= last)]
    then, today = sample_at(snapshots.as_known(last), learned), sample_at(snapshots, learned)
    return float(then.churned.mean() - today.churned.mean())


def mean_text(values: np.ndarray) -> str:
    """A mean over seeds with its 95% confidence interval (Student-t), in points."""
    error = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return f"{values.mean():+.1f} ({values.mean() - error:+.1f} to {values.mean() + error:+.1f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
