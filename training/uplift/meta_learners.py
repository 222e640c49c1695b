"""Meta-learners of the effect of several actions on one outcome: T-, S-, X- and doubly robust, with trees and ridge.

All of them model the outcome's mean with squared error, so that for every outcome their scores are sums of parts
(`bundle.ScorePart`). Sources: Kunzel, Sekhon, Bickel and Yu, Metalearners for estimating heterogeneous treatment
effects, PNAS 116, 2019 (S, T, X); Kennedy, Towards optimal doubly robust estimation of heterogeneous causal effects,
2023 (DR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np

from training.artifact.score_parts import LinearForm, ScorePart, with_arm_columns
from training.artifact.uplift_bundle import Formula
from training.models.lightgbm_base import FIXED
from training.uplift.experiment import ExperimentData

LEARNERS = {
    "t-trees": "T-learner on LightGBM",
    "s-trees": "S-learner on LightGBM",
    "x-trees": "X-learner on LightGBM",
    "dr-trees": "doubly robust learner on LightGBM",
    "t-ridge": "T-learner on ridge regression",
    "dr-ridge": "doubly robust learner on ridge regression",
    "response": "in proportion to the outcome without the action",
}
RIDGE_PENALTIES = np.logspace(0, 5, 11)  # on columns with standard deviation 1
TREES = {"learning_rate": 0.05, "num_leaves": 7, "lambda_l2": 5.0, "feature_fraction": 0.7}
EFFECT_TREES = {**TREES, "num_leaves": 4}  # for doubly robust scores, which are mostly noise
INNER_STREAM, INNER_FOLDS = 1, 3  # random stream and number of the folds within a fold
BASE: Formula = {"trees-0": 0.5, "ridge-0": 0.5}
ROUNDS, GAP_ROUNDS, EFFECT_ROUNDS = 50, 40, 25
MIN_LEAF_ROWS, MIN_LEAF_SHARE = 20, 0.02  # rows in a leaf


@dataclass(frozen=True)
class FittedLearners:
    """The fitted learners of one outcome.

    Attributes:
        parts: Fitted models, by name.
        learners: Formula of the score, by learner and action.
        base: Formula of the outcome without any action.
    """

    parts: dict[str, ScorePart]
    learners: dict[str, dict[str, Formula]]
    base: Formula

    def part_values(self, design: np.ndarray) -> dict[str, np.ndarray]:
        """Return every part's values (n,) on a design (n, p), by name."""
        return {name: part.predict(design) for name, part in self.parts.items()}

    def scores(self, parts: Mapping[str, np.ndarray], action: str) -> np.ndarray:
        """Return the scores (n, learners) of an action from the parts' values."""
        return np.column_stack(
            [sum(w * parts[part] for part, w in formulas[action].items()) for formulas in self.learners.values()]
        )

    def means(self, parts: Mapping[str, np.ndarray], arms: int) -> np.ndarray:
        """Return the outcome's mean (n, arms) in each arm: the average of trees and ridge."""
        return np.column_stack([(parts[f"trees-{a}"] + parts[f"ridge-{a}"]) / 2 for a in range(arms)])


def fit_learners(experiment: ExperimentData, outcome: np.ndarray, seed: int) -> FittedLearners:
    """Fit all learners of one outcome on all entries of an experiment.

    Args:
        experiment: Who received what.
        outcome: The outcome (n,).
        seed: The only source of randomness.

    Returns:
        The fitted learners.
    """
    return _LearnerFits(experiment, outcome, seed).fitted


def doubly_robust_scores(experiment: ExperimentData, outcome: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return doubly robust scores of each action's effect against the control.

    A score is the difference of `mean_a + 1{received a} (outcome - mean_a) / propensity_a` between the action and the
    control (Robins, Rotnitzky and Zhao, JASA 89, 1994). Its mean estimates the average effect, whether or not the means
    are right.

    Args:
        experiment: Who received what, with propensities.
        outcome: The outcome (n,).
        means: Mean outcome of each entry in each arm (n, arms), by models that were not fitted on the entry.

    Returns:
        The scores (n, actions).
    """
    here = np.eye(1 + len(experiment.actions), dtype=bool)[experiment.arm]
    own = means[here]
    score = means + np.where(here, ((outcome - own) / experiment.received)[:, None], 0.0)
    return np.asarray(score[:, 1:] - score[:, :1])


def fit_trees(design: np.ndarray, label: np.ndarray, rounds: int, seed: int, trees: Mapping[str, float] = TREES) -> str:
    """Fit LightGBM with squared error, so that a seed repeats every bit.

    Args:
        design: Columns (n, p).
        label: Label (n,).
        rounds: Number of trees.
        seed: Seed of LightGBM.
        trees: Parameters of LightGBM.

    Returns:
        The model as LightGBM's text.
    """
    leaf = max(MIN_LEAF_ROWS, round(MIN_LEAF_SHARE * len(label)))
    parameters: dict[str, Any] = {"objective": "regression", "seed": seed, "min_child_samples": leaf, **trees, **FIXED}
    parameters["bagging_freq"] = 0
    data = lgb.Dataset(design, label=label, params=FIXED)
    return str(lgb.train(parameters, data, num_boost_round=rounds).model_to_string())


def fit_ridge(design: np.ndarray, label: np.ndarray) -> LinearForm:
    """Fit ridge regression on `asinh_columns`, with the penalty of least generalised cross-validation error.

    Golub, Heath and Wahba, Technometrics 21, 1979. An unknown value counts as the mean.
    """
    size, centre, shaped = asinh_columns(design)
    spread = shaped.std(axis=0)
    spread[spread < 1e-9] = np.inf
    scaled, mean = shaped / spread, float(label.mean())
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    values, target = np.maximum(values, 0), vectors.T @ (scaled.T @ (label - mean))
    total, n = float(((label - mean) ** 2).sum()), len(label)

    def error_of(penalty: float) -> float:
        rotated = target / (values + penalty)
        squared = total - 2 * float(rotated @ target) + float((rotated**2 * values).sum())
        return squared / (1 - float((values / (values + penalty)).sum()) / n - 1 / n) ** 2

    best = min(RIDGE_PENALTIES, key=error_of)
    weights = vectors @ (target / (values + best)) / spread
    return LinearForm(mean, tuple(size.tolist()), tuple(centre.tolist()), tuple(weights.tolist()))


def asinh_columns(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compress the tails of columns: sizes (p,), centres (p,), and asinh(x / size) - centre (n, p), 0 for NaN.

    >>> size, centre, shaped = asinh_columns(np.array([[0.0], [2.0], [np.nan]]))
    >>> size.tolist(), centre.round(4).tolist(), shaped.round(4).ravel().tolist()
    ([2.0], [0.4407], [-0.4407, 0.4407, 0.0])
    """
    known = np.isfinite(design)
    used = known & (design != 0)
    sizes = [np.median(np.abs(x[use])) if use.any() else 1.0 for x, use in zip(design.T, used.T, strict=True)]
    shaped = np.arcsinh(design / np.array(sizes))
    centre = np.where(known, shaped, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.array(sizes), centre, np.where(known, shaped - centre, 0.0)


class _LearnerFits:
    """Fits the learners of one outcome; later ones use the parts of earlier ones."""

    def __init__(self, experiment: ExperimentData, outcome: np.ndarray, seed: int):
        self.experiment, self.outcome, self.seed = experiment, outcome, seed
        self.arms = range(1 + len(experiment.actions))

    @cached_property
    def fitted(self) -> FittedLearners:
        """All learners."""
        parts = {**self.means, **self.single, **self.crossed, **self.robust}
        learners: dict[str, dict[str, Formula]] = {name: {} for name in LEARNERS}
        for a, action in enumerate(self.experiment.actions, start=1):
            share = self._treated_share(a)
            learners["t-trees"][action] = {f"trees-{a}": 1.0, "trees-0": -1.0}
            learners["t-ridge"][action] = {f"ridge-{a}": 1.0, "ridge-0": -1.0}
            learners["s-trees"][action] = {f"single-{a}": 1.0, "single-0": -1.0}
            learners["x-trees"][action] = {f"crossed-{a}-control": share, f"crossed-{a}-treated": 1 - share}
            learners["dr-trees"][action] = {f"robust-{a}": 1.0}
            learners["dr-ridge"][action] = {f"robust-ridge-{a}": 1.0}
            learners["response"][action] = BASE
        return FittedLearners(parts, learners, BASE)

    @cached_property
    def means(self) -> dict[str, ScorePart]:
        """The outcome's mean in each arm, by trees and by ridge."""
        return _fit_arm_means(self.experiment, self.outcome, self.seed)

    @cached_property
    def single(self) -> dict[str, ScorePart]:
        """One model for all arms (S-learner), predicting with each arm in turn."""
        arms = len(self.experiment.actions)
        text = fit_trees(
            with_arm_columns(self.experiment.design, arms, self.experiment.arm), self.outcome, ROUNDS, self.seed
        )
        return {f"single-{a}": ScorePart(text, arms, a) for a in self.arms}

    @cached_property
    def crossed(self) -> dict[str, ScorePart]:
        """Models of the difference between each arm's outcomes and the other arm's predicted mean (X-learner)."""
        experiment, parts = self.experiment, {}
        for a in self.arms[1:]:
            for side, arm, other in (("treated", a, 0), ("control", 0, a)):
                here = experiment.arm == arm
                gap = self.outcome[here] - self.means[f"trees-{other}"].predict(experiment.design[here])
                effect = gap if side == "treated" else -gap
                text = fit_trees(experiment.design[here], effect, GAP_ROUNDS, self.seed)
                parts[f"crossed-{a}-{side}"] = ScorePart(text)
        return parts

    @cached_property
    def robust(self) -> dict[str, ScorePart]:
        """Trees and ridge on doubly robust scores, with cross-fitted means."""
        experiment, folds = self.experiment, assign_folds(self.experiment.units, INNER_FOLDS, self.seed, INNER_STREAM)
        psi = np.zeros((len(experiment), len(experiment.actions)))
        for fold in range(INNER_FOLDS):
            inside, others = folds == fold, experiment.rows(folds != fold)
            fitted = FittedLearners(_fit_arm_means(others, self.outcome[~inside], self.seed), {}, {})
            means = fitted.means(fitted.part_values(experiment.design[inside]), len(self.arms))
            psi[inside] = doubly_robust_scores(experiment.rows(inside), self.outcome[inside], means)
        parts = {}
        for a in self.arms[1:]:
            here = experiment.offered_in_round(a)
            design, label = experiment.design[here], psi[here, a - 1]
            parts[f"robust-{a}"] = ScorePart(fit_trees(design, label, EFFECT_ROUNDS, self.seed, EFFECT_TREES))
            parts[f"robust-ridge-{a}"] = ScorePart(linear=fit_ridge(design, label))
        return parts

    def _treated_share(self, a: int) -> float:
        """Share with the action among entries with the action or the control."""
        treated, control = (self.experiment.arm == a).sum(), (self.experiment.arm == 0).sum()
        return float(treated / (treated + control))


def _fit_arm_means(experiment: ExperimentData, outcome: np.ndarray, seed: int) -> dict[str, ScorePart]:
    parts = {}
    for a in range(1 + len(experiment.actions)):
        here = experiment.arm == a
        parts[f"trees-{a}"] = ScorePart(fit_trees(experiment.design[here], outcome[here], ROUNDS, seed))
        parts[f"ridge-{a}"] = ScorePart(linear=fit_ridge(experiment.design[here], outcome[here]))
    return parts


def assign_folds(units: np.ndarray, folds: int, seed: int, stream: int = 0) -> np.ndarray:
    """Assign entries to random folds, a customer's entries all to the same one.

    Args:
        units: Customer of each entry (n,), as codes from 0.
        folds: Number of folds.
        seed: Seed of the draws.
        stream: Random stream: folds within folds come from another one.

    Returns:
        The fold (n,) of each entry, from 0.

    >>> folds = assign_folds(np.array([0, 0, 1, 1, 2, 3]), 2, seed=1)
    >>> bool((folds[0] == folds[1]) & (folds[2] == folds[3])), sorted(set(folds.tolist()))
    (True, [0, 1])
    """
    place = np.random.default_rng([seed, stream]).permutation(int(units.max()) + 1) % folds
    return np.asarray(place[units])
