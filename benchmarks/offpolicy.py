"""Whom to mail, judged by mails that were sent by lot: ours beside RFM tiers and predicted response, on Hillstrom.

64,000 customers of a shop were sent an e-mail of men's or of women's clothes, or none, a third each (Hillstrom, the
MineThatData e-mail analytics challenge, 2008). Every policy may mail the same number of customers. It learns from one
half and chooses in the other, and then the halves change places, so that each customer is judged once by what had not
seen it; that is done for several divisions and averaged.

The value of a policy is that of its choices beside no mails at all, by doubly robust scores: `mean_a + 1{received a}
(outcome - mean_a) / propensity_a`, with means learned in the other half (Dudik, Langford and Li, Doubly robust policy
evaluation and learning, 2011), and by inverse propensity alone. Intervals, and those of differences, are of a paired
bootstrap of customers: the policies stay as they are.

Three campaigns: of either e-mail alone, and of both, where ours chooses for each customer the e-mail with the larger
effect on visits (`training.uplift.effects`), and the others send the one that did more on average in the half that
taught.

- ours: mails where the effect on visits is largest.
- RFM tier: by RFM group (`features/config/rfm_rules.py`, the best first; without frequency in the data, money counts
twice).
- predicted response: by the visits that are predicted, over all arms.

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
    "champions", "loyal", "cannot lose", "potential loyalists", "at risk", "need attention", "promising", "new",
    "about to sleep", "hibernating", "lost",
)  # fmt: skip
OURS = "ours"
POLICIES = (OURS, "RFM tier", "predicted response")
CAMPAIGNS = (*EMAILS, "both")
RESAMPLES = 1_000
Policy = tuple[str, str]  # the campaign, and by what is chosen


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table an outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--share", type=float, default=0.3, help="of customers who are mailed")
    parser.add_argument("--divisions", type=int, default=3)
    asked = parser.parse_args(arguments)
    file = asked.data / "hillstrom.csv.gz"
    if not file.exists():
        print(f"{file} is not there: see benchmarks/README.md; nothing was measured", file=sys.stderr)
        return 0
    rows = pd.read_csv(file)
    trial = experiment_from_columns(
        pa.Table.from_pandas(rows[FEATURES], preserve_index=False), rows.segment.to_numpy(),
        {name: rows[name].to_numpy() for name in OUTCOMES}, control=CONTROL, actions=EMAILS,
        propensity=np.full((len(rows), 1 + len(EMAILS)), 1 / 3),
    )  # fmt: skip
    found = [judged(trial, rows, asked.share, division) for division in range(asked.divisions)]
    mails = round(asked.share * len(rows))
    print(f"{len(rows):,} customers, {mails:,} mails each, {asked.divisions} divisions into halves")
    for campaign in CAMPAIGNS:
        for outcome in OUTCOMES:
            robust, plain = (
                {name: np.mean([one[outcome, (campaign, name)][way] for one in found], axis=0) for name in POLICIES}
                for way in (0, 1)
            )
            print(f"\n{campaign}\n\n{table(robust, plain, outcome)}")
    return 0


def judged(
    trial: ExperimentData, rows: pd.DataFrame, share: float, division: int
) -> dict[tuple[str, Policy], np.ndarray]:
    """By outcome and policy what each customer's choice is worth, (2, n): doubly robust and by inverse propensity."""
    order = np.random.default_rng(division).permutation(len(trial))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    every = [(outcome, policy) for outcome in OUTCOMES for policy in product(CAMPAIGNS, POLICIES)]
    found = {one: np.zeros((2, len(trial))) for one in every}
    for taught, judges in (halves, halves[::-1]):
        known = trial.rows(taught)
        choices = chosen(known, trial.design[judges], rows.iloc[judges], round(share * len(judges)), division)
        for outcome in OUTCOMES:
            learned = fit_learners(known, known.outcomes[outcome], division)
            means = learned.means(learned.part_values(trial.design[judges]), 1 + len(EMAILS))
            here, came = np.eye(1 + len(EMAILS))[trial.arm[judges]], trial.outcomes[outcome][judges][:, None]
            for way, base in enumerate((means, np.zeros_like(means))):
                score = base + here * (came - base) / trial.propensity[judges]
                for policy, arm in choices.items():
                    found[outcome, policy][way, judges] = score[np.arange(len(judges)), arm] - score[:, 0]
    return found


def chosen(
    known: ExperimentData, design: np.ndarray, rows: pd.DataFrame, mails: int, seed: int
) -> dict[Policy, np.ndarray]:
    """The arm (n,) that each policy chooses for the judging half: 0 for none."""
    visits = ExperimentData(
        known.design, known.columns, known.arm, known.propensity, known.units, {"visit": known.outcomes["visit"]},
        known.actions, known.offered,
    )  # fmt: skip
    made = estimate_effects(visits, seed=seed, resamples=2)
    said = made.bundle.outcomes["visit"].predict(design)
    effects = np.column_stack([said[email][0] for email in EMAILS])
    better = int(np.argmax([one.average.value for one in made.evaluated]))
    learned = fit_learners(visits, visits.outcomes["visit"], seed)
    response = learned.means(learned.part_values(design), 1 + len(EMAILS)).mean(axis=1)
    r, m = rfm_scores(rows.recency.to_numpy(float), least_is_best=True), rfm_scores(rows.history.to_numpy(float))
    tier = np.array([BEST_FIRST.index(name) for name in RULES])[rfm_groups(RULES, r, m, m)]
    simple = -tier + rows.history.to_numpy() / (rows.history.max() + 1), response
    found: dict[Policy, np.ndarray] = {}
    for campaign, email in zip(CAMPAIGNS, (0, 1, better), strict=True):
        each = np.full(len(design), 1 + email)
        best = effects.max(axis=1), 1 + effects.argmax(axis=1)
        rank, arm = best if campaign == "both" else (effects[:, email], each)
        found[campaign, OURS] = first(rank, mails, arm)
        found |= {(campaign, n): first(r, mails, each) for n, r in zip(POLICIES[1:], simple, strict=True)}
    return found


def first(rank: np.ndarray, number: int, arm: np.ndarray) -> np.ndarray:
    """The arm of those with the highest rank, and 0 of all others.

    >>> first(np.array([0.1, 0.3, 0.2]), 2, np.array([1, 2, 1])).tolist()
    [0, 2, 1]
    """
    found = np.zeros(len(rank), dtype=int)
    best = np.argsort(-rank, kind="stable")[:number]
    found[best] = arm[best]
    return found


def table(robust: dict[str, np.ndarray], plain: dict[str, np.ndarray], outcome: str) -> str:
    """The Markdown table of an outcome, for 1,000 customers of all."""
    columns = [*(robust[name] for name in POLICIES), *(plain[name] for name in POLICIES)]
    columns += [robust[OURS] - robust[name] for name in POLICIES[1:]]
    stacked, rng = np.column_stack(columns), np.random.default_rng(0)
    n = len(stacked)
    drawn = np.array([rng.multinomial(n, np.full(n, 1 / n)) @ stacked for _ in range(RESAMPLES)]) / n
    low, high = 1_000 * np.quantile(drawn, [0.025, 0.975], axis=0)
    told = [f"{1_000 * c.mean():.1f} ({low[i]:.1f} to {high[i]:.1f})" for i, c in enumerate(columns)]
    k, what = len(POLICIES), "visits" if outcome == "visit" else "money"
    lines = [
        f"| {what} for 1,000 customers beyond no mails | doubly robust | inverse propensity | ours more by |",
        "|:---|---:|---:|---:|",
    ]
    for place, name in enumerate(POLICIES):
        more = told[2 * k + place - 1] if place else ""
        lines.append(f"| {name} | {told[place]} | {told[k + place]} | {more} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
