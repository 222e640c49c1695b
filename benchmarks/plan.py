"""The plan's solver compared with HiGHS and greedy rules: time, optimality gap and gain.

    python benchmarks/plan.py                                   # 1M customers x 5 actions; alternatives at 20,000
    python benchmarks/plan.py --customers 200000 --peers 5000   # a quick run
    python benchmarks/plan.py --actions 12 --explore --peers 0  # 1M customers x 12 actions, explored, with the bound

Customers are simulated: lognormal value, correlated effects of the actions, one cost for each action, capacities for
two of them, minimum shares for two of five segments, a tenth held out. Gain counts customers who are not held out.
With `--explore` there are no minimum shares, and each customer is planned by a draw of uncertain effects, as `[plan]
explore` does.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from serving.optimizer.allocate import Allocation, allocate_actions, allocation_problem, budget_curve
from serving.optimizer.dual_prices import AllocationProblem
from serving.planning.explore import explore_actions

COSTS = np.array([0.2, 0.5, 1.0, 3.0, 8.0])
MARGIN, HOLDOUT_SHARE = 0.4, 0.1


def simulate_many_actions(n: int, seed: int, actions: int) -> tuple[AllocationProblem, np.ndarray]:
    """Simulates a campaign with any number of actions, and the errors (n, actions, 2) of their gains."""
    rng = np.random.default_rng(seed)
    value, costs = rng.lognormal(4, 1, n), np.geomspace(COSTS[0], COSTS[-1], actions)
    taste = rng.normal(0, 0.02, n)
    gains = np.empty((n, actions), order="F")
    parts = np.empty((n, actions, 2))
    for j, share in enumerate(np.linspace(0.5, 4.0, actions)):
        gains[:, j] = MARGIN * value * (0.02 * share + taste + rng.normal(0, 0.02, n)) - costs[j]
        parts[:, j, 0], parts[:, j, 1] = 0.01 * MARGIN * value, 0.5 * MARGIN * value * taste
    capacities = np.full(actions, np.inf)
    capacities[[actions // 2, -1]] = n // 20, n // 50
    return allocation_problem(
        gains, costs, 0.25 * n, capacities, holdout=rng.random(n) < HOLDOUT_SHARE
    ), parts  # fmt: skip


def print_explored(problem: AllocationProblem, parts: np.ndarray, best: Allocation, seed: int) -> None:
    """Prints what planning by draws costs in time and in expected gain, for an allowance of 2% of the budget."""
    uniform = np.random.default_rng(seed).random((len(problem.gains), 3))
    start = time.process_time()
    seconds, explored = timed(
        lambda: explore_actions(problem, parts, best.choice, 0.02 * problem.budget, uniform, seed)
    )
    gain = problem.total_gain(explored.choice)
    print(
        f"explored: {seconds:.1f} s ({time.process_time() - start:.1f} s of CPU), {explored.draws} draws, gain "
        f"{gain:,.0f} ({best.gain - gain:,.0f} given up, {0.02 * problem.budget:,.0f} allowed)"
    )


def simulate_campaign(n: int, seed: int) -> AllocationProblem:
    """Simulates a campaign of `n` customers whose budget is enough for about a fifth of them."""
    rng = np.random.default_rng(seed)
    value, taste = rng.lognormal(4, 1, (n, 1)), rng.normal(0, 0.02, (n, 1))
    effect = 0.02 * np.array([0.5, 1.0, 1.5, 2.5, 4.0]) + taste + rng.normal(0, 0.02, (n, len(COSTS)))
    segment = rng.choice(5, n, p=[0.1, 0.15, 0.2, 0.25, 0.3])
    capacities = np.array([np.inf, np.inf, n // 20, np.inf, n // 50])
    minimums = np.array([n // 50, 0, 0, 0, n // 20])
    return allocation_problem(
        MARGIN * value * effect - COSTS, COSTS, 0.25 * n, capacities, segment, minimums, rng.random(n) < HOLDOUT_SHARE
    )


def lp_relaxation_gain(problem: AllocationProblem) -> float:
    """The gain of the LP relaxation by HiGHS, an upper bound for every plan."""
    takers = problem.without_holdout()
    n, a = takers.gains.shape
    rows, actions = np.divmod(np.arange(n * a), a)
    ones, at = np.ones(n * a), np.arange(n * a)
    lines = [
        coo_array((ones, (rows, at)), shape=(n, n * a)),
        coo_array((np.asarray(takers.costs).ravel(), (0 * at, at)), shape=(1, n * a)),
        coo_array((ones, (actions, at)), shape=(a, n * a)),
        coo_array((-ones, (takers.groups[rows], at)), shape=(len(takers.minimums), n * a)),
    ]
    right = np.concatenate([np.ones(n), np.minimum(takers.limits, n)])
    right[n] = takers.budget
    solution = linprog(
        -takers.gains.ravel(), A_ub=vstack(lines, format="csr"), b_ub=right, bounds=(0, 1), method="highs"
    )
    return float(-solution.fun)


def greedy_gain(problem: AllocationProblem, key: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    """The gain of a greedy rule: customers in order of their best option's key get it if it fits; minimums first."""
    takers = problem.without_holdout()
    score = key(takers.gains, np.asarray(takers.costs))
    best = score.argmax(axis=1)
    left, slots, gain = takers.budget, takers.capacities.copy(), 0.0
    due, order = takers.minimums.copy(), np.argsort(-score.max(axis=1), kind="stable")
    pending = [i for i in order.tolist() if due[takers.groups[i]] > 0]
    served = np.zeros(len(order), bool)
    for first, rows in ((True, pending), (False, order.tolist())):
        for i in rows:
            j, group = best[i], takers.groups[i]
            wanted = due[group] > 0 if first else takers.gains[i, j] > 0
            if not served[i] and wanted and COSTS[j] <= left and slots[j] >= 1:
                left, gain, served[i] = left - COSTS[j], gain + takers.gains[i, j], True
                slots[j] -= 1
                due[group] -= 1
    return float(gain)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Runs `work`; returns wall-clock seconds and its return value."""
    start = time.perf_counter()
    output = work()
    return time.perf_counter() - start, output


def main() -> None:
    """Prints our solver's figures at full size, then ours and the alternatives at the smaller size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--peers", type=int, default=20_000, help="customers for the comparison with the alternatives")
    parser.add_argument("--points", type=int, default=12, help="budgets on the curve")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--actions", type=int, default=len(COSTS), help="number of actions, with --explore")
    parser.add_argument("--explore", action="store_true", help="plan by draws of uncertain effects too")
    options = parser.parse_args()
    if options.explore:
        problem, parts = simulate_many_actions(options.customers, options.seed, options.actions)
    else:
        problem = simulate_campaign(options.customers, options.seed)
    start = time.process_time()
    seconds, allocation = timed(lambda: allocate_actions(problem))
    print(f"{options.customers:,} customers x {problem.no_action} actions, {int(problem.holdout.sum()):,} held out")
    print(
        f"plan: {seconds:.1f} s ({time.process_time() - start:.1f} s of CPU), gain {allocation.gain:,.0f}, bound "
        f"{allocation.bound:,.0f}, gap {allocation.gap:.2e}"
    )
    if options.explore:
        print_explored(problem, parts, allocation, options.seed)
    budgets = np.linspace(0.1, 2.0, options.points) * problem.budget
    seconds, points = timed(lambda: budget_curve(problem, budgets.tolist()))
    worst = max((p.bound - p.gain) / p.bound for p in points)
    print(f"curve of {len(points)} budgets: {seconds:.1f} s, worst gap {worst:.2e}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB\n")
    if not options.peers:
        return
    small = simulate_campaign(options.peers, options.seed)
    seconds, ours = timed(lambda: allocate_actions(small))
    print(f"at {options.peers:,} customers:\n| | seconds | gain | of the LP relaxation |\n|---|---:|---:|---:|")
    lp_seconds, most = timed(lambda: lp_relaxation_gain(small))
    rows = [("ours", seconds, ours.gain), ("HiGHS, LP relaxation (customers in parts)", lp_seconds, most)]
    rules = {
        "greedy by gain": lambda gains, costs: gains,
        "greedy by gain for each unit of cost": lambda gains, costs: gains / costs,
    }
    for name, key in rules.items():
        rule_seconds, gain = timed(lambda key=key: greedy_gain(replace(small), key))
        rows.append((name, rule_seconds, gain))
    for name, took, gain in rows:
        print(f"| {name} | {took:.2f} | {gain:,.0f} | {gain / most:.5f} |")


if __name__ == "__main__":
    main()
