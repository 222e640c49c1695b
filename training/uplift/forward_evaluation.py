"""Whether a model of effects holds on later rounds: against the average for all, and against the champion before it.

Judged by doubly robust loss: the squared distance of what is said of an effect from its doubly robust score, whose
mean is the effect whatever the score's own noise (Nie and Wager, Quasi-oracle estimation of heterogeneous treatment
effects, Biometrika 108, 2021, compare causal models by such losses).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from training.artifact.uplift_bundle import UpliftBundle
from training.uplift.effects import MIN_CUSTOMERS, EvaluatedEffect, UpliftEstimates, estimate_effects
from training.uplift.experiment import ExperimentData
from training.uplift.metrics import ConfidenceInterval, clustered_standard_error

MAX_FOLDS = 3  # of customers in the early part at most: it is learned once more only to be judged
MIN_LATE_SHARE = 0.2  # share of entries that a later part holds at least
EQUAL_ERRORS = 0.05  # standard errors below which two are called alike
AVERAGE_EFFECT = "the average effect for all"


@dataclass(frozen=True)
class ForwardComparison:
    """How much closer a model is to what came than another, for one action's effect on one outcome.

    Attributes:
        outcome, action: Whose effect.
        against: The other: the average effect for all, or the champion by its label.
        since: First day of the rounds that it was judged on.
        customers: Of these rounds.
        loss_difference: Doubly robust loss of the other model minus that of this model, with its 95% confidence
            interval; above 0, this model is better.
        standard_errors: The same in standard errors.
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
        """Whether the whole interval says that the other is better."""
        return self.loss_difference.high < 0

    def summary(self) -> str:
        """In words, for a terminal."""
        way = "nearer" if self.standard_errors > 0 else "farther"
        said = (
            "as near as"
            if abs(self.standard_errors) < EQUAL_ERRORS
            else f"{abs(self.standard_errors):.1f} standard errors {way} than"
        )
        return f"{said} {self.against} to what came of {self.customers:,} customers since {self.since}"


def evaluate_forward(
    trial: ExperimentData,
    cutoffs: np.ndarray,
    judged: Sequence[EvaluatedEffect],
    horizon: int,
    *,
    seed: int,
    folds: int,
    money: str,
) -> tuple[ForwardComparison, ...]:
    """Learns from early rounds alone, a horizon before the later ones, and judges by those against the average for all.

    Args:
        trial: Who got what, and what came of it.
        cutoffs: First day (n,) of each entry's round.
        judged: Of the whole trial, by customers.
        horizon: Days over which outcomes come.
        seed: The only source of randomness.
        folds: Of customers.
        money: The outcome whose effect goes by the outcome without any action.

    Returns:
        One for each outcome and action; none where there are too few rounds or customers to do so.
    """
    split = _split(trial, cutoffs, horizon)
    if split is None:
        return ()
    early, late = np.asarray(cutoffs + np.timedelta64(horizon, "D") <= split), cutoffs >= split
    learned = estimate_effects(
        trial.rows(early), seed=seed, folds=min(folds, MAX_FOLDS), resamples=2, proportional=(money,)
    ).bundle
    found = []
    for one, here in _offered(trial, judged):
        effect = learned.outcomes[one.outcome].effects[one.action]
        inside = late[here]
        said = learned.outcomes[one.outcome].predict(trial.design[here][inside])[one.action][0]
        flat = np.full(len(said), effect.average)
        found.append(_lead(one, AVERAGE_EFFECT, said, flat, trial.units[here], inside, split))
    return tuple(found)


def compare_with_champion(
    trial: ExperimentData,
    rows: pa.Table,
    cutoffs: np.ndarray,
    judged: Sequence[EvaluatedEffect],
    champion: UpliftBundle,
    label: str,
) -> tuple[ForwardComparison, ...]:
    """Judges by the rounds that the champion has not learned from: what it says, and what the new model says of them.

    The new model is asked by way of those that had not seen the customer.

    Args:
        trial: Who got what, and what came of it.
        rows: Their features (n rows).
        cutoffs: First day (n,) of each entry's round.
        judged: Of the new model, by customers.
        champion: The model before.
        label: Names it.

    Returns:
        One for each outcome and action that both know; none where there are no such rounds, or too few customers.
    """
    unseen = ~np.isin(cutoffs.astype(str), champion.facts["rounds"])
    known = unseen.any() and set(champion.features) <= set(rows.column_names)
    if not known or any(_customers(trial, unseen, arm) < MIN_CUSTOMERS for arm in range(1 + len(trial.actions))):
        return ()
    design, since, found = champion.design_matrix(rows), cutoffs[unseen].min(), []
    for one, here in _offered(trial, judged):
        inside = unseen[here]
        model = champion.outcomes.get(one.outcome)
        if model is None or one.action not in model.effects or not inside.any():
            continue
        theirs = model.predict(design[here][inside])[one.action][0]
        found.append(_lead(one, label, one.predicted[inside], theirs, trial.units[here], inside, since))
    return tuple(found)


def same_prediction_target(champion: UpliftBundle, made: UpliftEstimates) -> bool:
    """Whether two models foresee the same thing: outcomes over the same horizon, of the same kind of data."""
    mine, theirs = made.bundle, champion
    return mine.task["horizon"] == theirs.task["horizon"] and mine.source == theirs.source


def _split(trial: ExperimentData, cutoffs: np.ndarray, horizon: int) -> np.datetime64 | None:
    """The latest round from which on there is enough to judge by, and a horizon before which enough to learn from."""
    for day in np.unique(cutoffs)[::-1]:
        late, early = cutoffs >= day, cutoffs + np.timedelta64(horizon, "D") <= day
        if late.mean() < MIN_LATE_SHARE:
            continue
        arms = range(1 + len(trial.actions))
        if all(_customers(trial, part, arm) >= MIN_CUSTOMERS for part in (early, late) for arm in arms):
            return np.datetime64(day)
    return None


def _customers(trial: ExperimentData, part: np.ndarray, arm: int) -> int:
    return len(np.unique(trial.units[part & (trial.arm == arm)]))


def _offered(trial: ExperimentData, judged: Sequence[EvaluatedEffect]) -> Iterator[tuple[EvaluatedEffect, np.ndarray]]:
    """Each action's effect on an outcome, with the entries whose rounds offered it."""
    for one in judged:
        yield one, trial.offered_in_round(trial.actions.index(one.action) + 1)


def _lead(
    one: EvaluatedEffect,
    against: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    units: np.ndarray,
    inside: np.ndarray,
    since: object,
) -> ForwardComparison:
    """From what both say (m,) of the entries that are inside (n,), by the doubly robust scores of these."""
    psi, mine = one.dr_scores[inside], np.unique(units[inside], return_inverse=True)[1]
    less = (psi - theirs) ** 2 - (psi - ours) ** 2
    value, error = float(less.mean()), clustered_standard_error(less, mine)
    first = np.datetime64(since, "D").astype(date)  # type: ignore[call-overload]
    interval = ConfidenceInterval(value, value - 1.96 * error, value + 1.96 * error)
    return ForwardComparison(
        one.outcome, one.action, against, first, int(mine.max()) + 1, interval, value / error if error else 0.0
    )
