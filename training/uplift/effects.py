"""What each action changes, and for whom: learned crosswise, weighed by what held, and believed only as far as it did.

Learners are judged on customers that they had not seen, by doubly robust scores. `gain` is the one figure that decides:
how much larger the effect is, found by those scores, for one spread more of what a learner says; saying so lowers the
doubly robust loss by its square. The learners together, weighed by the evidence for each, speak unless one alone is
better by more than a standard error. Whether effects differ at all is tested by their best linear predictor
(Chernozhukov, Demirer, Duflo and Fernandez-Val, Generic machine learning inference on heterogeneous treatment effects,
2018), where weighing and choosing of each fold is done by the others. Each pair of folds speaks twice, once each way,
and nearly the same: standard errors of a gain are therefore those of half as many pairs (`TWICE`). Without evidence the
average speaks for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.stats import norm

from features.errors import DataError
from training.artifact.uplift_bundle import EffectModel, LearnerVote, OutcomeModel, UpliftBundle
from training.uplift.experiment import ExperimentData
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
MIN_CUSTOMERS = 50  # customers of an arm
CLEARLY_BETTER = 1.0  # standard errors by which one learner alone must be better than all together
PAIRED_FOLDS_FACTOR = 2**0.5  # without it a fifth of the experiments whose effect is the same for all seemed to differ
SIGNIFICANCE = 0.05  # probability of seeing a difference between customers where there is none
TAIL_SHARE = 0.005  # of the sums that came: what lies beyond, on either side, counts as its edge where learners learn


@dataclass(frozen=True)
class EvaluatedEffect:
    """One action's effect on one outcome, on customers that the learners had not seen.

    Attributes:
        average: The effect on average, with its 95% interval.
        gain: Of the score, with its interval; `p_value`: of no gain.
        effect: What is believed.
        qini: Area over random, by customer, of ranking by what is said, with its interval.
        area: The same from doubly robust scores.
        predicted: Of each entry of the rounds that offered it (n,), by models that had not seen the customer.
        dr_scores: Doubly robust scores (n,).
        learners: learner, gain, error, weight: one row each, and one for all together.
        calibration: See `uplift_metrics.calibration`.
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
        """What follows from it, in words."""
        if self.effect.differs:
            return "the effect differs between customers: rank by it"
        if self.average.low > 0:
            return "no evidence that the effect differs between customers: treat all, or rank by value"
        if self.average.high < 0:
            return "it does harm, and no evidence that it differs between customers: treat none"
        return "no evidence of an effect, nor that it differs between customers: rank by value, if at all"


@dataclass(frozen=True)
class UpliftEstimates:
    """The model, and how it did for each outcome and action."""

    bundle: UpliftBundle
    evaluated: tuple[EvaluatedEffect, ...]


def estimate_effects(
    trial: ExperimentData,
    *,
    seed: int,
    folds: int = 5,
    resamples: int = 300,
    name: str = "",
    proportional: tuple[str, ...] = (),
) -> UpliftEstimates:
    """Learns the effect of each action on each outcome.

    Args:
        trial: Who got what, and what came of it.
        seed: The only source of randomness.
        folds: Of customers; each is judged by what learned from the others.
        resamples: Of customers, behind the intervals of areas.
        name: Of the business.
        proportional: Outcomes whose effect goes by the outcome without any action where nothing else is known (money).

    Raises:
        DataError: An arm has too few customers.
    """
    refuse_small_arms(trial)
    judged: list[EvaluatedEffect] = []
    outcomes = {}
    for outcome in trial.outcomes:
        money = outcome in proportional
        outcomes[outcome], found = _outcome(trial, outcome, money, seed, folds, resamples)
        judged += found
    return UpliftEstimates(UpliftBundle(name, trial.actions, trial.source, trial.columns, outcomes), tuple(judged))


def refuse_small_arms(trial: ExperimentData) -> None:
    """Refuses a trial with an arm from which nothing can be learned; raises DataError."""
    for arm, name in enumerate(("the control", *trial.actions)):
        count = len(np.unique(trial.units[trial.arm == arm]))
        if count < MIN_CUSTOMERS:
            raise DataError(
                f"arm {name!r} has {count} customers with a known outcome; at least {MIN_CUSTOMERS} are needed to "
                "estimate its effect: contact more of them, wait, or shorten [task] horizon"
            )


@dataclass(frozen=True)
class _Heard:
    """What the learners said of customers that they had not seen: scores (n, actions, learners), psi, means, folds."""

    scores: np.ndarray
    dr_scores: np.ndarray
    raw_dr_scores: np.ndarray
    means: np.ndarray
    folds: np.ndarray

    def rows(self, places: np.ndarray) -> _Heard:
        """Some entries."""
        return _Heard(*(getattr(self, f.name)[places] for f in fields(self)))


def _outcome(
    trial: ExperimentData, name: str, money: bool, seed: int, folds: int, resamples: int
) -> tuple[OutcomeModel, list[EvaluatedEffect]]:
    outcome = trial.outcomes[name]
    tame = trim_tails(outcome)
    heard = _hear(trial, tame, outcome, seed, folds)
    learned = fit_learners(trial, tame, seed)
    said = learned.part_values(trial.design)
    effects, judged = {}, []
    for place, action in enumerate(trial.actions):
        here = trial.offered_in_round(place + 1)
        scores = learned.scores(said, action)[here]
        found = _judge(trial.rows(here), name, place, heard.rows(here), scores, money, seed, resamples)
        effects[action] = found.effect
        judged.append(found)
    base = np.maximum(learned.means(said, 1)[:, 0], 0)
    return OutcomeModel(learned.parts, learned.learners, learned.base, float(base.mean()), effects, money), judged


def trim_tails(outcome: np.ndarray) -> np.ndarray:
    """Outcomes with the few largest and smallest sums drawn in, so that they do not drown all others.

    >>> trim_tails(np.array([0.0, 1.0, 1.0, 0.0])).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    came = outcome[outcome != 0]
    if not len(came):
        return outcome
    low, high = np.quantile(came, [TAIL_SHARE, 1 - TAIL_SHARE])
    return np.clip(outcome, min(low, 0.0), max(high, 0.0))


def _hear(trial: ExperimentData, tame: np.ndarray, outcome: np.ndarray, seed: int, folds: int) -> _Heard:
    arms_ = 1 + len(trial.actions)
    place = assign_folds(trial.units, folds, seed)
    scores, means = np.zeros((len(trial), arms_ - 1, len(LEARNERS))), np.zeros((len(trial), arms_))
    for fold in range(folds):
        mine = place == fold
        learned = fit_learners(trial.rows(~mine), tame[~mine], seed)
        said = learned.part_values(trial.design[mine])
        means[mine] = learned.means(said, arms_)
        for a, action in enumerate(trial.actions):
            scores[mine, a] = learned.scores(said, action)
    return _Heard(
        scores, doubly_robust_scores(trial, tame, means), doubly_robust_scores(trial, outcome, means), means, place
    )


def _judge(
    trial: ExperimentData,
    name: str,
    place: int,
    heard: _Heard,
    final: np.ndarray,
    money: bool,
    seed: int,
    resamples: int,
) -> EvaluatedEffect:
    units, psi, raw = (
        _codes(trial.units),
        _centred(heard.dr_scores[:, place], heard.folds),
        heard.raw_dr_scores[:, place],
    )
    each = _comparable(heard.scores[:, place], heard.folds)
    score, slopes = _crosswise(each, psi, units, heard.folds)
    gain, error = _gain(score, psi, units)
    p_value = float(norm.sf(gain / error)) if error > 0 else 1.0
    average, average_error = float(raw.mean()), clustered_standard_error(raw, units)
    weights = _weigh(each, psi, units)
    trust = max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0
    effect = EffectModel(average, average_error)
    said = _without_evidence(average, heard.means[:, 0], money)
    if p_value < SIGNIFICANCE:
        effect = EffectModel(average, average_error, gain * trust, error, _votes(weights, final))
        said = average + slopes * score
    receiving = np.isin(trial.arm, (0, place + 1))
    found = arm_outcomes(trial.outcomes[name][receiving], trial.arm[receiving] > 0, trial.received[receiving])
    mine = said[receiving]
    return EvaluatedEffect(
        outcome=name,
        action=trial.actions[place],
        average=_interval(average, average_error),
        gain=_interval(gain, error),
        p_value=p_value,
        effect=effect,
        qini=cluster_bootstrap(lambda at: qini_area(found.at(at), mine[at]), _codes(units[receiving]), resamples, seed),
        area=cluster_bootstrap(lambda at: doubly_robust_area(raw[at], said[at]), units, resamples, seed),
        predicted=said,
        dr_scores=raw,
        learners=_table(each, psi, units, weights),
        calibration=effect_calibration(raw, said, units),
        loss_reduction=_better(heard.dr_scores[:, place], said, units),
    )


def _without_evidence(average: float, base: np.ndarray, money: bool) -> np.ndarray:
    """The average for all or, of money, in proportion to what is expected without the action."""
    base = np.maximum(base, 0)
    return average * base / base.mean() if money and base.mean() > 0 else np.full(len(base), average)


def _crosswise(
    each: np.ndarray, psi: np.ndarray, units: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The score (n,) of each fold by the weights that the others gave, and how far those believed it (n,)."""
    score, slopes = np.zeros(len(psi)), np.zeros(len(psi))
    for fold in np.unique(folds):
        mine, others = folds == fold, folds != fold
        weights = _weigh(each[others], psi[others], units[others])
        score[mine] = each[mine] @ weights
        gain, error = _gain(each[others] @ weights, psi[others], units[others])
        slopes[mine] = gain * max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0
    return score, slopes


def _weigh(each: np.ndarray, psi: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Weights (learners,) that sum to 1: by the evidence for each, or one alone where it is clearly better."""
    found = [_gain(score, psi, units) for score in each.T]
    evidence = np.array([max(gain / error, 0.0) ** 2 if error > 0 else 0.0 for gain, error in found])
    if not evidence.any():
        return np.full(each.shape[1], 1 / each.shape[1])
    weights = evidence / evidence.sum()
    together = each @ weights
    alone = int(np.argmax([gain for gain, _ in found]))
    more = psi * (each[:, alone] - together / max(together.std(), 1e-12))
    if more.mean() > CLEARLY_BETTER * clustered_standard_error(more, units):
        weights = np.eye(each.shape[1])[alone]
    return weights


def _gain(score: np.ndarray, psi: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """Slope of the centred doubly robust scores on a score of mean 0, for one spread of it, and its standard error."""
    variance = float((score**2).mean())
    if variance < 1e-12:
        return 0.0, 0.0
    slope = float((score * psi).mean()) / variance
    return slope, PAIRED_FOLDS_FACTOR * clustered_standard_error(score * (psi - slope * score), units) / variance


def _centred(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    means = np.bincount(folds, values) / np.maximum(np.bincount(folds), 1)
    return np.asarray(values - means[folds])


def _comparable(scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Scores (n, learners) with mean 0 and spread 1 within each fold, which has learners of its own; 0 where alike."""
    found = np.zeros_like(scores)
    for fold in np.unique(folds):
        mine = folds == fold
        away = scores[mine] - scores[mine].mean(axis=0)
        spread = away.std(axis=0)
        found[mine] = np.divide(away, spread, out=np.zeros_like(away), where=spread > 1e-12)
    return found


def _votes(weights: np.ndarray, final: np.ndarray) -> dict[str, LearnerVote]:
    """The learners' weights, and the mean and spread of what each says of the trial's customers once it knows all."""
    return {
        name: LearnerVote(float(w), float(score.mean()), max(float(score.std()), 1e-12))
        for name, w, score in zip(LEARNERS, weights, final.T, strict=True)
        if w > 0
    }


def _table(each: np.ndarray, psi: np.ndarray, units: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    rows = [(name, score, float(w)) for name, score, w in zip(LEARNERS, each.T, weights, strict=True)]
    together = each @ weights
    rows.append((TOGETHER, together / max(together.std(), 1e-12), 1.0))
    table = [(name, *_gain(score, psi, units), weight) for name, score, weight in rows]
    return pd.DataFrame(table, columns=["learner", "gain", "error", "weight"])


def _better(psi: np.ndarray, said: np.ndarray, units: np.ndarray) -> float:
    """How far the loss of the average for all lies above that of what was said, in standard errors; 0 where alike."""
    if np.ptp(said) < 1e-12:
        return 0.0
    less = (psi - psi.mean()) ** 2 - (psi - psi.mean() - (said - said.mean())) ** 2
    error = clustered_standard_error(less, units)
    return float(less.mean() / error) if error > 0 else 0.0


def _interval(value: float, error: float) -> ConfidenceInterval:
    return ConfidenceInterval(value, value - 1.96 * error, value + 1.96 * error)


def _codes(units: np.ndarray) -> np.ndarray:
    return np.unique(units, return_inverse=True)[1]


def effect_figures(estimated: UpliftEstimates) -> pd.DataFrame:
    """Every figure with its interval: outcome, action, figure, value, low, high."""
    rows = []
    for one in estimated.evaluated:
        named: Mapping[str, ConfidenceInterval] = {
            "average": one.average, "gain": one.gain, "qini": one.qini, "doubly_robust_area": one.area
        }  # fmt: skip
        for figure, found in named.items():
            rows.append((one.outcome, one.action, figure, found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["outcome", "action", "figure", "value", "low", "high"])
