"""Whom to mail: off-policy evaluation of ours, RFM tiers and predicted response on Hillstrom's randomised e-mails.

64,000 customers of a shop were randomised to an e-mail about men's clothes, one about women's clothes, or none, a third
each (Hillstrom, the MineThatData e-mail analytics challenge, 2008). Every policy may mail the same number of customers.
It learns from one half of the customers and chooses in the other; then the halves change places, so each customer is
evaluated once, by a policy that did not learn from it. This is repeated for several divisions, and averaged.

The value of a policy is that of its choices compared with no mails at all, by doubly robust scores: `mean_a +
1{received a} (outcome - mean_a) / propensity_a`, with means learned in the other half (Dudik, Langford and Li, Doubly
robust policy evaluation and learning, 2011), and by inverse propensity alone. Confidence intervals, also those of
differences, come from a paired bootstrap of customers with fixed policies.

Three campaigns: either e-mail alone, and both. With both, ours chooses for each customer the e-mail with the larger
effect on visits (`training.uplift.effects`); the others send the one with the larger average effect in the learning
half.

- ours: mails the customers with the largest effects on visits.
- RFM tier: by RFM group (`features/config/rfm_rules.py`, the best first); the data have no frequency, so money counts
  twice.
- predicted response: by the predicted visits, averaged over all arms.

    python benchmarks/offpolicy.py [--data DIR] [--share 0.3] [--divisions 3]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from features.config.rfm_rules import RULES
from serving.segmentation.rfm import rfm_groups, rfm_scores
from training.uplift.effects import estimate_effects
from training.uplift.experiment import ExperimentData, experiment_from_columns
from training.uplift.meta_learners import fit_learners

FEATURES = ["recency", "history", "history_segment", "mens", "womens", "zip_code", "newbie", "channel"]
CONTROL, EMAILS, OUTCOMES = "No E-Mail", ("Womens E-Mail", "Mens E-Mail"), ("visit", "spend")
BEST_FIRST = (
    "champions", "loyal", "quiet champions", "potential loyalists", "quiet regulars", "average customers",
    "promising", "recent buyers", "occasional buyers", "quiet occasional buyers", "long quiet",
)  # fmt: skip
OURS = "ours"
POLICIES = (OURS, "RFM tier", "predicted response")
CAMPAIGNS = (*EMAILS, "both")
RESAMPLES = 1_000
Policy = tuple[str, str]  # the campaign, and the policy's name


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table for each campaign and outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--share", type=float, default=0.3, help="of customers who are mailed")
    parser.add_argument("--divisions", type=int, default=3)
    options = parser.parse_args(arguments)
    file = options.data / "hillstrom.csv.gz"
    if not file.exists():
        print(f"{file} is not there: see benchmarks/README.md; nothing was measured", file=sys.stderr)
        return 0
    rows = pd.read_csv(file)
    experiment = experiment_from_columns(
        pa.Table.from_pandas(rows[FEATURES], preserve_index=False), rows.segment.to_numpy(),
        {name: rows[name].to_numpy() for name in OUTCOMES}, control=CONTROL, actions=EMAILS,
        propensity=np.full((len(rows), 1 + len(EMAILS)), 1 / 3),
    )  # fmt: skip
    values = [evaluate_division(experiment, rows, options.share, division) for division in range(options.divisions)]
    mails = round(options.share * len(rows))
    print(f"{len(rows):,} customers, {mails:,} mails each, {options.divisions} divisions into halves")
    for campaign in CAMPAIGNS:
        for outcome in OUTCOMES:
            robust, plain = (
                {name: np.mean([one[outcome, (campaign, name)][way] for one in values], axis=0) for name in POLICIES}
                for way in (0, 1)
            )
            print(f"\n{campaign}\n\n{table(robust, plain, outcome)}")
    return 0


def evaluate_division(
    experiment: ExperimentData, rows: pd.DataFrame, share: float, division: int
) -> dict[tuple[str, Policy], np.ndarray]:
    """Evaluates the policies on one division into halves.

    Args:
        experiment: The randomised e-mails.
        rows: The same customers' columns.
        share: The share of customers to mail.
        division: Number of the division, used as the seed.

    Returns:
        By outcome and policy, the value of each customer's choice, (2, n): doubly robust, and by inverse propensity.
    """
    order = np.random.default_rng(division).permutation(len(experiment))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    every = [(outcome, policy) for outcome in OUTCOMES for policy in product(CAMPAIGNS, POLICIES)]
    values = {key: np.zeros((2, len(experiment))) for key in every}
    for learning_rows, evaluation_rows in (halves, halves[::-1]):
        learning = experiment.rows(learning_rows)
        choices = choose_arms(
            learning,
            experiment.design[evaluation_rows],
            rows.iloc[evaluation_rows],
            round(share * len(evaluation_rows)),
            division,
        )
        for outcome in OUTCOMES:
            learners = fit_learners(learning, learning.outcomes[outcome], division)
            means = learners.means(learners.part_values(experiment.design[evaluation_rows]), 1 + len(EMAILS))
            here, outcome_values = (
                np.eye(1 + len(EMAILS))[experiment.arm[evaluation_rows]],
                experiment.outcomes[outcome][evaluation_rows][:, None],
            )
            for way, base in enumerate((means, np.zeros_like(means))):
                score = base + here * (outcome_values - base) / experiment.propensity[evaluation_rows]
                for policy, arm in choices.items():
                    values[outcome, policy][way, evaluation_rows] = (
                        score[np.arange(len(evaluation_rows)), arm] - score[:, 0]
                    )
    return values


def choose_arms(
    learning: ExperimentData, design: np.ndarray, rows: pd.DataFrame, mails: int, seed: int
) -> dict[Policy, np.ndarray]:
    """Lets each policy choose arms for the evaluation half.

    Args:
        learning: The learning half.
        design: Features of the evaluation half, (n, columns).
        rows: Columns of the evaluation half.
        mails: How many customers to mail.
        seed: Seed of the models.

    Returns:
        By policy, the arm of each customer, 0 for none, (n,).
    """
    visits = ExperimentData(
        learning.design, learning.columns, learning.arm, learning.propensity, learning.units,
        {"visit": learning.outcomes["visit"]}, learning.actions, learning.shares,
    )  # fmt: skip
    estimated = estimate_effects(visits, seed=seed, resamples=50, hierarchical=True)
    predicted = estimated.bundle.outcomes["visit"].predict(design, visits.columns)
    effects = np.column_stack([predicted[email][0] for email in EMAILS])
    better = int(np.argmax([one.average.value for one in estimated.evaluated]))
    learners = fit_learners(visits, visits.outcomes["visit"], seed)
    response = learners.means(learners.part_values(design), 1 + len(EMAILS)).mean(axis=1)
    r, m = rfm_scores(rows.recency.to_numpy(float), least_is_best=True), rfm_scores(rows.history.to_numpy(float))
    tier = np.array([BEST_FIRST.index(name) for name in RULES])[rfm_groups(RULES, r, m, m)]
    simple = -tier + rows.history.to_numpy() / (rows.history.max() + 1), response
    choices: dict[Policy, np.ndarray] = {}
    for campaign, email in zip(CAMPAIGNS, (0, 1, better), strict=True):
        each = np.full(len(design), 1 + email)
        best = effects.max(axis=1), 1 + effects.argmax(axis=1)
        rank, arm = best if campaign == "both" else (effects[:, email], each)
        choices[campaign, OURS] = take_highest(rank, mails, arm)
        choices |= {(campaign, n): take_highest(r, mails, each) for n, r in zip(POLICIES[1:], simple, strict=True)}
    return choices


def take_highest(rank: np.ndarray, number: int, arm: np.ndarray) -> np.ndarray:
    """The arm of the `number` customers with the highest rank, and 0 for all others.

    Args:
        rank: Higher is first, (n,).
        number: How many get their arm.
        arm: The arm of each customer if it is chosen, (n,).

    Returns:
        The arms, (n,).

    >>> take_highest(np.array([0.1, 0.3, 0.2]), 2, np.array([1, 2, 1])).tolist()
    [0, 2, 1]
    """
    chosen_arm = np.zeros(len(rank), dtype=int)
    best = np.argsort(-rank, kind="stable")[:number]
    chosen_arm[best] = arm[best]
    return chosen_arm


def table(robust: dict[str, np.ndarray], plain: dict[str, np.ndarray], outcome: str) -> str:
    """The Markdown table of an outcome, for 1,000 customers.

    Args:
        robust: Doubly robust values by policy, (n,).
        plain: Values by inverse propensity by policy, (n,).
        outcome: 'visit' or 'spend'.

    Returns:
        The table.
    """
    columns = [*(robust[name] for name in POLICIES), *(plain[name] for name in POLICIES)]
    columns += [robust[OURS] - robust[name] for name in POLICIES[1:]]
    stacked, rng = np.column_stack(columns), np.random.default_rng(0)
    n = len(stacked)
    drawn = np.array([rng.multinomial(n, np.full(n, 1 / n)) @ stacked for _ in range(RESAMPLES)]) / n
    low, high = 1_000 * np.quantile(drawn, [0.025, 0.975], axis=0)
    cells = [f"{1_000 * c.mean():.1f} ({low[i]:.1f} to {high[i]:.1f})" for i, c in enumerate(columns)]
    k, what = len(POLICIES), "visits" if outcome == "visit" else "money"
    lines = [
        f"| {what} for 1,000 customers beyond no mails | doubly robust | inverse propensity | ours more by |",
        "|:---|---:|---:|---:|",
    ]
    for place, name in enumerate(POLICIES):
        more = cells[2 * k + place - 1] if place else ""
        lines.append(f"| {name} | {cells[place]} | {cells[k + place]} | {more} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
