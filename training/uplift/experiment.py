"""Who got which action and what came of it, as plain arrays: what effects are learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.errors import DataError, sample
from training.artifact.uplift_bundle import DesignColumn, design_matrix
from training.data.category_levels import learn_levels
from training.data.time_split import Sample

TOLERANCE = 0.005  # of sums of propensities
RARE_ABSENCE = 1e-6  # probability below which an arm that had nobody in a round was not one of it
MAX_ERRORS = 5.0  # standard errors by which varying propensities may miss the shares that were found


@dataclass(frozen=True)
class ExperimentData:
    """Customers in trials, an entry each time that one was in a round.

    Attributes:
        design: What was known before (n, p), NaN where it was not.
        columns: Of the design.
        arm: What was received (n,): 0 nothing, a the a-th action.
        propensity: The probability of each arm (n, 1 + actions) where known or estimated; of a trial in which only that
            of the arm received is known, that one, and NaN elsewhere.
        units: The customer as a code (n,): all its entries are learned from, or judged on, together.
        outcomes: (n,) by name.
        actions: Their names.
        offered: Whether anybody of the entry's round got each arm (n, 1 + actions).
        source: 'measured' where the arms were drawn at random with known probabilities, else 'observational'.
    """

    design: np.ndarray
    columns: tuple[DesignColumn, ...]
    arm: np.ndarray
    propensity: np.ndarray
    units: np.ndarray
    outcomes: dict[str, np.ndarray]
    actions: tuple[str, ...]
    offered: np.ndarray
    source: str = "measured"

    def __len__(self) -> int:
        return len(self.arm)

    @property
    def received(self) -> np.ndarray:
        """The probability (n,) of the arm received."""
        return self.propensity[np.arange(len(self)), self.arm]

    def offered_in_round(self, arm: int) -> np.ndarray:
        """Whether the entry's round had both an action and the control (n,): else it says nothing of its effect."""
        return np.asarray(self.offered[:, arm] & self.offered[:, 0])

    def rows(self, places: np.ndarray) -> ExperimentData:
        """Some entries, by a mask or by places."""
        outcomes = {name: values[places] for name, values in self.outcomes.items()}
        return ExperimentData(
            self.design[places], self.columns, self.arm[places], self.propensity[places], self.units[places],
            outcomes, self.actions, self.offered[places], self.source,
        )  # fmt: skip


def experiment_from_columns(
    features: pa.Table,
    action: Sequence[str] | np.ndarray,
    outcomes: Mapping[str, np.ndarray],
    *,
    control: str,
    propensity: np.ndarray | None,
    customers: Sequence[str] | np.ndarray | None = None,
    rounds: np.ndarray | None = None,
    actions: Sequence[str] = (),
    source: str = "measured",
) -> ExperimentData:
    """A trial from plain columns.

    Args:
        features: What was known before, numbers and text (n rows).
        action: What was received (n,), `control` where nothing was.
        outcomes: (n,) by name.
        control: The name of doing nothing.
        propensity: Of the action received (n,), or of each arm (n, 1 + actions) in the order control, actions.
        customers: Ids (n,); None: each row is a customer of its own.
        rounds: The round (n,) of each row, within which probabilities sum to one; None: all rows are of one.
        actions: Names, besides the control; empty: those found, in alphabetical order.
        source: 'measured' or 'observational'.

    Raises:
        DataError: An arm has nobody, or the probabilities are impossible (see `refuse_impossible`).
    """
    received = np.asarray(action, dtype=object).astype(str)
    names = tuple(actions) or tuple(sorted(set(received.tolist()) - {control}))
    arms = (control, *names)
    if strange := sorted(set(received.tolist()) - set(arms)):
        raise DataError(f"action {sample(strange)} is none of {sample(arms, 20)}")
    arm = np.searchsorted(arms, received, sorter=np.argsort(arms))
    arm = np.argsort(arms)[arm]
    if not names:
        raise DataError(f"every customer was in the control {control!r}: there is no action to learn the effect of")
    if empty := [name for place, name in enumerate(arms) if not (arm == place).any()]:
        raise DataError(f"arm {sample(empty)} has no customers: its effect cannot be measured; take it out or wait")
    given = np.full((len(arm), len(arms)), np.nan) if propensity is None else np.asarray(propensity, float)
    if given.ndim == 1:
        wide = np.full((len(arm), len(arms)), np.nan)
        wide[np.arange(len(arm)), arm] = given
        given = wide
    when = np.zeros(len(arm), int) if rounds is None else np.asarray(rounds)
    if propensity is not None:
        refuse_impossible_propensities(given, arm, when)
    ids = np.arange(len(arm)) if customers is None else np.unique(np.asarray(customers), return_inverse=True)[1]
    columns = design_columns(features, ids)
    values = {name: np.asarray(v, float) for name, v in outcomes.items()}
    codes = np.unique(when, return_inverse=True)[1]
    there = np.zeros((codes.max() + 1, len(arms)), dtype=bool)
    there[codes, arm] = True
    return ExperimentData(
        design_matrix(features, columns), columns, arm, given, ids, values, names, there[codes], source
    )


def refuse_impossible_propensities(propensity: np.ndarray, arm: np.ndarray, rounds: np.ndarray) -> None:
    """Refuses probabilities that cannot be those by which arms were drawn.

    Within a round, those of the arms sum to one. Where they differ between customers of an arm, only the one received
    is known of each: then the mean of one over it is the number of arms, up to chance.

    Raises:
        DataError: One is unknown or not inside (0, 1), or those of a round do not sum to one.
    """
    received = propensity[np.arange(len(arm)), arm]
    wrong = received[~((received > 0) & (received < 1))]
    if len(wrong):
        shown = sample(sorted({float(round(v, 6)) for v in wrong}, key=str))
        raise DataError(
            f"{len(wrong):,} of {len(arm):,} contacts have a propensity that is not between 0 and 1 ({shown}): what is "
            "sure, or unknown, was not drawn at random; leave such contacts out in [contacts] query"
        )
    for round_ in np.unique(rounds):
        here = rounds == round_
        _refuse_sum(received[here], arm[here], round_)


def _refuse_sum(received: np.ndarray, arm: np.ndarray, round_: object) -> None:
    by_arm = [received[arm == a] for a in np.unique(arm)]
    inverse, arms = 1 / received, len(by_arm)
    if all(np.ptp(one) < TOLERANCE for one in by_arm):
        total = sum(float(one.mean()) for one in by_arm)
        wrong, found = abs(total - 1) > TOLERANCE * arms, f"sum to {total:.4g}"
        if total < 1:  # a rare arm may have had nobody
            wrong = wrong and total ** len(received) < RARE_ABSENCE
    else:
        total, error = float(inverse.mean()), float(inverse.std() / np.sqrt(len(inverse)))
        wrong = abs(total - arms) > MAX_ERRORS * error + TOLERANCE * arms
        found = f"do not fit who got what: one over them is {total:.4g} on average, and there are {arms} arms"
    if wrong:
        raise DataError(
            f"the propensities of the {arms} arms of the round {round_} {found}; they must sum to one, the control's "
            "included: check the column that [contacts] propensity names, and that the control's rows are in the log"
        )


def design_columns(features: pa.Table, units: np.ndarray) -> tuple[DesignColumn, ...]:
    """Numbers as they are, and for text an indicator of each level that enough customers have."""
    n = features.num_rows
    zeros = np.zeros(n)
    ids = pa.chunked_array([pa.array(units)])
    levels = learn_levels(Sample(ids, zeros, features, zeros, zeros))
    found: list[DesignColumn] = []
    for name in features.column_names:
        found += [DesignColumn(name, level) for level in levels[name]] if name in levels else [DesignColumn(name)]
    return tuple(found)
