"""Whom to send an e-mail, on Hillstrom's randomised test: ours beside its learners alone and beside simple rankings.

64,000 customers of a shop were sent an e-mail of men's or of women's clothes, or none, a third each (Hillstrom, the
MineThatData e-mail analytics challenge, 2008). Five times, everything is learned from a random half of each e-mail's
customers and of those without one, and the other half judges. The figure is the Qini area over random
(`uplift_metrics.qini_area`) for 1,000 customers: take the first share of a ranking; count the visits of those with the
e-mail, less those of as many without; do so for every share, average, and take off what random targeting gives.

    python benchmarks/uplift.py [--data DIR] [--halves N] [--outcome visit|spend]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from training.uplift.effects import EvaluatedEffect, estimate_effects
from training.uplift.experiment import ExperimentData, experiment_from_columns
from training.uplift.meta_learners import LEARNERS, fit_learners
from training.uplift.metrics import arm_outcomes, qini_area

FEATURES = ["recency", "history", "history_segment", "mens", "womens", "zip_code", "newbie", "channel"]
CONTROL, EMAILS = "No E-Mail", ("Womens E-Mail", "Mens E-Mail")
OURS = "regulars"
SIMPLE = {
    "predicted": "predicted response",
    "history": "past spend",
    "recency": "days since the last order, fewest first",
}


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table an e-mail."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--halves", type=int, default=5)
    parser.add_argument("--outcome", choices=["visit", "spend"], default="visit")
    options = parser.parse_args(arguments)
    file = options.data / "hillstrom.csv.gz"
    if not file.exists():
        print(
            f"{file} is not there: see benchmarks/README.md for where to get it; nothing was measured", file=sys.stderr
        )
        return 0
    rows = pd.read_csv(file)
    for email in EMAILS:
        show(rows[rows.segment.isin([CONTROL, email])].reset_index(drop=True), email, options.outcome, options.halves)
    return 0


def show(rows: pd.DataFrame, email: str, outcome: str, halves: int) -> None:
    """The table of one e-mail."""
    start, found, judged = time.perf_counter(), [], []
    trial = experiment_from_columns(
        pa.Table.from_pandas(rows[FEATURES], preserve_index=False), rows.segment.to_numpy(),
        {outcome: rows[outcome].to_numpy()}, control=CONTROL, propensity=np.full(len(rows), 0.5),
    )  # fmt: skip
    for seed in range(halves):
        order = np.random.default_rng(seed).permutation(len(rows))
        half = len(rows) // 2
        areas, one = measure(trial, rows, outcome, order[:half], order[half:], seed)
        found.append(areas)
        judged.append(one)
    table = pd.DataFrame(found)
    print(f"\n### {email}, {outcome}: {len(rows):,} customers, {time.perf_counter() - start:.0f} s\n")
    print("| ranked by | area over random for 1,000 customers | least and most of the halves |\n|:---|---:|---:|")
    for name in table.columns:
        said = LEARNERS.get(name, SIMPLE.get(name, name))
        print(f"| {said} | {table[name].mean():.2f} | {table[name].min():.2f} to {table[name].max():.2f} |")
    chances = ", ".join(f"{one.p_value:.2g}" for one in judged)
    print(f"\nEvidence that the effect differs between customers (p, half by half): {chances}.")


def measure(
    trial: ExperimentData, rows: pd.DataFrame, outcome: str, taught: np.ndarray, judges: np.ndarray, seed: int
) -> tuple[dict[str, float], EvaluatedEffect]:
    """Areas by ranking on the judging half, and what ours said of its evidence on the other."""
    known, email = trial.rows(taught), trial.actions[0]
    made = estimate_effects(known, seed=seed, resamples=50, proportional=("spend",))
    later = arm_outcomes(trial.outcomes[outcome][judges], trial.arm[judges] == 1)
    learned = fit_learners(known, known.outcomes[outcome], seed)
    said = learned.part_values(trial.design[judges])
    means = learned.means(said, 2)
    rankings = {
        OURS: made.bundle.outcomes[outcome].predict(trial.design[judges])[email][0],
        **dict(zip(LEARNERS, learned.scores(said, email).T, strict=True)),
        "predicted": means.mean(axis=1),
        "history": rows.history.to_numpy()[judges],
        "recency": -rows.recency.to_numpy(float)[judges],
    }
    return {name: 1_000 * qini_area(later, ranking) for name, ranking in rankings.items()}, made.evaluated[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
