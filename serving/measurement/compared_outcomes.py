"""What a measurement compares: the customers assigned to an action, their outcomes, and what was known before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.measurement.executed_plan import VALUE, ExecutedPlan
from serving.statistics.randomisation import DRAWS, remove_covariates
from serving.statistics.treatment_effect import TreatmentEffect, count_up_to_cap, treatment_effects

RISK = "churn_probability"


@dataclass(frozen=True)
class ComparedOutcomes:
    """The outcomes (n, o) of a plan's customers, as they are compared.

    Attributes:
        inside: Which customers (n,) are compared: those of actions with customers on both sides.
        treated: Whether each customer (n,) is in the treatment group, else in the holdout.
        stratum: The action (n,) within which each customer was held out at random; in an experiment the segment.
        counted: The outcomes, value only up to its cap.
        adjusted: `counted` less what covariates explain, with one slope for all.
        plain: The outcomes as they are.
        design: Covariates (n, k) of the adjusted outcomes.
        caps: The cap of each outcome that has one.
        seed: Seed of the assignments that are drawn for comparison.
        draws: How many are drawn.
    """

    inside: np.ndarray
    treated: np.ndarray
    stratum: np.ndarray
    counted: np.ndarray
    adjusted: np.ndarray
    plain: np.ndarray
    design: np.ndarray
    caps: dict[str, float]
    seed: int
    draws: int

    def overall(self) -> list[TreatmentEffect]:
        """Return the effects on everybody: each outcome adjusted, then each outcome plain."""
        none = np.empty((len(self.inside), 0))
        return [
            effect
            for columns, covariates in ((self.counted, self.design), (self.plain, none))
            for effect in self._effects(columns, covariates, self.inside)
        ]

    def of_group(self, inside: np.ndarray) -> list[TreatmentEffect]:
        """Return the effects on some customers (n,), in the same order."""
        return self._effects(np.column_stack([self.adjusted, self.plain]), np.empty((len(inside), 0)), inside)

    def group_sizes(self, inside: np.ndarray) -> tuple[int, int]:
        """Return how many of some customers (n,) are treated and held out, in strata that have both."""
        strata = [set(self.stratum[inside & side].tolist()) for side in (self.treated, ~self.treated)]
        both = inside & np.isin(self.stratum, list(strata[0] & strata[1]))
        return int((both & self.treated).sum()), int((both & ~self.treated).sum())

    def _effects(self, columns: np.ndarray, covariates: np.ndarray, inside: np.ndarray) -> list[TreatmentEffect]:
        return treatment_effects(
            columns[inside], self.treated[inside], covariates[inside], self.stratum[inside], self.seed, self.draws
        )


def compare_outcomes(executed: ExecutedPlan, draws: int = DRAWS) -> ComparedOutcomes:
    """Prepare the outcomes of an executed plan, without regard to who was held out.

    Args:
        executed: The plan.
        draws: How many assignments are drawn for comparison.

    Returns:
        The outcomes.
    """
    inside, stratum = _comparable(executed)
    design, caps = _design(executed, inside), dict[str, float]()
    plain = np.column_stack(list(executed.outcomes.values()))
    counted = plain.copy()
    for place, name in enumerate(executed.outcomes):
        if name == VALUE:
            counted[inside, place], cap = count_up_to_cap(plain[inside, place])
            caps |= {name: cap} if np.isfinite(cap) else {}
    adjusted = counted.copy()
    adjusted[inside] = remove_covariates(counted[inside], design[inside], stratum[inside])
    seed = int(executed.plan.manifest.holdout["seed"])
    return ComparedOutcomes(inside, ~executed.held_out, stratum, counted, adjusted, plain, design, caps, seed, draws)


def _comparable(executed: ExecutedPlan) -> tuple[np.ndarray, np.ndarray]:
    """Which customers (n,) are compared, and the stratum (n,) of each.

    If no action has customers on both sides, everybody assigned to any action is compared. An experiment's arms are
    compared within segments, within which they were assigned.
    """
    assigned = executed.assigned
    if executed.experiment:
        return executed.treated | executed.control, np.unique(executed.segment, return_inverse=True)[1]
    both = [
        place for place in range(len(executed.actions)) if len(set(executed.held_out[assigned == place].tolist())) == 2
    ]
    return (np.isin(assigned, both), assigned) if both else (assigned >= 0, np.zeros(len(assigned), int))


def _design(executed: ExecutedPlan, inside: np.ndarray) -> np.ndarray:
    """Covariates and, of those that have a tail, their logarithms (n, k), in units of a usual customer inside."""
    columns = []
    for name, values in zip(executed.covariate_names, executed.covariates.T, strict=True):
        columns.append(values)
        usual = np.abs(values[inside & (values != 0)])
        if name != RISK and len(usual):
            columns.append(np.sign(values) * np.log1p(np.abs(values) / np.median(usual)))
    return np.column_stack(columns)
