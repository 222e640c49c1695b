"""Whether customers of different arms can be compared: propensities where nobody drew them, overlap and balance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from training.uplift.experiment import ExperimentData
from training.uplift.meta_learners import asinh_columns, assign_folds

PROPENSITY_BOUNDS = (0.02, 0.98)  # propensities outside are drawn in to it: no weight above 50
UNBALANCED = 0.1  # standardised mean difference above which arms are commonly called unbalanced
PENALTY = 1.0  # of the logistic regression, on columns of spread 1


@dataclass(frozen=True)
class Overlap:
    """How alike the arms are.

    Attributes:
        estimated: Whether the propensities are those of a model.
        outside: Share of customers some of whose propensities lay outside INSIDE; 0 where they were drawn.
        balance: feature, action, before, after: standardised mean differences to the control, unweighted and weighted
            by one over the propensity; the largest after weighting first.
    """

    estimated: bool
    outside: float
    balance: pd.DataFrame

    def summary(self) -> str:
        """In words."""
        worst = self.balance.iloc[0] if len(self.balance) else None
        before, after = (int((self.balance[c].abs() > UNBALANCED).sum()) for c in ("before", "after"))
        lines = [
            f"balance: of {len(self.balance):,} differences of features between an action and the control, {before:,} "
            f"are above {UNBALANCED:g} standard deviations, {after:,} after weighting"
        ]
        if worst is not None:
            lines.append(
                f"largest: {worst.feature} of {worst.action}, {worst.before:+.2f}; {worst.after:+.2f} weighted"
            )
        if self.estimated:
            lines.insert(0, f"overlap: {self.outside:.1%} of customers have a propensity outside {PROPENSITY_BOUNDS}")
        return "\n".join(lines)


def estimate_propensities(trial: ExperimentData, *, seed: int, folds: int = 5) -> tuple[ExperimentData, float]:
    """A trial whose propensities are estimated by what was known before, and the share that lay outside INSIDE.

    A multinomial logistic regression on shaped columns, crosswise: nobody's own arm tells of their propensity.
    """
    place, found = assign_folds(trial.units, folds, seed), np.zeros((len(trial), 1 + len(trial.actions)))
    shaped = _even(trial.design)
    for fold in range(folds):
        mine = place == fold
        model = LogisticRegression(C=1 / PENALTY, max_iter=500)
        model.fit(shaped[~mine], trial.arm[~mine])
        found[np.ix_(mine, model.classes_)] = model.predict_proba(shaped[mine])
    low, high = PROPENSITY_BOUNDS
    outside = float(((found < low) | (found > high)).any(axis=1).mean())
    return replace(trial, propensity=np.clip(found, low, high)), outside


def measure_overlap(trial: ExperimentData, *, estimated: bool = False, outside: float = 0.0) -> Overlap:
    """How alike the arms of a trial are, before and after weighting."""
    rows = []
    for a, action in enumerate(trial.actions, start=1):
        before = standardised_differences(trial, a, np.ones(len(trial)))
        after = standardised_differences(trial, a, 1 / trial.received)
        names = (c.name if c.level is None else f"{c.name} {c.level}" for c in trial.columns)
        rows += [(name, action, b, w) for name, b, w in zip(names, before, after, strict=True)]
    table = pd.DataFrame(rows, columns=["feature", "action", "before", "after"])
    order = (-table.after.abs()).argsort(kind="stable")
    return Overlap(estimated, outside, table.iloc[order].reset_index(drop=True))


def standardised_differences(trial: ExperimentData, a: int, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of each column for an action less that of the control, in their pooled standard deviations (p,).

    Only rounds that offered both are compared. Austin, Statistics in Medicine 28, 2009. Unknown values are left out; 0
    where a column does not vary.
    """
    means, variances = [], []
    for arm in (a, 0):
        here = (trial.arm == arm) & trial.offered_in_round(a)
        x = trial.design[here]
        known = np.isfinite(x)
        w = weight[here][:, None] * known
        total = np.maximum(w.sum(axis=0), 1e-12)
        mean = (w * np.where(known, x, 0)).sum(axis=0) / total
        plain = np.where(known, x - np.where(known, x, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0)
        means.append(mean)
        variances.append((plain**2).sum(axis=0) / np.maximum(known.sum(axis=0) - 1, 1))
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    return np.divide(means[0] - means[1], spread, out=np.zeros(len(spread)), where=spread > 1e-12)


def _even(design: np.ndarray) -> np.ndarray:
    """Shaped columns (n, p) of spread 1."""
    shaped = asinh_columns(design)[2]
    spread = shaped.std(axis=0)
    return np.divide(shaped, spread, out=np.zeros_like(shaped), where=spread > 1e-9)
