"""Meta-learners of the effect of several actions on one outcome: T-, S-, X- and doubly robust, of trees and of ridge.

All model the outcome's mean by squared error, so that their scores are sums of parts (`uplift_bundle.Part`), whatever
the outcome is. Kunzel, Sekhon, Bickel and Yu, Metalearners for estimating heterogeneous treatment effects, PNAS 116,
2019 (S, T, X); Kennedy, Towards optimal doubly robust estimation of heterogeneous causal effects, 2023 (DR).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np

from training.artifact.uplift_bundle import Formula, LinearForm, ScorePart, with_arm_columns
from training.models.lightgbm_base import FIXED
from training.uplift.experiment import ExperimentData

LEARNERS = {
    "t-trees": "T-learner on LightGBM",
    "s-trees": "S-learner on LightGBM",
    "x-trees": "X-learner on LightGBM",
    "dr-trees": "doubly robust learner on LightGBM",
    "t-ridge": "T-learner on ridge regression",
    "dr-ridge": "doubly robust learner on ridge regression",
    "response": "in proportion to what comes without the action",
}
RIDGE_PENALTIES = np.logspace(0, 5, 11)  # of the ridge, on columns of spread 1
TREES = {"learning_rate": 0.05, "num_leaves": 7, "lambda_l2": 5.0, "feature_fraction": 0.7}
EFFECT_TREES = {**TREES, "num_leaves": 4}  # of doubly robust scores, which are mostly noise
INNER_STREAM, INNER_FOLDS = 1, 3  # the stream of the folds within a fold, and how many
BASE: Formula = {"trees-0": 0.5, "ridge-0": 0.5}
ROUNDS, GAP_ROUNDS, EFFECT_ROUNDS = 50, 40, 25
MIN_LEAF_ROWS, MIN_LEAF_SHARE = 20, 0.02  # rows of a leaf


@dataclass(frozen=True)
class FittedLearners:
    """The learners of one outcome: their parts, and by learner and action the formula of the score."""

    parts: dict[str, ScorePart]
    learners: dict[str, dict[str, Formula]]
    base: Formula

    def part_values(self, design: np.ndarray) -> dict[str, np.ndarray]:
        """Every part (n,) of a design (n, p)."""
        return {name: part.of(design) for name, part in self.parts.items()}

    def scores(self, said: Mapping[str, np.ndarray], action: str) -> np.ndarray:
        """The scores (n, learners) of an action from the parts."""
        return np.column_stack(
            [sum(w * said[part] for part, w in formulas[action].items()) for formulas in self.learners.values()]
        )

    def means(self, said: Mapping[str, np.ndarray], arms: int) -> np.ndarray:
        """The outcome's mean (n, arms) by arm: trees and ridge, evenly."""
        return np.column_stack([(said[f"trees-{a}"] + said[f"ridge-{a}"]) / 2 for a in range(arms)])


def fit_learners(trial: ExperimentData, outcome: np.ndarray, seed: int) -> FittedLearners:
    """All learners of an outcome (n,), from all entries of a trial."""
    return _Learning(trial, outcome, seed).learned


def doubly_robust_scores(trial: ExperimentData, outcome: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Doubly robust scores (n, actions) of each action's effect beside the control.

    The difference of `mean_a + 1{received a} (outcome - mean_a) / propensity_a` between the action and the control,
    with means (n, arms) that did not learn from the entry (Robins, Rotnitzky and Zhao, JASA 89, 1994). Its mean is the
    average effect, whether or not the means are right.
    """
    here = np.eye(1 + len(trial.actions), dtype=bool)[trial.arm]
    own = means[here]
    score = means + np.where(here, ((outcome - own) / trial.received)[:, None], 0.0)
    return np.asarray(score[:, 1:] - score[:, :1])


def fit_trees(design: np.ndarray, label: np.ndarray, rounds: int, seed: int, trees: Mapping[str, float] = TREES) -> str:
    """LightGBM's text of a squared-error model, repeatable bit by bit."""
    leaf = max(MIN_LEAF_ROWS, round(MIN_LEAF_SHARE * len(label)))
    parameters: dict[str, Any] = {"objective": "regression", "seed": seed, "min_child_samples": leaf, **trees, **FIXED}
    parameters["bagging_freq"] = 0
    data = lgb.Dataset(design, label=label, params=FIXED)
    return str(lgb.train(parameters, data, num_boost_round=rounds).model_to_string())


def fit_ridge(design: np.ndarray, label: np.ndarray) -> LinearForm:
    """Ridge regression on shaped columns, its penalty by generalised cross-validation.

    Golub, Heath and Wahba, Technometrics 21, 1979. An unknown value counts as the mean.
    """
    size, centre, shaped = asinh_columns(design)
    spread = shaped.std(axis=0)
    spread[spread < 1e-9] = np.inf
    wide, mean = shaped / spread, float(label.mean())
    values, vectors = np.linalg.eigh(wide.T @ wide)
    values, target = np.maximum(values, 0), vectors.T @ (wide.T @ (label - mean))
    total, n = float(((label - mean) ** 2).sum()), len(label)

    def lost(penalty: float) -> float:
        inner = target / (values + penalty)
        rest = total - 2 * float(inner @ target) + float((inner**2 * values).sum())
        return rest / (1 - float((values / (values + penalty)).sum()) / n - 1 / n) ** 2

    best = min(RIDGE_PENALTIES, key=lost)
    weights = vectors @ (target / (values + best)) / spread
    return LinearForm(mean, tuple(size.tolist()), tuple(centre.tolist()), tuple(weights.tolist()))


def asinh_columns(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with their tails drawn in: sizes (p,), centres (p,), and asinh(x / size) - centre (n, p), 0 for NaN.

    >>> size, centre, shaped = asinh_columns(np.array([[0.0], [2.0], [np.nan]]))
    >>> size.tolist(), centre.round(4).tolist(), shaped.round(4).ravel().tolist()
    ([2.0], [0.4407], [-0.4407, 0.4407, 0.0])
    """
    known = np.isfinite(design)
    used = known & (design != 0)
    sizes = [np.median(np.abs(x[mine])) if mine.any() else 1.0 for x, mine in zip(design.T, used.T, strict=True)]
    shaped = np.arcsinh(design / np.array(sizes))
    centre = np.where(known, shaped, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.array(sizes), centre, np.where(known, shaped - centre, 0.0)


class _Learning:
    """The learners of one outcome, each built from what those before it found."""

    def __init__(self, trial: ExperimentData, outcome: np.ndarray, seed: int):
        self.trial, self.outcome, self.seed = trial, outcome, seed
        self.arms = range(1 + len(trial.actions))

    @cached_property
    def learned(self) -> FittedLearners:
        """All of them."""
        parts = {**self.means, **self.single, **self.crossed, **self.robust}
        learners: dict[str, dict[str, Formula]] = {name: {} for name in LEARNERS}
        for a, action in enumerate(self.trial.actions, start=1):
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
        return _means(self.trial, self.outcome, self.seed)

    @cached_property
    def single(self) -> dict[str, ScorePart]:
        """One model of all arms, asked about each."""
        arms = len(self.trial.actions)
        text = fit_trees(with_arm_columns(self.trial.design, arms, self.trial.arm), self.outcome, ROUNDS, self.seed)
        return {f"single-{a}": ScorePart(text, arms, a) for a in self.arms}

    @cached_property
    def crossed(self) -> dict[str, ScorePart]:
        """What each arm did beyond what the other's mean says of the same customers."""
        trial, found = self.trial, {}
        for a in self.arms[1:]:
            for side, mine, other in (("treated", a, 0), ("control", 0, a)):
                here = trial.arm == mine
                gap = self.outcome[here] - self.means[f"trees-{other}"].of(trial.design[here])
                effect = gap if side == "treated" else -gap
                text = fit_trees(trial.design[here], effect, GAP_ROUNDS, self.seed)
                found[f"crossed-{a}-{side}"] = ScorePart(text)
        return found

    @cached_property
    def robust(self) -> dict[str, ScorePart]:
        """Trees and ridge on doubly robust scores, whose means come from other customers."""
        trial, folds = self.trial, assign_folds(self.trial.units, INNER_FOLDS, self.seed, INNER_STREAM)
        psi = np.zeros((len(trial), len(trial.actions)))
        for fold in range(INNER_FOLDS):
            mine, others = folds == fold, trial.rows(folds != fold)
            learned = FittedLearners(_means(others, self.outcome[~mine], self.seed), {}, {})
            means = learned.means(learned.part_values(trial.design[mine]), len(self.arms))
            psi[mine] = doubly_robust_scores(trial.rows(mine), self.outcome[mine], means)
        found = {}
        for a in self.arms[1:]:
            here = trial.offered_in_round(a)
            design, label = trial.design[here], psi[here, a - 1]
            found[f"robust-{a}"] = ScorePart(fit_trees(design, label, EFFECT_ROUNDS, self.seed, EFFECT_TREES))
            found[f"robust-ridge-{a}"] = ScorePart(linear=fit_ridge(design, label))
        return found

    def _treated_share(self, a: int) -> float:
        """Of those with the action or the control, how many had the action."""
        treated, control = (self.trial.arm == a).sum(), (self.trial.arm == 0).sum()
        return float(treated / (treated + control))


def _means(trial: ExperimentData, outcome: np.ndarray, seed: int) -> dict[str, ScorePart]:
    found = {}
    for a in range(1 + len(trial.actions)):
        here = trial.arm == a
        found[f"trees-{a}"] = ScorePart(fit_trees(trial.design[here], outcome[here], ROUNDS, seed))
        found[f"ridge-{a}"] = ScorePart(linear=fit_ridge(trial.design[here], outcome[here]))
    return found


def assign_folds(units: np.ndarray, folds: int, seed: int, stream: int = 0) -> np.ndarray:
    """The fold (n,) of each entry: a customer's are all in one. Folds within folds are drawn from another stream.

    >>> folds = assign_folds(np.array([0, 0, 1, 1, 2, 3]), 2, seed=1)
    >>> bool((folds[0] == folds[1]) & (folds[2] == folds[3])), sorted(set(folds.tolist()))
    (True, [0, 1])
    """
    place = np.random.default_rng([seed, stream]).permutation(int(units.max()) + 1) % folds
    return np.asarray(place[units])
