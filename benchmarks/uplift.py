"""Whom to send an e-mail, on Hillstrom's randomised test: ours compared with single learners and simple rankings.

64,000 customers of a shop were randomised to an e-mail about men's clothes, one about women's clothes, or none, a third
each (Hillstrom, the MineThatData e-mail analytics challenge, 2008). Five times, everything is learned from a random
half of the customers of an e-mail and of those without, and evaluated on the other half. The figure is the Qini area
over random (`training.uplift.metrics.qini_area`) for 1,000 customers: take the first share of a ranking; count the
visits of those with the e-mail, minus those of as many without; do this for every share, average, and subtract what
random targeting gives.

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
    """Prints a Markdown table for each e-mail."""
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
        print_table(
            rows[rows.segment.isin([CONTROL, email])].reset_index(drop=True), email, options.outcome, options.halves
        )
    return 0


def print_table(rows: pd.DataFrame, email: str, outcome: str, halves: int) -> None:
    """Prints the table of one e-mail.

    Args:
        rows: The customers with the e-mail or without any.
        email: The e-mail.
        outcome: 'visit' or 'spend'.
        halves: How many random divisions into halves.
    """
    start, areas_by_half, evidence = time.perf_counter(), [], []
    experiment = experiment_from_columns(
        pa.Table.from_pandas(rows[FEATURES], preserve_index=False), rows.segment.to_numpy(),
        {outcome: rows[outcome].to_numpy()}, control=CONTROL, propensity=np.full(len(rows), 0.5),
    )  # fmt: skip
    for seed in range(halves):
        order = np.random.default_rng(seed).permutation(len(rows))
        half = len(rows) // 2
        areas, one = qini_areas(experiment, rows, outcome, order[:half], order[half:], seed)
        areas_by_half.append(areas)
        evidence.append(one)
    table = pd.DataFrame(areas_by_half)
    print(f"\n### {email}, {outcome}: {len(rows):,} customers, {time.perf_counter() - start:.0f} s\n")
    print("| ranked by | area over random for 1,000 customers | minimum and maximum over halves |\n|:---|---:|---:|")
    for name in table.columns:
        title = LEARNERS.get(name, SIMPLE.get(name, name))
        print(f"| {title} | {table[name].mean():.2f} | {table[name].min():.2f} to {table[name].max():.2f} |")
    chances = ", ".join(f"{one.p_value:.2g}" for one in evidence)
    print(f"\nEvidence that the effect differs between customers (p, half by half): {chances}.")


def qini_areas(
    experiment: ExperimentData,
    rows: pd.DataFrame,
    outcome: str,
    learning_rows: np.ndarray,
    evaluation_rows: np.ndarray,
    seed: int,
) -> tuple[dict[str, float], EvaluatedEffect]:
    """Measures the rankings on one division into halves.

    Args:
        experiment: The randomised e-mail.
        rows: The same customers' columns.
        outcome: 'visit' or 'spend'.
        learning_rows: Positions of the learning half.
        evaluation_rows: Positions of the evaluation half.
        seed: Seed of the models.

    Returns:
        Qini areas by ranking on the evaluation half, and the evidence for our effects from the learning half.
    """
    learning, email = experiment.rows(learning_rows), experiment.actions[0]
    estimated = estimate_effects(learning, seed=seed, resamples=50, proportional=("spend",), hierarchical=True)
    evaluation_outcomes = arm_outcomes(
        experiment.outcomes[outcome][evaluation_rows], experiment.arm[evaluation_rows] == 1
    )
    learners = fit_learners(learning, learning.outcomes[outcome], seed)
    part_values = learners.part_values(experiment.design[evaluation_rows])
    means = learners.means(part_values, 2)
    rankings = {
        OURS: estimated.bundle.outcomes[outcome].predict(experiment.design[evaluation_rows], experiment.columns)[email][
            0
        ],
        **dict(zip(LEARNERS, learners.scores(part_values, email).T, strict=True)),
        "predicted": means.mean(axis=1),
        "history": rows.history.to_numpy()[evaluation_rows],
        "recency": -rows.recency.to_numpy(float)[evaluation_rows],
    }
    return {
        name: 1_000 * qini_area(evaluation_outcomes, ranking) for name, ranking in rankings.items()
    }, estimated.evaluated[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
