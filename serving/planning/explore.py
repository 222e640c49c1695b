"""Explores: plans by posterior draws (Thompson sampling), with the probability of every assignment.

Each customer is planned by one of a number of draws of the effects from their posterior, picked at random for each
customer (Thompson, Biometrika 25, 1933). All customers share the limits and their prices. At given prices a customer's
action depends on the draw alone, so its probability is the share of the draws that choose it. So that prices do not
depend on what a customer happens to draw, they are those of other random picks. A few customers, as a floor, get any
action that is not ruled out, at random.

Exploring has a price: the expected gain that the plan misses compared with the plan of highest expected gain. Draws are
moved towards the posterior means until the price is within what the config allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.config.plan import PlanConfig
from serving.optimizer.allocate import Allocation
from serving.optimizer.dual_prices import BUDGET_SLACK, AllocationProblem, solve_dual
from serving.optimizer.greedy import assign_greedily
from serving.planning.holdout import uniform_draws
from serving.planning.inputs import MONEY, PlanInputs

STREAMS = ("explore: draw", "explore: floor", "explore: limits")  # of random numbers of each customer
DRAWS, FEWEST_DRAWS, MOST_NUMBERS = 200, 40, 500_000_000  # draws; fewer for more customers x actions x draws
BLOCK = 4_096  # customers whose probabilities are computed together
FLOOR, FLOOR_PRICE = 0.02, 0.25  # share of customers on the floor; at most this part of the price allowed
RULED_OUT = 3.0  # standard deviations by which an action's gain must be below 0
SAMPLE = 10_000  # customers by whom the price is settled
STEPS = 6  # halvings of the spread of draws


@dataclass(frozen=True)
class Exploration:
    """A plan by posterior draws.

    Attributes:
        choice: (n,) the index of the action, or the number of actions for none; for the holdout what they would get.
        chances: (n, a + 1) the probability of each action, and of none, before the holdout.
        spread: By how much the draws differ from the posterior means, as a share of the posterior's deviations.
        floor: Probability that a customer is on the floor.
        draws: Number of draws.
    """

    choice: np.ndarray
    chances: np.ndarray
    spread: float
    floor: float
    draws: int


def explored_plan(
    problem: AllocationProblem, allocation: Allocation, inputs: PlanInputs, rules: PlanConfig
) -> tuple[Allocation, Exploration]:
    """Plans by posterior draws, as far as the config allows and the errors of effects are known.

    Args:
        problem: The customers with their expected gains, and the limits.
        allocation: The plan of highest expected gain.
        inputs: The inputs of the plan.
        rules: Its [plan].

    Returns:
        The plan, with the bound and prices of the given one, and the probability of each assignment.
    """
    scale = (rules.margin or 0.0) if inputs.objective == MONEY else 1.0
    parts = scale * inputs.action_effects.parts
    if not rules.explore or not np.isfinite(parts).any():
        return allocation, Exploration(allocation.choice, np.eye(problem.no_action + 1)[allocation.choice], 0.0, 0.0, 0)
    allowance = rules.explore * (problem.budget if inputs.objective == MONEY else allocation.gain)
    names, key = inputs.table["customer_id"].to_pylist(), inputs.draw_key
    uniform = np.column_stack([uniform_draws(names, f"{key} {each}", rules.seed) for each in STREAMS])
    explored = explore_actions(problem, parts, allocation.choice, allowance, uniform, rules.seed)
    used, gain = problem.resource_use(explored.choice), problem.total_gain(explored.choice)
    return replace(allocation, choice=explored.choice, gain=gain, spent=float(used[0]), used=used), explored


def exploring_facts(
    rules: PlanConfig, inputs: PlanInputs, explored: Exploration, price: float
) -> dict[str, Any] | None:
    """What exploring costs, and how it was done, for the manifest; None if the plan does not explore.

    Args:
        rules: The [plan].
        inputs: The inputs of the plan.
        explored: The plan by posterior draws.
        price: The expected gain that it gives up.

    Returns:
        The share that the config allows, the price, and the spread, number and floor of the draws.
    """
    if not explored.draws:
        return None
    treated = ~inputs.holdout & (explored.choice < len(rules.actions))
    return {
        "share": rules.explore, "price": price, "spread": explored.spread, "draws": explored.draws,
        "floor": explored.floor,
        "least_propensity": float(explored.chances[treated, explored.choice[treated]].min(initial=1.0)),
    }  # fmt: skip


def explore_actions(
    problem: AllocationProblem, parts: np.ndarray, best: np.ndarray, allowance: float, uniform: np.ndarray, seed: int
) -> Exploration:
    """Plans by posterior draws.

    Args:
        problem: The customers with their expected gains, and the limits.
        parts: (n, a, k) contributions of k independent standard normal errors to each gain; the errors of an action
            are common to all customers. Nan where they are unknown: such a gain is not drawn.
        best: (n,) the plan of highest expected gain.
        allowance: How much expected gain exploring may cost.
        uniform: (n, 3) random numbers in [0, 1) of each customer.
        seed: Seed of the draws.

    Returns:
        The plan, and the probability of each assignment.
    """
    n, a = problem.gains.shape
    parts = np.nan_to_num(parts)
    draws = int(np.clip(MOST_NUMBERS // max(n * a, 1), FEWEST_DRAWS, DRAWS)) // 2 * 2
    half = np.random.default_rng(seed).standard_normal((a, parts.shape[2], draws // 2))
    normal = np.concatenate([half, -half], axis=2)
    open_ = np.isfinite(problem.gains) & (problem.gains + RULED_OUT * np.sqrt((parts**2).sum(axis=2)) > 0)
    open_ &= parts.any(axis=2)
    floor = _floor(problem, open_, allowance)
    others = np.random.default_rng([seed, 1]).random(uniform.shape)
    spread = _spread(problem, parts, best, allowance, others, normal, open_, floor)
    prices = solve_dual(_drawn(problem, spread * parts, others, normal, open_, floor)).prices
    drawn = _drawn(problem, spread * parts, uniform, normal, open_, floor)
    choice = _choose(drawn, prices, uniform[:, 2])
    chances = _with_floor(_chances(problem, spread * parts, normal, prices), open_, floor)
    chances = _after_limits(chances, drawn, prices, choice)
    return Exploration(choice, chances, spread, floor, draws)


def _floor(problem: AllocationProblem, open_: np.ndarray, allowance: float) -> float:
    """The share of customers who may get any open action, so that its expected price stays small."""
    here = open_.any(axis=1) & ~problem.holdout
    if not here.any():
        return 0.0
    gains = np.where(open_, problem.gains, 0.0)[here].sum(axis=1) / open_[here].sum(axis=1)
    price = float((np.maximum(problem.gains[here].max(axis=1), 0) - gains).sum())
    return float(min(FLOOR, FLOOR_PRICE * allowance / price)) if price > 0 else FLOOR


def _spread(
    problem: AllocationProblem, parts: np.ndarray, best: np.ndarray, allowance: float, uniform: np.ndarray,
    normal: np.ndarray, open_: np.ndarray, floor: float,
) -> float:  # fmt: skip
    """The largest spread of the draws, up to 1, whose price is within the allowance; by a sample of customers."""
    n = len(problem.gains)
    rows = np.arange(min(n, SAMPLE)) * n // min(n, SAMPLE)
    part = len(rows) / n
    few = _share_of(problem, rows, part)
    most = few.total_gain(best[rows]) - part * allowance

    def affordable(spread: float) -> bool:
        drawn = _drawn(few, spread * parts[rows], uniform[rows], normal, open_[rows], floor)
        return few.total_gain(_choose(drawn, solve_dual(drawn).prices, uniform[rows, 0])) >= most

    if affordable(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if affordable(middle) else (low, middle)
    return low


def _share_of(problem: AllocationProblem, rows: np.ndarray, part: float) -> AllocationProblem:
    """The problem of a share of the customers, with that share of the limits."""
    few = problem.subset(rows)
    return replace(
        few, budget=part * problem.budget, capacities=np.ceil(part * problem.capacities),
        minimums=np.floor(part * problem.minimums).astype(int),
    )  # fmt: skip


def _drawn(
    problem: AllocationProblem, parts: np.ndarray, uniform: np.ndarray, normal: np.ndarray, open_: np.ndarray,
    floor: float,
) -> AllocationProblem:  # fmt: skip
    """The problem with the gains of each customer's own draw; on the floor with one open action alone."""
    which = (uniform[:, 0] * normal.shape[2]).astype(int)
    gains = np.empty(problem.gains.shape, order="F")
    for j in range(problem.no_action):
        gains[:, j] = problem.gains[:, j] + (parts[:, j] * normal[j][:, which].T).sum(axis=1)
    on_floor = np.flatnonzero((uniform[:, 1] < floor) & open_.any(axis=1))
    if len(on_floor):
        place = (uniform[on_floor, 1] / floor * open_[on_floor].sum(axis=1)).astype(int)
        arm = (np.cumsum(open_[on_floor], axis=1) > place[:, None]).argmax(axis=1)
        highest = float(np.abs(gains[np.isfinite(gains)]).max(initial=1.0))
        gains[on_floor] = -np.inf
        gains[on_floor, arm] = 10 * highest
    return replace(problem, gains=gains)


def _wanted(drawn: AllocationProblem, prices: np.ndarray) -> np.ndarray:
    """The action (n,) of each customer that is worth most at the prices, or none, before any limit."""
    worth = drawn.priced_gains(prices)
    return np.where(worth.max(axis=1, initial=0) > 0, worth.argmax(axis=1), drawn.no_action)


def _choose(drawn: AllocationProblem, prices: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The choice at the prices of the limits; nobody is added to spend the rest, unless minimums need it.

    Where the choice is above a limit after all, those who come last in a random order (n,) get nothing.
    """
    if drawn.minimums.any():
        return assign_greedily(drawn, prices)
    choice, none = _wanted(drawn, prices), drawn.no_action
    rows = np.flatnonzero((choice < none) & ~drawn.holdout)
    rows = rows[np.argsort(order[rows], kind="stable")]
    for j in np.flatnonzero(np.isfinite(drawn.capacities)):
        mine = rows[choice[rows] == j]
        choice[mine[int(drawn.capacities[j]) :]] = none
    rows = rows[choice[rows] < none]
    over = np.cumsum(drawn.costs[rows, choice[rows]]) > drawn.budget * (1 + BUDGET_SLACK)
    choice[rows[over]] = none
    return choice


def _chances(problem: AllocationProblem, parts: np.ndarray, normal: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """(n, a + 1) the share of the draws that choose each action, and none, at the prices."""
    n, a = problem.gains.shape
    worth = problem.priced_gains(prices)
    chances = np.zeros((n, a + 1), np.float32)
    for first in range(0, n, BLOCK):
        rows = slice(first, first + BLOCK)
        count = len(worth[rows])
        best, choice = np.zeros((count, normal.shape[2]), np.float32), np.full((count, normal.shape[2]), a, np.int8)
        for j in range(a):
            drawn = (parts[rows, j] @ normal[j] + worth[rows, j][:, None]).astype(np.float32)
            better = drawn > best
            np.copyto(best, drawn, where=better)
            choice[better] = j
        for j in range(a + 1):
            chances[rows, j] = (choice == j).mean(axis=1)
    return chances


def _with_floor(chances: np.ndarray, open_: np.ndarray, floor: float) -> np.ndarray:
    number = open_.sum(axis=1)
    own = np.where(number > 0, floor, 0.0)[:, None]
    chances = chances * (1 - own)
    chances[:, :-1] += own * open_ / np.maximum(number, 1)[:, None]
    return chances


def _after_limits(chances: np.ndarray, drawn: AllocationProblem, prices: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """The probabilities, less the share of each action's customers who were above a limit and got nothing."""
    wanted, none, takers = _wanted(drawn, prices), drawn.no_action, ~drawn.holdout
    before = np.bincount(wanted[takers], minlength=none + 1)[:none]
    kept = np.bincount(wanted[takers & (choice == wanted)], minlength=none + 1)[:none]
    lost = chances[:, :none] * (1 - kept / np.maximum(before, 1))
    return np.column_stack([chances[:, :none] - lost, chances[:, none] + lost.sum(axis=1)])
