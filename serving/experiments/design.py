"""The sizes of an experiment's arms by power, what they can detect, and the random assignment within strata.

The arms have the same size, unless a capacity is below it: so many customers that each comparison detects its target
difference in the return rate with the power POWER, by the method that measures the experiment (`power`). The target is
what the user asks for, else the difference that is expected of the actions, else DETECT. Eligible customers, capacities
and the budget may allow fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.errors import RefusedError
from serving.experiments.arms import NOTHING, ExperimentArms
from serving.experiments.contrasts import INTERACTION, MAIN_EFFECT, PAIR, Contrast, list_contrasts
from serving.experiments.power import ALPHA, OutcomeMoments, PowerAnalysis, analyse_power, simulate_moments

DETECT = 0.05  # difference in the return rate, where none is expected
FEWEST = 10  # customers in an arm; fewer say nothing of the tail of a skewed outcome, nor of a rate near 0 or 1
SAMPLED = 20_000  # customers by whom outcomes are simulated
GIVEN, EXPECTED, DEFAULT = "given", "expected", "default"  # where the target comes from


@dataclass(frozen=True)
class ScoredCustomers:
    """The customers who may get every arm (n).

    Attributes:
        churn_probability, value, value_at_risk: Their scores (n,); value is nan if the log has no money.
        effects: (n, a) what the action of each arm is expected to change in the probability of returning; nan if
            unknown.
        spread: Relative variance of buyers' spend; None if unknown.
    """

    churn_probability: np.ndarray
    value: np.ndarray
    value_at_risk: np.ndarray
    effects: np.ndarray
    spread: float | None

    def __len__(self) -> int:
        return len(self.churn_probability)


@dataclass(frozen=True)
class ArmLimits:
    """What limits the sizes of the arms with an action.

    Attributes:
        costs: (a,) for each customer of the arm.
        capacities: (a,) most customers of each arm; infinite if there is no limit.
        budget: Most money to spend; infinite if there is no limit.
    """

    costs: np.ndarray
    capacities: np.ndarray
    budget: float


@dataclass(frozen=True)
class ExperimentDesign:
    """The sizes of the arms, and what the experiment can tell.

    Attributes:
        sizes: Customers of each arm, by name.
        needed: Customers that each arm needs for the targets; None if no number of customers would do.
        money: What the arms of that size cost; None if `needed` is.
        limits: What keeps the arms smaller than that: 'customers', 'budget' and 'capacity'; empty if they are not.
        source: Where the targets come from: 'given', 'expected' or 'default'.
        comparisons: Each contrast with its target and its power, ready for JSON.
    """

    sizes: dict[str, int]
    needed: int | None
    money: float | None
    limits: tuple[str, ...]
    source: str
    comparisons: list[dict[str, Any]]


def design_experiment(
    arms: ExperimentArms, customers: ScoredCustomers, limits: ArmLimits, detect: float | None, seed: int
) -> ExperimentDesign:
    """Choose the sizes of the arms.

    Args:
        arms: The arms; an action is in the same place as in `customers.effects` and in `limits`.
        customers: The customers who may get every arm.
        limits: Costs, capacities and budget.
        detect: The difference in the return rate to detect, above 0; None: what is expected of the actions.
        seed: Seed of the simulated outcomes.

    Returns:
        The sizes, and what they can tell.
    """
    contrasts = list_contrasts(arms)
    families = [each.family for each in contrasts]
    sizing = MAIN_EFFECT if MAIN_EFFECT in families else PAIR
    targets = [_target(each, arms, customers.effects, detect) for each in contrasts]
    effects = [target / each.scale for each, target in zip(contrasts, targets, strict=True)]
    simulated = _simulated(customers, effects, seed)
    alphas = [ALPHA / families.count(family) for family in families]
    needs = [
        _needed(each, simulated[effect]["return"], alpha)
        for each, effect, alpha in zip(contrasts, effects, alphas, strict=True)
        if each.family == sizing
    ]
    needed = None if None in needs else max(FEWEST, *(need for need in needs if need is not None))
    wanted = len(customers) if needed is None else needed
    sizes, reasons = _limited(arms, wanted, len(customers), limits)
    comparisons = [
        {"family": each.family, "one": each.one, "other": each.other, "target": effect * each.scale,
         **_analyses(each, simulated[effect], alpha, sizes)}
        for each, effect, alpha in zip(contrasts, effects, alphas, strict=True)
    ]  # fmt: skip
    source = GIVEN if detect else EXPECTED if _differ(contrasts, targets, sizing) else DEFAULT
    money = None if needed is None else float(np.minimum(needed, limits.capacities) @ limits.costs)
    return ExperimentDesign(sizes, needed, money, reasons, source, comparisons)


def assign_arms(strata: np.ndarray, draws: np.ndarray, sizes: Sequence[int], rotation: float) -> np.ndarray:
    """Assign customers to arms at random within strata, in the same shares in each as far as whole numbers allow.

    Customers stand in the order of their strata, and within a stratum in random order. Places in that order belong to
    arms, those of each arm spread evenly, and all places are shifted by a random number. So each customer gets each arm
    with the same probability, its share of all customers.

    Args:
        strata: (n,) the stratum of each customer.
        draws: (n,) a random number for each customer.
        sizes: (k,) customers of each arm, at most n together.
        rotation: A random number in [0, 1) for the shift.

    Returns:
        (n,) the place of the arm; -1 for customers who are in none.

    >>> assign_arms(np.array(["a", "a", "b", "b"]), np.array([0.2, 0.9, 0.4, 0.1]), [2, 2], 0.0).tolist()
    [0, 1, 1, 0]
    """
    n = len(strata)
    counts = [*map(int, sizes), n - int(sum(sizes))]
    labels = np.repeat([*range(len(sizes)), -1], counts)
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count] or [np.empty(0)])
    labels = np.roll(labels[np.argsort(places, kind="stable")], int(rotation * n))
    assigned = np.empty(n, int)
    assigned[np.lexsort((draws, strata))] = labels
    return assigned


def _simulated(
    customers: ScoredCustomers, effects: Sequence[float], seed: int
) -> dict[float, dict[str, OutcomeMoments]]:
    """The moments of the outcomes by each effect on the probability of returning, the same for everybody."""
    rows = np.random.default_rng(seed).permutation(len(customers))[:SAMPLED]
    churn, value, at_risk = (
        column[rows] for column in (customers.churn_probability, customers.value, customers.value_at_risk)
    )
    spend = np.where(churn < 1, value / np.maximum(1 - churn, 1e-12), at_risk)
    known = {"churn_probability": churn, "value": value, "value_at_risk": at_risk}
    second = np.arange(len(rows)) % 2 == 1
    return {
        effect: simulate_moments(
            {**known, "effect_return": np.full(len(rows), effect), "effect_value": effect * spend},
            second, customers.spread, seed,
        )
        for effect in dict.fromkeys(effects)
    }  # fmt: skip


def _needed(contrast: Contrast, moments: OutcomeMoments, alpha: float) -> int | None:
    """Customers of each arm that detect the effect of the moments; None if no number would do."""
    needed = analyse_power(moments, 1_000, 1_000, 0.5, alpha).needed
    return None if needed is None else int(np.ceil(needed / 2 / len(contrast.arms)))


def _analyses(
    contrast: Contrast, moments: Mapping[str, OutcomeMoments], alpha: float, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """What a contrast of groups of these sizes detects, by outcome; null where nothing is known."""
    one, other = (sum(sizes[name] for name in names) for names in (contrast.arms, contrast.against))
    known = {n: _facts(analyse_power(each, one, other, 0.5, alpha), contrast.scale) for n, each in moments.items()}
    return {"return": None, "value": None, **known}


def _facts(analysis: PowerAnalysis, scale: float) -> dict[str, float | None]:
    detects = scale * analysis.detects
    return {"detects": float(detects) if np.isfinite(detects) else None, "power": float(analysis.power)}


def _target(contrast: Contrast, arms: ExperimentArms, effects: np.ndarray, detect: float | None) -> float:
    """The difference in the return rate that a contrast should detect."""
    return detect or _expected(contrast, arms, effects) or DETECT


def _expected(contrast: Contrast, arms: ExperimentArms, effects: np.ndarray) -> float:
    """The size of the difference that is expected; 0 if it is unknown."""
    if contrast.family == INTERACTION:
        return 0.0
    means = dict(zip(arms.actions, effects.mean(axis=0), strict=True)) | {NOTHING: 0.0}
    sides = [float(np.mean([means[name] for name in names])) for names in (contrast.arms, contrast.against)]
    difference = abs(sides[0] - sides[1])
    return round(difference, 6) if np.isfinite(difference) else 0.0


def _differ(contrasts: Sequence[Contrast], targets: Sequence[float], sizing: str) -> bool:
    """Whether any comparison that settles the sizes has a target of its own."""
    return any(each.family == sizing and target != DETECT for each, target in zip(contrasts, targets, strict=True))


def _limited(
    arms: ExperimentArms, wanted: int, customers: int, limits: ArmLimits
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The sizes of the arms within all limits, and the limits that keep them below what is wanted."""
    extra = 1 if arms.nothing else 0

    def sizes_at(size: int) -> np.ndarray:
        return np.minimum(size, limits.capacities)

    def fits(size: int) -> list[str]:
        sizes, broken = sizes_at(size), []
        broken += ["customers"] if sizes.sum() + extra * size > customers else []
        broken += ["budget"] if sizes @ limits.costs > limits.budget * (1 + 1e-12) else []
        return broken

    low, high = 0, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if not fits(middle) else (low, middle - 1)
    reasons = [] if low == wanted else fits(low + 1)
    reasons += ["capacity"] if (limits.capacities < low).any() else []
    sizes = [*sizes_at(low), *([low] if arms.nothing else [])]
    return {name: int(size) for name, size in zip(arms.names, sizes, strict=True)}, tuple(reasons)


def refuse_small_arms(design: ExperimentDesign, arms: ExperimentArms, costs: np.ndarray) -> None:
    """Refuse an experiment with an arm that is too small to tell anything.

    Args:
        design: The experiment.
        arms: Its arms.
        costs: (a,) the cost of each action for one customer.

    Raises:
        RefusedError: An arm has fewer than FEWEST customers.
    """
    name, least = min(design.sizes.items(), key=lambda item: item[1])
    if least < FEWEST:
        target = f" To detect its target, it needs {design.needed:,} in each arm." if design.needed else ""
        raise RefusedError(
            f"the test {arms.text!r} is too small: its arm {name!r} would have {least:,} customers. Expected at least "
            f"{FEWEST} in each arm: {FEWEST * len(arms.names):,} customers who may get every arm, and a budget of "
            f"{FEWEST * float(costs.sum()):,.10g}.{target} Raise the budget or the capacity, or test fewer arms"
        )
