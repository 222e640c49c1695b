"""Exploring: within its price and all limits, with probabilities that are true, and repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from serving.optimizer.allocate import allocate_actions, allocation_problem
from serving.optimizer.dual_prices import AllocationProblem
from serving.planning.explore import Exploration, explore_actions

COSTS = np.array([1.0, 2.0])


def _campaign(n: int = 400, budget: float = 150.0) -> tuple[AllocationProblem, np.ndarray]:
    rng = np.random.default_rng(1)
    value = rng.gamma(2, 5, n)
    gains = value[:, None] * np.array([0.15, 0.2]) - COSTS
    gains[:20, 1] = -np.inf
    parts = value[:, None, None] * np.array([[0.1, 0.02], [0.15, 0.05]]) * rng.normal(1, 0.3, (n, 2, 2))
    return allocation_problem(gains, COSTS, budget, holdout=rng.random(n) < 0.1), parts


def _explore(problem: AllocationProblem, parts: np.ndarray, allowance: float, seed: int = 0) -> Exploration:
    best = allocate_actions(problem).choice
    uniform = np.random.default_rng(seed).random((len(parts), 3))
    return explore_actions(problem, parts, best, allowance, uniform, seed=7)


def test_limits_and_price_are_kept() -> None:
    problem, parts = _campaign()
    best = problem.total_gain(allocate_actions(problem).choice)
    small, large = (_explore(problem, parts, allowance) for allowance in (0.03 * 150, 1e9))
    for explored in (small, large):
        assert problem.resource_use(explored.choice)[0] <= 150
        assert not (explored.choice[:20] == 1).any()
        np.testing.assert_allclose(explored.chances.sum(axis=1), 1, atol=1e-5)
    assert small.spread < large.spread == 1
    assert best - problem.total_gain(small.choice) < 0.03 * 150 + 5  # one or two contacts at the margin
    assert best - problem.total_gain(large.choice) > best - problem.total_gain(small.choice)


def test_every_action_that_is_not_ruled_out_has_a_chance() -> None:
    problem, parts = _campaign()
    explored = _explore(problem, parts, 5.0)
    assert explored.floor > 0
    possible = problem.gains + 2.9 * np.sqrt((parts**2).sum(axis=2)) > 0
    assert possible.mean() > 0.8 and (explored.chances[:, :2][possible] > 0).all()
    assert (explored.chances[:20, 1] == 0).all()
    hopeless = allocation_problem(problem.gains - 1_000, COSTS, 150.0, holdout=problem.holdout)
    nobody = _explore(hopeless, parts, 5.0)
    assert (nobody.choice == 2).all() and (nobody.chances[:, 2] == 1).all()


def test_without_known_errors_nothing_is_drawn() -> None:
    problem, parts = _campaign()
    explored = _explore(problem, np.full_like(parts, np.nan), 50.0)
    assert ((explored.chances == 0) | (explored.chances == 1)).all()
    assert problem.total_gain(explored.choice) == pytest.approx(
        problem.total_gain(allocate_actions(problem).choice), rel=0.02
    )


def test_the_same_numbers_give_the_same_plan() -> None:
    problem, parts = _campaign()
    one, two = (_explore(problem, parts, 20.0) for _ in range(2))
    assert (one.choice == two.choice).all() and (one.chances == two.chances).all()


def _bias(repeats: int) -> np.ndarray:
    """Estimates of three fixed policies by inverse propensity, less their true values, in standard errors.

    Where a customer's action is ruled out, the policy has the customer's likeliest one.
    """
    problem, parts = _campaign(300)
    parts[:20, 1] = 0
    rng = np.random.default_rng(9)
    outcomes = rng.gamma(2, 5, (300, 3))
    policies = [np.zeros(300, int), np.full(300, 2), np.where(np.arange(300) % 2, 0, 2)]
    best, estimates = allocate_actions(problem).choice, []
    first = explore_actions(problem, parts, best, 1e9, rng.random((300, 3)), seed=7).chances
    policies = [np.where(first[np.arange(300), p] > 0, p, first.argmax(axis=1)) for p in policies]
    for _ in range(repeats):
        explored = explore_actions(problem, parts, best, 1e9, rng.random((300, 3)), seed=7)
        row = np.arange(300)
        weight = 1 / explored.chances[row, explored.choice]
        value = outcomes[row, explored.choice] * weight
        estimates.append([(value * (explored.choice == policy)).mean() for policy in policies])
    true = np.array([outcomes[np.arange(300), policy].mean() for policy in policies])
    found = np.array(estimates)
    return np.asarray((found.mean(axis=0) - true) / (found.std(axis=0) / np.sqrt(repeats)))


@pytest.mark.long
def test_estimates_by_inverse_propensity_are_unbiased_over_1000_draws() -> None:
    assert np.abs(_bias(1_000)).max() < 3


def test_the_share_of_customers_with_each_action_is_as_its_probabilities_say() -> None:
    problem, parts = _campaign(5_000, 1_000.0)
    explored = _explore(problem, parts, 1e9)
    for option in range(3):
        here, chances = explored.choice == option, explored.chances[:, option]
        error = np.sqrt((chances * (1 - chances)).sum())
        assert abs(here.sum() - chances.sum()) < 4 * error
        assert (chances[here] > 0).all()
