"""Effect of each action for each customer: estimated with cross-fitting, and used only as far as evidence supports it.

Learners are evaluated on customers that they were not fitted on, by doubly robust scores. One figure decides, `gain`:
how much larger the effect is, by those scores, for one standard deviation more of a learner's score; using the score
lowers the doubly robust loss by the square of the gain. The learners are combined, weighted by the evidence for each,
unless one alone is better by more than a standard error. Whether effects differ between customers at all is tested by
their best linear predictor (Chernozhukov, Demirer, Duflo and Fernandez-Val, Generic machine learning inference on
heterogeneous treatment effects, 2018); the weights for each fold come from the other folds. Each pair of folds counts
twice, once in each direction, with nearly the same result: standard errors of a gain are therefore those of half as
many pairs (`PAIRED_FOLDS_FACTOR`). Without evidence, every customer gets the average effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from features.errors import DataError
from training.artifact.hierarchical_effects import HierarchicalEffects
from training.artifact.uplift_bundle import EffectModel, LearnerVote, OutcomeModel, UpliftBundle, named_columns
from training.uplift.experiment import ExperimentData
from training.uplift.hierarchical import average_effect, cross_fitted_effects, fit_hierarchical, hierarchical_wins
from training.uplift.meta_learners import LEARNERS, assign_folds, doubly_robust_scores, fit_learners
from training.uplift.metrics import (
    ConfidenceInterval,
    arm_outcomes,
    cluster_bootstrap,
    clustered_standard_error,
    doubly_robust_area,
    effect_calibration,
    qini_area,
)

TOGETHER = "together"
MIN_CUSTOMERS = 50  # in each arm
CLEARLY_BETTER = 1.0  # standard errors by which one learner alone must beat the combined ones
PAIRED_FOLDS_FACTOR = 2**0.5  # without it, a fifth of simulated experiments with equal effects seemed to differ
SIGNIFICANCE = 0.05  # level of the test that effects differ between customers
TAIL_SHARE = 0.005  # share of the non-zero sums on either side that is clipped before learners are fitted


@dataclass(frozen=True)
class EvaluatedEffect:
    """One action's effect on one outcome, evaluated on customers that the learners were not fitted on.

    Attributes:
        outcome: Name of the outcome.
        action: Name of the action.
        average: Average effect, with its 95% confidence interval.
        gain: Gain of the score, with its interval.
        p_value: Of the test that there is no gain.
        effect: The effect that the model predicts with.
        qini: Area between the Qini curve of ranking by the prediction and random targeting, per customer.
        area: The same from doubly robust scores.
        predicted: Effect (n,) of each entry whose round offered the action, by models not fitted on the customer.
        dr_scores: Doubly robust scores (n,).
        learners: learner, gain, error, weight: one row each, and one for all together.
        calibration: See `metrics.effect_calibration`.
        loss_reduction: How much lower the doubly robust loss is than that of the average effect for all, in standard
            errors.
    """

    outcome: str
    action: str
    average: ConfidenceInterval
    gain: ConfidenceInterval
    p_value: float
    effect: EffectModel
    qini: ConfidenceInterval
    area: ConfidenceInterval
    predicted: np.ndarray
    dr_scores: np.ndarray
    learners: pd.DataFrame
    calibration: pd.DataFrame
    loss_reduction: float

    @property
    def verdict(self) -> str:
        """Return the conclusion in words."""
        if self.effect.hierarchical:
            return "effects as shares of the forecast, by the hierarchical model: rank customers by them"
        if self.effect.differs:
            return "the effect differs between customers: rank customers by it"
        if self.average.low > 0:
            return "no evidence that the effect differs between customers: treat all, or rank by value"
        if self.average.high < 0:
            return "the action does harm, and no evidence that this differs between customers: treat none"
        return "no evidence of an effect, nor that it differs between customers: rank by value, if at all"


@dataclass(frozen=True)
class UpliftEstimates:
    """A fitted uplift model, and its evaluation for each outcome and action."""

    bundle: UpliftBundle
    evaluated: tuple[EvaluatedEffect, ...]


def estimate_effects(
    experiment: ExperimentData,
    *,
    seed: int,
    folds: int = 5,
    resamples: int = 300,
    name: str = "",
    proportional: tuple[str, ...] = (),
    hierarchical: bool = False,
) -> UpliftEstimates:
    """Estimate the effect of each action on each outcome.

    Args:
        experiment: Who received what, and the outcomes.
        seed: The only source of randomness.
        folds: Number of folds of customers for cross-fitting.
        resamples: Bootstrap resamples of customers for the intervals of areas.
        name: Name of the business.
        proportional: Outcomes (money) whose effect, without evidence that it differs, is the same share of the outcome
            without any action for all customers.
        hierarchical: Whether effects are those of the hierarchical model, unless learners are clearly better.

    Returns:
        The model and its evaluation.

    Raises:
        DataError: An arm has too few customers.
    """
    refuse_small_arms(experiment)
    evaluated: list[EvaluatedEffect] = []
    outcomes = {}
    for outcome in experiment.outcomes:
        is_proportional = outcome in proportional
        outcomes[outcome], of_outcome = _estimate_outcome(
            experiment, outcome, is_proportional, seed, folds, resamples, hierarchical
        )
        evaluated += of_outcome
    bundle = UpliftBundle(name, experiment.actions, experiment.source, experiment.columns, outcomes)
    return UpliftEstimates(bundle, tuple(evaluated))


def refuse_small_arms(experiment: ExperimentData) -> None:
    """Refuse an experiment with an arm of too few customers; raise DataError."""
    for arm, name in enumerate(("the control", *experiment.actions)):
        count = len(np.unique(experiment.units[experiment.arm == arm]))
        if count < MIN_CUSTOMERS:
            raise DataError(
                f"arm {name!r} has {count} customers with a known outcome; at least {MIN_CUSTOMERS} are needed to "
                "estimate its effect: contact more of them, wait, or shorten [task] horizon"
            )


@dataclass(frozen=True)
class _OutOfFold:
    """Predictions for customers by learners that were not fitted on them.

    Attributes:
        scores: Scores (n, actions, learners).
        dr_scores: Doubly robust scores (n, actions) of clipped outcomes.
        raw_dr_scores: The same of outcomes as they are.
        means: Mean outcome (n, arms).
        folds: Fold (n,) of each entry.
    """

    scores: np.ndarray
    dr_scores: np.ndarray
    raw_dr_scores: np.ndarray
    means: np.ndarray
    folds: np.ndarray

    def rows(self, places: np.ndarray) -> _OutOfFold:
        """Return some entries."""
        return _OutOfFold(*(getattr(self, f.name)[places] for f in fields(self)))


def _estimate_outcome(
    experiment: ExperimentData, name: str, proportional: bool, seed: int, folds: int, resamples: int, hierarchical: bool
) -> tuple[OutcomeModel, list[EvaluatedEffect]]:
    outcome = experiment.outcomes[name]
    out_of_fold = _cross_fit(experiment, clipped := trim_tails(outcome), outcome, seed, folds)
    fitted = fit_learners(experiment, clipped, seed)
    parts = fitted.part_values(experiment.design)
    effects, evaluated = {}, []
    base = out_of_fold.means[:, 0]
    posterior = fit_hierarchical(experiment, clipped, base) if hierarchical else None
    others = cross_fitted_effects(experiment, clipped, base, out_of_fold.folds) if hierarchical else None
    for place, action in enumerate(experiment.actions):
        here = experiment.offered_in_round(place + 1)
        final_scores = fitted.scores(parts, action)[here]
        one = _evaluate_action(
            experiment.rows(here), name, place, out_of_fold.rows(here), final_scores, proportional, seed, resamples
        )
        if posterior is not None and others is not None:
            one = _or_hierarchical(one, posterior, others[here, place], experiment.rows(here), base[here])
        effects[action] = one.effect
        evaluated.append(one)
    base = np.maximum(fitted.means(parts, 1)[:, 0], 0)
    model = OutcomeModel(
        fitted.parts, fitted.learners, fitted.base, float(base.mean()), effects, proportional, posterior
    )
    return model, evaluated


def _or_hierarchical(
    one: EvaluatedEffect, posterior: HierarchicalEffects, effects: np.ndarray, experiment: ExperimentData,
    base: np.ndarray,
) -> EvaluatedEffect:  # fmt: skip
    """The effect by the hierarchical model, unless learners found a difference and have the lower loss."""
    units = _codes(experiment.units)
    if one.effect.differs and not hierarchical_wins(one.dr_scores, effects, one.predicted):
        return one
    columns = named_columns(experiment.design, experiment.columns)
    average, error = average_effect(posterior, one.action, columns, base)
    effect = EffectModel(average, error, gain=one.effect.gain, gain_error=one.effect.gain_error, hierarchical=True)
    return replace(
        one, effect=effect, predicted=effects, calibration=effect_calibration(one.dr_scores, effects, units),
        loss_reduction=_loss_reduction(one.dr_scores, effects, units),
    )  # fmt: skip


def trim_tails(outcome: np.ndarray) -> np.ndarray:
    """Return outcomes (n,) with the few largest and smallest sums clipped, so that they do not dominate the fit.

    >>> trim_tails(np.array([0.0, 1.0, 1.0, 0.0])).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    nonzero = outcome[outcome != 0]
    if not len(nonzero):
        return outcome
    low, high = np.quantile(nonzero, [TAIL_SHARE, 1 - TAIL_SHARE])
    return np.clip(outcome, min(low, 0.0), max(high, 0.0))


def _cross_fit(
    experiment: ExperimentData, clipped: np.ndarray, outcome: np.ndarray, seed: int, folds: int
) -> _OutOfFold:
    n_arms = 1 + len(experiment.actions)
    fold_of = assign_folds(experiment.units, folds, seed)
    scores = np.zeros((len(experiment), n_arms - 1, len(LEARNERS)))
    means = np.zeros((len(experiment), n_arms))
    for fold in range(folds):
        inside = fold_of == fold
        fitted = fit_learners(experiment.rows(~inside), clipped[~inside], seed)
        parts = fitted.part_values(experiment.design[inside])
        means[inside] = fitted.means(parts, n_arms)
        for a, action in enumerate(experiment.actions):
            scores[inside, a] = fitted.scores(parts, action)
    return _OutOfFold(
        scores,
        doubly_robust_scores(experiment, clipped, means),
        doubly_robust_scores(experiment, outcome, means),
        means,
        fold_of,
    )


def _evaluate_action(
    experiment: ExperimentData, name: str, place: int, out_of_fold: _OutOfFold, final: np.ndarray, proportional: bool,
    seed: int, resamples: int,
) -> EvaluatedEffect:  # fmt: skip
    """Evaluate an action on the entries of rounds that offered it; `final`: scores by learners fitted on all."""
    units, folds, raw = _codes(experiment.units), out_of_fold.folds, out_of_fold.raw_dr_scores[:, place]
    psi, each = _centred(out_of_fold.dr_scores[:, place], folds), _standardised(out_of_fold.scores[:, place], folds)
    score, slopes = _cross_fitted_score(each, psi, units, folds)
    gain, error = _gain(score, psi, units)
    p_value = float(norm.sf(gain / error)) if error > 0 else 1.0
    average, average_error = float(raw.mean()), clustered_standard_error(raw, units)
    weights = _learner_weights(each, psi, units)
    effect = EffectModel(average, average_error, gain=gain, gain_error=error)
    predicted = _effect_without_evidence(average, out_of_fold.means[:, 0], proportional)
    if p_value < SIGNIFICANCE:
        shrinkage = max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0
        effect = EffectModel(average, average_error, gain * shrinkage, error, _votes(weights, final), gain, error)
        predicted = average + slopes * score
    receiving = np.isin(experiment.arm, (0, place + 1))
    outcomes = arm_outcomes(
        experiment.outcomes[name][receiving], experiment.arm[receiving] > 0, experiment.received[receiving]
    )
    ranking = predicted[receiving]
    return EvaluatedEffect(
        outcome=name,
        action=experiment.actions[place],
        average=ConfidenceInterval.of_estimate(average, average_error),
        gain=ConfidenceInterval.of_estimate(gain, error),
        p_value=p_value,
        effect=effect,
        qini=cluster_bootstrap(
            lambda at: qini_area(outcomes.at(at), ranking[at]), _codes(units[receiving]), resamples, seed
        ),
        area=cluster_bootstrap(lambda at: doubly_robust_area(raw[at], predicted[at]), units, resamples, seed),
        predicted=predicted,
        dr_scores=raw,
        learners=_learner_table(each, psi, units, weights),
        calibration=effect_calibration(raw, predicted, units),
        loss_reduction=_loss_reduction(out_of_fold.dr_scores[:, place], predicted, units),
    )


def _effect_without_evidence(average: float, base: np.ndarray, proportional: bool) -> np.ndarray:
    """The average effect for all, or in proportion to the outcome expected without any action."""
    base = np.maximum(base, 0)
    return average * base / base.mean() if proportional and base.mean() > 0 else np.full(len(base), average)


def _cross_fitted_score(
    each: np.ndarray, psi: np.ndarray, units: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Combined score (n,), with weights for each fold from the other folds, and its shrunken slope there (n,)."""
    score, slopes = np.zeros(len(psi)), np.zeros(len(psi))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        weights = _learner_weights(each[outside], psi[outside], units[outside])
        score[inside] = each[inside] @ weights
        gain, error = _gain(each[outside] @ weights, psi[outside], units[outside])
        slopes[inside] = gain * max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0
    return score, slopes


def _learner_weights(each: np.ndarray, psi: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Weights (learners,) that sum to 1: by the evidence for each, or one learner alone if it is clearly better."""
    gains = [_gain(score, psi, units) for score in each.T]
    evidence = np.array([max(gain / error, 0.0) ** 2 if error > 0 else 0.0 for gain, error in gains])
    if not evidence.any():
        return np.full(each.shape[1], 1 / each.shape[1])
    weights = evidence / evidence.sum()
    together = each @ weights
    best = int(np.argmax([gain for gain, _ in gains]))
    advantage = psi * (each[:, best] - together / max(together.std(), 1e-12))
    if advantage.mean() > CLEARLY_BETTER * clustered_standard_error(advantage, units):
        weights = np.eye(each.shape[1])[best]
    return weights


def _gain(score: np.ndarray, psi: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Slope of centred doubly robust scores on a centred score, per standard deviation, and its standard error."""
    variance = float((score**2).mean())
    if variance < 1e-12:
        return 0.0, 0.0
    slope = float((score * psi).mean()) / variance
    return slope, PAIRED_FOLDS_FACTOR * clustered_standard_error(score * (psi - slope * score), units) / variance


def _centred(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    means = np.bincount(folds, values) / np.maximum(np.bincount(folds), 1)
    return np.asarray(values - means[folds])


def _standardised(scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Scores (n, learners) with mean 0 and standard deviation 1 in each fold, which has its own learners."""
    standardised = np.zeros_like(scores)
    for fold in np.unique(folds):
        inside = folds == fold
        centred = scores[inside] - scores[inside].mean(axis=0)
        spread = centred.std(axis=0)
        standardised[inside] = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
    return standardised


def _votes(weights: np.ndarray, final: np.ndarray) -> dict[str, LearnerVote]:
    """Weights of the learners, with mean and standard deviation of the scores by learners fitted on all customers."""
    return {
        name: LearnerVote(float(w), float(score.mean()), max(float(score.std()), 1e-12))
        for name, w, score in zip(LEARNERS, weights, final.T, strict=True)
        if w > 0
    }


def _learner_table(each: np.ndarray, psi: np.ndarray, units: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    rows = [(name, score, float(w)) for name, score, w in zip(LEARNERS, each.T, weights, strict=True)]
    together = each @ weights
    rows.append((TOGETHER, together / max(together.std(), 1e-12), 1.0))
    table = [(name, *_gain(score, psi, units), weight) for name, score, weight in rows]
    return pd.DataFrame(table, columns=["learner", "gain", "error", "weight"])


def _loss_reduction(psi: np.ndarray, predicted: np.ndarray, units: np.ndarray) -> float:
    """Doubly robust loss of the average for all minus that of the predictions, in standard errors; 0 if equal."""
    if np.ptp(predicted) < 1e-12:
        return 0.0
    difference = (psi - psi.mean()) ** 2 - (psi - psi.mean() - (predicted - predicted.mean())) ** 2
    error = clustered_standard_error(difference, units)
    return float(difference.mean() / error) if error > 0 else 0.0


def _codes(units: np.ndarray) -> np.ndarray:
    return np.unique(units, return_inverse=True)[1]


def effect_figures(estimates: UpliftEstimates) -> pd.DataFrame:
    """Return every figure with its interval: outcome, action, figure, value, low, high."""
    rows = []
    for one in estimates.evaluated:
        intervals: Mapping[str, ConfidenceInterval] = {
            "average": one.average, "gain": one.gain, "qini": one.qini, "doubly_robust_area": one.area
        }  # fmt: skip
        for figure, interval in intervals.items():
            rows.append((one.outcome, one.action, figure, interval.value, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["outcome", "action", "figure", "value", "low", "high"])
