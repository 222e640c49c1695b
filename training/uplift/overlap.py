"""Whether arms are comparable: estimated propensities if arms were not randomised, overlap, and covariate balance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from features.errors import DataError
from training.uplift.experiment import ExperimentData
from training.uplift.meta_learners import FIXED, asinh_columns, assign_folds

FLOOR = 1e-4  # of a propensity
MIN_STANDING = 0.75  # share of all entries for which those of a group must stand; 1 if propensities are right
TREES = {"learning_rate": 0.1, "num_leaves": 8, "min_child_samples": 20, "lambda_l2": 1.0}
ROUNDS = 60
UNBALANCED = 0.1  # standardised mean difference above which a covariate is commonly called unbalanced
PENALTY = 1.0  # of the logistic regression, on columns with standard deviation 1


@dataclass(frozen=True)
class Overlap:
    """How comparable the arms are.

    Attributes:
        estimated: Whether propensities were estimated by a model.
        outside: Share of entries that were left out because they have no comparable ones in the other group; 0 if arms
            were randomised.
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
            lines.insert(
                0,
                f"overlap: {self.outside:.1%} of customers have no comparable ones in the other group and are left out",
            )
        return "\n".join(lines)


def estimate_propensities(
    experiment: ExperimentData, *, seed: int, folds: int = 5
) -> tuple[ExperimentData, np.ndarray]:
    """Estimate propensities, and keep the entries that have comparable ones in the other group.

    A cross-fitted multinomial logistic regression on `asinh_columns`, corrected by trees, since contacts that were not
    randomised often follow rules, such as 21 days without a purchase. Rounds treat different shares of their
    customers, and outcomes have a season. So the log-odds of each action in the entry's round are columns too, by
    which the weights compare customers of rounds alike.

    Args:
        experiment: Who received what.
        seed: Seed of the folds and the trees.
        folds: Number of folds of customers; propensities in a fold come from models fitted on the others.

    Returns:
        The kept entries with their propensities, of which each action counts as offered only to those with comparable
        ones (`is_comparable`); and which entries (n,) are kept.

    Raises:
        DataError: No customer with an action has comparable ones without.
    """
    fold_of = assign_folds(experiment.units, folds, seed)
    arms = range(1 + len(experiment.actions))
    propensity = np.zeros((len(experiment), len(arms)))
    design = np.column_stack([experiment.design, _round_log_odds(experiment)])
    shaped = np.column_stack([_unit_variance_columns(experiment.design), _round_log_odds(experiment)])
    for fold in range(folds):
        inside = fold_of == fold
        model = LogisticRegression(C=1 / PENALTY, max_iter=500).fit(shaped[~inside], experiment.arm[~inside])
        margin = np.full((len(shaped), len(arms)), np.log(FLOOR))
        margin[:, model.classes_] = np.log(np.maximum(model.predict_proba(shaped), FLOOR))
        trees = _fit_correction(design[~inside], experiment.arm[~inside], margin[~inside], seed)
        corrected = margin[inside] + trees.predict(design[inside], raw_score=True)
        propensity[inside] = np.maximum(softmax(corrected, axis=1), FLOOR)
    shares = experiment.shares.copy()
    for a in arms[1:]:
        offered = experiment.offered_in_round(a)
        shares[offered, a] *= is_comparable(propensity[offered, a], propensity[offered, 0])
    kept = np.asarray((shares[:, 1:] > 0).any(axis=1))
    compared = replace(experiment, propensity=propensity, shares=shares).rows(kept)
    _refuse_without_overlap(compared)
    return compared, kept


def _refuse_without_overlap(compared: ExperimentData) -> None:
    """Refuses groups that differ altogether: then the inverse propensities of each stand for its own entries only."""
    for a, action in enumerate(compared.actions, start=1):
        offered = compared.offered_in_round(a)
        for arm in (a, 0):
            inside = offered & (compared.arm == arm)
            if (1 / compared.propensity[inside, arm]).sum() <= MIN_STANDING * offered.sum():
                raise DataError(
                    f"the customers of {action!r} cannot be compared: those without it differ from them altogether in "
                    "what is known. Hold some customers out at random and name the propensity in [contacts] propensity"
                )


def is_comparable(treated: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Whether entries (n,) belong to those whose average effect can be estimated with the least variance.

    The others hardly ever, or nearly always, received the action, so that there is nobody to compare them with. Entries
    are kept up to the bound on `1 / treated + 1 / control` that is best for the average of those kept (Crump, Hotz,
    Imbens and Mitnik, Dealing with limited overlap in estimation of average treatment effects, Biometrika 96, 2009).

    Args:
        treated: Propensity of the action (n,).
        control: Propensity of the control (n,).

    Returns:
        A mask (n,).

    >>> chance = np.array([0.5, 0.4, 0.6, 0.5, 0.001])
    >>> is_comparable(chance, 1 - chance).tolist()
    [True, True, True, True, False]
    >>> rare = np.full(3, 0.01)  # but for everybody alike
    >>> is_comparable(rare, 1 - rare).tolist()
    [True, True, True]
    """
    if not len(treated):
        return np.zeros(0, bool)
    variance = 1 / treated + 1 / control
    ordered = np.sort(variance)
    best = np.argmin(np.cumsum(ordered) / np.arange(1, len(ordered) + 1) ** 2)
    return np.asarray(variance <= ordered[best])


def _fit_correction(design: np.ndarray, arm: np.ndarray, margin: np.ndarray, seed: int) -> lgb.Booster:
    """Trees that correct margins (n, arms) of the arms."""
    parameters = {"objective": "multiclass", "num_class": margin.shape[1], "seed": seed, **TREES, **FIXED}
    data = lgb.Dataset(design, label=arm, init_score=margin, params=FIXED)
    return lgb.train(parameters, data, num_boost_round=ROUNDS)


def _round_log_odds(experiment: ExperimentData) -> np.ndarray:
    """The log-odds (n, actions) of each action against the control in the entry's round; an empty arm has a floor."""
    shares = np.maximum(experiment.shares, 1 / len(experiment))
    return np.asarray(np.log(shares[:, 1:] / shares[:, :1]))


def measure_overlap(experiment: ExperimentData, *, estimated: bool = False, outside: float = 0.0) -> Overlap:
    """Measure how comparable the arms are, before and after weighting.

    Args:
        experiment: Who received what, with propensities.
        estimated: Whether the propensities were estimated.
        outside: Share of entries left out as not comparable.

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
