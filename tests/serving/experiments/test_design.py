"""The sizes of arms against textbook power, their limits, and the random assignment within strata."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from features.errors import RefusedError
from serving.experiments.arms import ExperimentArms
from serving.experiments.design import (
    ArmLimits,
    ExperimentDesign,
    ScoredCustomers,
    assign_arms,
    design_experiment,
    refuse_small_arms,
)

N = 8_000
TWO = ExperimentArms(("mail", "call"))
THREE = ExperimentArms(("mail", "call"), nothing=True)
COSTS = np.array([1.0, 3.0])


def _customers(effects: tuple[float, float] = (np.nan, np.nan)) -> ScoredCustomers:
    churn = np.full(N, 0.5)
    return ScoredCustomers(churn, np.full(N, 10.0), np.full(N, 10.0), np.tile(effects, (N, 1)), None)


def _design(
    arms: ExperimentArms, budget: float = np.inf, detect: float | None = None, **known: object
) -> ExperimentDesign:
    capacities = np.array(known.get("capacities", (np.inf, np.inf)), float)
    customers = _customers(known.get("effects", (np.nan, np.nan)))  # type: ignore[arg-type]
    return design_experiment(arms, customers, ArmLimits(COSTS, capacities, budget), detect, 7)


def _textbook(detect: float, comparisons: int) -> float:
    reach = NormalDist().inv_cdf(1 - 0.05 / comparisons / 2) + NormalDist().inv_cdf(0.8)
    return reach**2 * (0.25 + (0.5 + detect) * (0.5 - detect)) / detect**2


def test_an_arm_is_as_large_as_the_textbook_says() -> None:
    design = _design(TWO, detect=0.05)
    assert design.needed == pytest.approx(_textbook(0.05, 1), rel=0.03)
    assert design.sizes == {"mail": design.needed, "call": design.needed}
    assert design.money == 4 * (design.needed or 0) and design.limits == () and design.source == "given"
    (only,) = design.comparisons
    assert only["return"]["detects"] == pytest.approx(0.05, rel=0.02) and only["value"] is None
    assert only["return"]["power"] == pytest.approx(0.8, abs=0.01)


def test_more_comparisons_take_more_customers() -> None:
    assert _design(THREE, detect=0.05).needed == pytest.approx(_textbook(0.05, 3), rel=0.03)


def test_the_target_is_the_smallest_difference_that_is_expected() -> None:
    design = _design(THREE, effects=(0.06, 0.16))
    assert design.source == "expected"
    assert [each["target"] for each in design.comparisons] == [0.1, 0.06, 0.16]
    assert design.needed == pytest.approx(_textbook(0.06, 3), rel=0.03)
    assert _design(THREE).source == "default" and _design(THREE, effects=(0.06, np.nan)).needed >= 1_800  # type: ignore[operator]


def test_budget_capacity_and_customers_limit_the_arms() -> None:
    assert _design(TWO, budget=400.0, detect=0.05).sizes == {"mail": 100, "call": 100}
    assert _design(TWO, budget=400.0, detect=0.05).limits == ("budget",)
    few = _design(TWO, detect=0.05, capacities=(np.inf, 50))
    assert few.sizes["call"] == 50 and few.sizes["mail"] == few.needed and few.limits == ("capacity",)
    large = _design(THREE, detect=0.01)
    assert sum(large.sizes.values()) <= N and set(large.sizes.values()) == {N // 3} and large.limits == ("customers",)


def test_an_arm_that_can_tell_nothing_is_refused() -> None:
    with pytest.raises(RefusedError, match="its arm 'mail' would have 5 customers"):
        refuse_small_arms(_design(TWO, budget=20.0, detect=0.05), TWO, COSTS)


def test_main_effects_share_their_arms() -> None:
    """Each level of an attribute has half of four arms, so an arm needs half as many customers."""
    levels = {"a": ("x", 0.1), "b": ("x", 0.2), "c": ("y", 0.1), "d": ("y", 0.2)}
    arms = ExperimentArms(tuple(levels), False, ("channel", "depth"), levels)
    effects = ScoredCustomers(np.full(N, 0.5), np.full(N, 10.0), np.full(N, 10.0), np.full((N, 4), np.nan), None)
    design = design_experiment(arms, effects, ArmLimits(np.ones(4), np.full(4, np.inf), np.inf), 0.05, 7)
    assert design.needed == pytest.approx(_textbook(0.05, 2) / 2, rel=0.03)
    (interaction,) = (each for each in design.comparisons if each["family"] == "interaction")
    assert interaction["return"]["detects"] == pytest.approx(0.1, rel=0.1), "twice the difference of a main effect"


def test_arms_have_their_sizes_and_the_same_shares_in_every_stratum() -> None:
    rng = np.random.default_rng(1)
    strata = rng.choice(["a", "b", "c"], N, p=[0.6, 0.3, 0.1])
    arm = assign_arms(strata, rng.random(N), [2000, 1000, 1000], 0.3)
    assert np.bincount(arm + 1).tolist() == [4000, 2000, 1000, 1000]
    for name in "abc":
        inside = strata == name
        shares = np.bincount(arm[inside] + 1, minlength=4) / inside.sum()
        np.testing.assert_allclose(shares, [0.5, 0.25, 0.125, 0.125], atol=2 / inside.sum())


def test_every_customer_gets_every_arm_with_its_share() -> None:
    """Over repetition, in a stratum of one customer and in a larger one."""
    strata, rng = np.array(["lone", *["crowd"] * 9]), np.random.default_rng(2)
    arms = np.array([assign_arms(strata, rng.random(10), [4, 2], rng.random()) for _ in range(4_000)])
    for arm, share in ((0, 0.4), (1, 0.2), (-1, 0.4)):
        np.testing.assert_allclose((arms == arm).mean(axis=0), share, atol=4 * np.sqrt(share * (1 - share) / 4_000))
