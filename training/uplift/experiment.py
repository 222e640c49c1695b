"""Data of an experiment as plain arrays: who received which action, with which probability, and the outcomes."""

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
RARE_ABSENCE = 1e-6  # if an arm is empty by chance with less probability than this, it was not part of the round
MAX_ERRORS = 5.0  # standard errors by which varying propensities may differ from the observed shares


@dataclass(frozen=True)
class ExperimentData:
    """Customers of an experiment: one entry for each round that a customer took part in.

    Attributes:
        design: Features known before (n, p), NaN if unknown.
        columns: Columns of the design.
        arm: Arm received (n,): 0 is the control, a the a-th action.
        propensity: Probability of each arm (n, 1 + actions), known or estimated; if only that of the arm received is
            known, NaN for the others.
        units: Customer of each entry as a code (n,); a customer's entries are always in the same fold.
        outcomes: Outcomes (n,) by name.
        actions: Names of the actions.
        shares: Shares of the entry's round that received each arm (n, 1 + actions); 0: not offered to the entry.
        rounds: Round (n,) of each entry as a number, oldest first; None: one round.
        source: 'measured' if arms were randomised with known probabilities, else 'observational'.
    """

    design: np.ndarray
    columns: tuple[DesignColumn, ...]
    arm: np.ndarray
    propensity: np.ndarray
    units: np.ndarray
    outcomes: dict[str, np.ndarray]
    actions: tuple[str, ...]
    shares: np.ndarray
    source: str = "measured"
    rounds: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.arm)

    @property
    def received(self) -> np.ndarray:
        """Return the probability (n,) of the arm received."""
        return self.propensity[np.arange(len(self)), self.arm]

    def offered_in_round(self, arm: int) -> np.ndarray:
        """Return whether each entry's round (n,) had both the arm and the control, so that it can show an effect."""
        return np.asarray((self.shares[:, arm] > 0) & (self.shares[:, 0] > 0))

    def rows(self, places: np.ndarray) -> ExperimentData:
        """Return some entries, by a mask or by positions."""
        outcomes = {name: values[places] for name, values in self.outcomes.items()}
        return ExperimentData(
            self.design[places], self.columns, self.arm[places], self.propensity[places], self.units[places],
            outcomes, self.actions, self.shares[places], self.source,
            None if self.rounds is None else self.rounds[places],
        )  # fmt: skip


def _probabilities(propensity: np.ndarray | None, arm: np.ndarray, n_arms: int) -> np.ndarray:
    """The probability of each arm (n, arms); NaN where it is not known."""
    given = np.full((len(arm), n_arms), np.nan) if propensity is None else np.asarray(propensity, float)
    if given.ndim == 2:
        return given
    probabilities = np.full((len(arm), n_arms), np.nan)
    probabilities[np.arange(len(arm)), arm] = given
    return probabilities


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
    """Build an experiment's data from plain columns.

    Args:
        features: Features known before, numbers and text (n rows).
        action: Action received (n,), `control` for none.
        outcomes: Outcomes (n,) by name.
        control: Name of the control arm.
        propensity: Probability of the action received (n,), or of each arm (n, 1 + actions) in the order control,
            actions; None if not known.
        customers: Ids (n,); None: each row is another customer.
        rounds: Round (n,) of each row, within which propensities sum to one; None: one round.
        actions: Names of the actions; empty: all in `action`, in alphabetical order.
        source: 'measured' or 'observational'.

    Returns:
        The data.

    Raises:
        DataError: An arm has nobody, or the probabilities are impossible (see
            `refuse_impossible_propensities`).
    """
    received = np.asarray(action, dtype=object).astype(str)
    names = tuple(actions) or tuple(sorted(set(received.tolist()) - {control}))
    arm = _arm_codes(received, (control, *names))
    n, n_arms = len(arm), 1 + len(names)
    probabilities = _probabilities(propensity, arm, n_arms)
    round_of = np.zeros(n, int) if rounds is None else np.asarray(rounds)
    if propensity is not None:
        refuse_impossible_propensities(probabilities, arm, round_of)
    units = np.arange(n) if customers is None else np.unique(np.asarray(customers), return_inverse=True)[1]
    columns = design_columns(features, units)
    values = {name: np.asarray(v, float) for name, v in outcomes.items()}
    codes = np.unique(round_of, return_inverse=True)[1]
    received_in_round = np.zeros((codes.max() + 1, n_arms))
    np.add.at(received_in_round, (codes, arm), 1)
    shares = received_in_round / received_in_round.sum(axis=1, keepdims=True)
    return ExperimentData(
        design_matrix(features, columns),
        columns,
        arm,
        probabilities,
        units,
        values,
        names,
        shares[codes],
        source,
        codes,
    )


def _arm_codes(received: np.ndarray, arms: tuple[str, ...]) -> np.ndarray:
    """The arm (n,) of each action received, as its position in `arms`; raises DataError if an arm has no customers."""
    if unknown := sorted(set(received.tolist()) - set(arms)):
        raise DataError(
            f"action {sample(unknown)} is none of {sample(arms, 20)}: add it to [uplift] actions, or leave such "
            "contacts out in [contacts] query"
        )
    order = np.argsort(arms)
    arm = order[np.searchsorted(arms, received, sorter=order)]
    if len(arms) == 1:
        raise DataError(
            f"every customer was in the control {arms[0]!r}: there is no action whose effect could be estimated"
        )
    if empty := [name for place, name in enumerate(arms) if not (arm == place).any()]:
        raise DataError(
            f"arm {sample(empty)} has no customers, so its effect cannot be measured: remove it, or wait for contacts"
        )
    return np.asarray(arm)


def refuse_impossible_propensities(propensity: np.ndarray, arm: np.ndarray, rounds: np.ndarray) -> None:
    """Refuse propensities that cannot be those of the randomisation.

    Within a round, the propensities of the arms sum to one. If they differ between customers of an arm, only that of
    the arm received is known for each customer; then the mean of its inverse is the number of arms, up to chance.

    Args:
        propensity: Propensity of each arm (n, 1 + actions); NaN if unknown.
        arm: Arm received (n,).
        rounds: Round (n,) of each entry.

    Raises:
        DataError: A propensity is unknown or not inside (0, 1), or those of a round do not sum to one.
    """
    received = propensity[np.arange(len(arm)), arm]
    wrong = received[~((received > 0) & (received < 1))]
    if len(wrong):
        shown = sample(sorted({float(round(v, 6)) for v in wrong}, key=str))
        raise DataError(
            f"{len(wrong):,} of {len(arm):,} contacts have a propensity that is not between 0 and 1 ({shown}); an "
            "action that was certain or has no known propensity was not randomised: leave such contacts out in "
            "[contacts] query"
        )
    for round_ in np.unique(rounds):
        here = rounds == round_
        _refuse_sum(received[here], arm[here], round_)


def _refuse_sum(received: np.ndarray, arm: np.ndarray, round_: object) -> None:
    by_arm = [received[arm == a] for a in np.unique(arm)]
    inverse, arms = 1 / received, len(by_arm)
    if all(np.ptp(one) < TOLERANCE for one in by_arm):
        total = sum(float(one.mean()) for one in by_arm)
        wrong, problem = abs(total - 1) > TOLERANCE * arms, f"sum to {total:.4g}"
        if total < 1:  # a rare arm may have had nobody
            wrong = wrong and total ** len(received) < RARE_ABSENCE
    else:
        total, error = float(inverse.mean()), float(inverse.std() / np.sqrt(len(inverse)))
        wrong = abs(total - arms) > MAX_ERRORS * error + TOLERANCE * arms
        problem = (
            f"do not fit the actions received: the mean of one over them is {total:.4g}, but there are {arms} arms"
        )
    if wrong:
        raise DataError(
            f"the propensities of the {arms} arms of the round {round_} {problem}; they must sum to one, with the "
            "control: check the column that [contacts] propensity names, and that contacts include the control's rows"
        )


def design_columns(features: pa.Table, units: np.ndarray) -> tuple[DesignColumn, ...]:
    """Return the columns of a design: numbers as they are, and for text an indicator of each common level."""
    n = features.num_rows
    zeros = np.zeros(n)
    ids = pa.chunked_array([pa.array(units)])
    levels = learn_levels(Sample(ids, zeros, features, zeros, zeros))
    columns: list[DesignColumn] = []
    for name in features.column_names:
        columns += [DesignColumn(name, level) for level in levels[name]] if name in levels else [DesignColumn(name)]
    return tuple(columns)
