"""Whether arms are comparable: estimated propensities if arms were not randomised, overlap, and covariate balance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from training.uplift.experiment import ExperimentData
from training.uplift.meta_learners import asinh_columns, assign_folds

PROPENSITY_BOUNDS = (0.02, 0.98)  # propensities outside are clipped, so that no weight exceeds 50
UNBALANCED = 0.1  # standardised mean difference above which a covariate is commonly called unbalanced
PENALTY = 1.0  # of the logistic regression, on columns with standard deviation 1


@dataclass(frozen=True)
class Overlap:
    """How comparable the arms are.

    Attributes:
        estimated: Whether propensities were estimated by a model.
        outside: Share of customers with a propensity outside PROPENSITY_BOUNDS; 0 if arms were randomised.
        balance: feature, action, before, after: standardised mean differences from the control, unweighted and weighted
            by inverse propensity; the largest after weighting first.
    """

    estimated: bool
    outside: float
    balance: pd.DataFrame

    def summary(self) -> str:
        """Return overlap and balance in words."""
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


def estimate_propensities(experiment: ExperimentData, *, seed: int, folds: int = 5) -> tuple[ExperimentData, float]:
    """Estimate propensities by a cross-fitted multinomial logistic regression on `asinh_columns`.

    Rounds treat different shares of their customers, and outcomes have a season. So the log-odds of each action in the
    entry's round are columns too, by which the weights compare customers of rounds alike.

    Args:
        experiment: Who received what.
        seed: Seed of the folds.
        folds: Number of folds of customers; propensities in a fold come from a model fitted on the others.

    Returns:
        The experiment with propensities clipped to PROPENSITY_BOUNDS, and the share of customers with one outside.
    """
    fold_of, propensity = (
        assign_folds(experiment.units, folds, seed),
        np.zeros((len(experiment), 1 + len(experiment.actions))),
    )
    shaped = np.column_stack([_unit_variance_columns(experiment.design), _round_log_odds(experiment)])
    for fold in range(folds):
        inside = fold_of == fold
        model = LogisticRegression(C=1 / PENALTY, max_iter=500)
        model.fit(shaped[~inside], experiment.arm[~inside])
        propensity[np.ix_(inside, model.classes_)] = model.predict_proba(shaped[inside])
    low, high = PROPENSITY_BOUNDS
    outside = float(((propensity < low) | (propensity > high)).any(axis=1).mean())
    return replace(experiment, propensity=np.clip(propensity, low, high)), outside


def _round_log_odds(experiment: ExperimentData) -> np.ndarray:
    """The log-odds (n, actions) of each action against the control in the entry's round; an empty arm has a floor."""
    shares = np.maximum(experiment.shares, 1 / len(experiment))
    return np.asarray(np.log(shares[:, 1:] / shares[:, :1]))


def measure_overlap(experiment: ExperimentData, *, estimated: bool = False, outside: float = 0.0) -> Overlap:
    """Measure how comparable the arms are, before and after weighting.

    Args:
        experiment: Who received what, with propensities.
        estimated: Whether the propensities were estimated.
        outside: Share of customers with a propensity outside PROPENSITY_BOUNDS.

    Returns:
        Overlap and balance.
    """
    rows = []
    for a, action in enumerate(experiment.actions, start=1):
        before = standardised_differences(experiment, a, np.ones(len(experiment)))
        after = standardised_differences(experiment, a, 1 / experiment.received)
        names = (c.name if c.level is None else f"{c.name} {c.level}" for c in experiment.columns)
        rows += [(name, action, b, w) for name, b, w in zip(names, before, after, strict=True)]
    table = pd.DataFrame(rows, columns=["feature", "action", "before", "after"])
    order = (-table.after.abs()).argsort(kind="stable")
    return Overlap(estimated, outside, table.iloc[order].reset_index(drop=True))


def standardised_differences(experiment: ExperimentData, a: int, weight: np.ndarray) -> np.ndarray:
    """Return the difference of weighted means between an action and the control, in pooled standard deviations.

    Only rounds that offered both are compared (Austin, Statistics in Medicine 28, 2009). Unknown values are left out.

    Args:
        experiment: Who received what.
        a: The action's arm, from 1.
        weight: Weight (n,) of each entry.

    Returns:
        The difference (p,) of each column; 0 if a column does not vary.
    """
    means, variances = [], []
    for arm in (a, 0):
        here = (experiment.arm == arm) & experiment.offered_in_round(a)
        x = experiment.design[here]
        known = np.isfinite(x)
        w = weight[here][:, None] * known
        total = np.maximum(w.sum(axis=0), 1e-12)
        mean = (w * np.where(known, x, 0)).sum(axis=0) / total
        plain = np.where(known, x - np.where(known, x, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0)
        means.append(mean)
        variances.append((plain**2).sum(axis=0) / np.maximum(known.sum(axis=0) - 1, 1))
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    return np.divide(means[0] - means[1], spread, out=np.zeros(len(spread)), where=spread > 1e-12)


def _unit_variance_columns(design: np.ndarray) -> np.ndarray:
    """The columns of `asinh_columns` (n, p), scaled to standard deviation 1."""
    shaped = asinh_columns(design)[2]
    spread = shaped.std(axis=0)
    return np.divide(shaped, spread, out=np.zeros_like(shaped), where=spread > 1e-9)
