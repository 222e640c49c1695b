"""Evaluation of an uplift model on later rounds: against the average effect for all, and against the champion.

The measure is doubly robust loss: the squared distance of a predicted effect from its doubly robust score, whose mean
is the effect however noisy the score is (Nie and Wager, Quasi-oracle estimation of heterogeneous treatment effects,
Biometrika 108, 2021, compare causal models by such losses).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa

from features.task import UTC_ZONE
from training.artifact.uplift_bundle import UpliftBundle
from training.uplift.effects import MIN_CUSTOMERS, EvaluatedEffect, UpliftEstimates, estimate_effects
from training.uplift.experiment import ExperimentData
from training.uplift.metrics import ConfidenceInterval, clustered_standard_error

MAX_FOLDS = 3  # for the model of the early rounds, which is fitted only for this evaluation
MIN_LATE_SHARE = 0.2  # least share of entries in the later rounds
EQUAL_ERRORS = 0.05  # standard errors up to which two models count as equally close
AVERAGE_EFFECT = "the average effect for all"


@dataclass(frozen=True)
class ForwardComparison:
    """How much closer a model is to later outcomes than another model, for one action's effect on one outcome.

    Attributes:
        outcome: Name of the outcome.
        action: Name of the action.
        against: The other model: the average effect for all, or the champion by its label.
        since: First day of the rounds of the evaluation.
        customers: Customers of these rounds.
        loss_difference: Doubly robust loss of the other model minus that of this model, with its 95% confidence
            interval; above 0, this model is better.
        standard_errors: The difference in standard errors.
    """

    outcome: str
    action: str
    against: str
    since: date
    customers: int
    loss_difference: ConfidenceInterval
    standard_errors: float

    @property
    def worse(self) -> bool:
        """Whether the other model is better over the entire confidence interval."""
        return self.loss_difference.high < 0

    def summary(self) -> str:
        """Return the comparison in words."""
        outcomes = f"the outcomes of {self.customers:,} customers since {self.since}"
        errors = f"{abs(self.standard_errors):.1f} standard errors"
        if abs(self.standard_errors) < EQUAL_ERRORS:
            return f"as close as {self.against} to {outcomes}"
        if self.standard_errors > 0:
            return f"{errors} closer than {self.against} to {outcomes}"
        return f"{errors} farther than {self.against} from {outcomes}"


def evaluate_forward(
    experiment: ExperimentData,
    cutoffs: np.ndarray,
    evaluated: Sequence[EvaluatedEffect],
    ends: np.ndarray,
    known_then: Callable[[date], Mapping[str, np.ndarray]],
    *,
    seed: int,
    folds: int,
    money: str,
) -> tuple[ForwardComparison, ...]:
    """Fit on early entries alone, and compare on later rounds with the average effect for all.

    The outcomes of the early entries were complete when the later rounds began, and are those that were known then.

    Args:
        experiment: Who received what, and the outcomes.
        cutoffs: First day (n,) of each entry's round.
        evaluated: The effects of the full experiment, with their doubly robust scores.
        ends: First day (n,) after the interval of each entry's outcomes.
        known_then: Returns the outcomes (n,) by name as known before a round began.
        seed: The only source of randomness.
        folds: Number of folds of customers.
        money: The outcome whose effect is proportional to the outcome without any action.

    Returns:
        One comparison for each outcome and action; none if there are too few rounds or customers.
    """
    split = _split_day(experiment, cutoffs, ends)
    if split is None:
        return ()
    early, late = np.asarray(ends <= split), cutoffs >= split
    known = replace(experiment, outcomes=dict(known_then(split.astype(date))))
    model = estimate_effects(
        known.rows(early), seed=seed, folds=min(folds, MAX_FOLDS), resamples=2, proportional=(money,), hierarchical=True
    ).bundle
    comparisons = []
    for one, here in _with_offered_entries(experiment, evaluated):
        effect = model.outcomes[one.outcome].effects[one.action]
        inside = late[here]
        predicted = model.outcomes[one.outcome].predict(experiment.design[here][inside], model.columns)[one.action][0]
        average = np.full(len(predicted), effect.average)
        comparisons.append(_comparison(one, AVERAGE_EFFECT, predicted, average, experiment.units[here], inside, split))
    return tuple(comparisons)


def compare_with_champion(
    experiment: ExperimentData,
    rows: pa.Table,
    cutoffs: np.ndarray,
    evaluated: Sequence[EvaluatedEffect],
    champion: UpliftBundle,
    label: str,
) -> tuple[ForwardComparison, ...]:
    """Compare the new model with the champion on the rounds that the champion was not fitted on.

    Predictions of the new model are the cross-fitted ones, by models not fitted on the customer.

    Args:
        experiment: Who received what, and the outcomes.
        rows: Features of the entries (n rows).
        cutoffs: First day (n,) of each entry's round.
        evaluated: The effects of the new model, with predictions and doubly robust scores.
        champion: The champion's bundle.
        label: Name of the champion in texts.

    Returns:
        One comparison for each outcome and action that both models have; none if there are no such rounds, or too few
        customers.
    """
    unseen = ~np.isin(cutoffs.astype(str), champion.facts["rounds"])
    known = unseen.any() and set(champion.features) <= set(rows.column_names)
    arms = range(1 + len(experiment.actions))
    if not known or any(_count_customers(experiment, unseen, arm) < MIN_CUSTOMERS for arm in arms):
        return ()
    design, since, comparisons = champion.design_matrix(rows), cutoffs[unseen].min(), []
    for one, here in _with_offered_entries(experiment, evaluated):
        inside = unseen[here]
        model = champion.outcomes.get(one.outcome)
        if model is None or one.action not in model.effects or not inside.any():
            continue
        theirs = model.predict(design[here][inside])[one.action][0]
        comparisons.append(
            _comparison(one, label, one.predicted[inside], theirs, experiment.units[here], inside, since)
        )
    return tuple(comparisons)


def same_prediction_target(champion: UpliftBundle, estimates: UpliftEstimates) -> bool:
    """Return whether two models predict the same: outcomes over the same horizon, from the same kind of data."""
    ours = estimates.bundle
    same_days = ours.task.get("timezone", UTC_ZONE) == champion.task.get("timezone", UTC_ZONE)
    return same_days and ours.task["horizon"] == champion.task["horizon"] and ours.source == champion.source


def _split_day(experiment: ExperimentData, cutoffs: np.ndarray, ends: np.ndarray) -> np.datetime64 | None:
    """The latest round that leaves enough customers from it on, and enough whose outcomes end by it; else None."""
    for day in np.unique(cutoffs)[::-1]:
        late, early = cutoffs >= day, ends <= day
        if late.mean() < MIN_LATE_SHARE:
            continue
        arms = range(1 + len(experiment.actions))
        if all(_count_customers(experiment, part, arm) >= MIN_CUSTOMERS for part in (early, late) for arm in arms):
            return np.datetime64(day, "D")
    return None


def _count_customers(experiment: ExperimentData, part: np.ndarray, arm: int) -> int:
    return len(np.unique(experiment.units[part & (experiment.arm == arm)]))


def _with_offered_entries(
    experiment: ExperimentData, evaluated: Sequence[EvaluatedEffect]
) -> Iterator[tuple[EvaluatedEffect, np.ndarray]]:
    """Each effect, with the entries (n,) whose rounds offered the action."""
    for one in evaluated:
        yield one, experiment.offered_in_round(experiment.actions.index(one.action) + 1)


def _comparison(
    one: EvaluatedEffect,
    against: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    units: np.ndarray,
    inside: np.ndarray,
    since: object,
) -> ForwardComparison:
    """Comparison of two models' predictions (m,) for the entries inside (n,), by their doubly robust scores."""
    psi, codes = one.dr_scores[inside], np.unique(units[inside], return_inverse=True)[1]
    difference = (psi - theirs) ** 2 - (psi - ours) ** 2
    value, error = float(difference.mean()), clustered_standard_error(difference, codes)
    first = np.datetime64(since, "D").astype(date)  # type: ignore[call-overload]
    interval = ConfidenceInterval.of_estimate(value, error)
    return ForwardComparison(
        one.outcome, one.action, against, first, int(codes.max()) + 1, interval, value / error if error else 0.0
    )
