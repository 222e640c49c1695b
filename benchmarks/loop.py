"""Does the whole loop pay? A simulated shop with known effects, twelve monthly rounds, the same budget for each policy.

Each seed draws one world (`benchmarks/simulated_rounds.py`): when customers are born, how often each would order, how
long each lives, and how each of two actions changes that. Every policy lives through its own copy of the world. The
first year is the same in all copies, and nobody is contacted in it. Then each policy decides every month whom to
contact, from the orders in its own copy. Profit is the margin on all orders from the first round to 90 days after the
last, minus the cost of contacts.

The world was written down before the benchmark was run. Customers prefer the web, a store or an app, and place seven of
ten orders there. A letter brings web customers back, does nothing for store customers except annoy a few so that they
leave, and works a little in the app. A voucher works in the store, hardly on the web, and drives app customers away.
Some customers are dead already (lost causes), and frequent buyers respond less (sure things). The harm of a contact is
permanent.

- random: customers and actions at random.
- highest risk, highest value at risk: by BG/NBD and Gamma-Gamma, fitted in each round
  (`features/catalog/btyd_model.py`); this world nearly satisfies their assumptions.
- RFM: the groups of `features/config/rfm_rules.py` in the order of a textbook, either those to be saved first or the
  best first. Risk and RFM do not say which action to use, so each is run with letters, with vouchers and with random
  actions; the table shows the best of the three, picked with hindsight.
- ours: three rounds of experiment with the whole budget; afterwards a fifth of the budget for the experiment, and the
  rest planned (`serving.optimizer.allocate`) with effects (`training.uplift.effects`) that are learned again in rounds
  4, 6 and 9, from the randomised part of rounds at least 30 days old. The features are a subset of the catalog's plus
  the spend in each channel, computed in NumPy for speed. All this was settled on worlds of seeds 100 to 103, which are
  not among those in the table.
- oracle: knows the expected gain of each action for each customer up to the end, and plans by it.

    python benchmarks/loop.py [--seeds 20] [--customers 20000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.simulated_rounds import Orders, World, draw_world, orders_given_decisions, run_rounds, true_gains  # noqa: E402
from features.catalog.btyd_model import fit_bgnbd, fit_gamma_gamma  # noqa: E402
from features.config.rfm_rules import RULES  # noqa: E402
from features.simulation.business import Business  # noqa: E402
from features.simulation.settings import Action, Settings  # noqa: E402
from serving.optimizer.allocate import allocate_actions, allocation_problem  # noqa: E402
from serving.segmentation.rfm import rfm_groups, rfm_scores  # noqa: E402
from training.artifact.uplift_bundle import UpliftBundle  # noqa: E402
from training.uplift.effects import estimate_effects  # noqa: E402
from training.uplift.experiment import experiment_from_columns  # noqa: E402

SHOP = Settings(
    actions=(
        Action("letter", 1.0, 0.25, 30, (0.5, 0.0, 0.2), (-0.3, 0.5, 0.0)),
        Action("voucher", 2.5, 0.25, 30, (0.1, 0.8, -0.3), (0.0, -0.5, 1.0)),
    ),
    saturation=1.0,
    response_spread=0.5,
)
COSTS = np.array([action.cost for action in SHOP.actions])
FIRST, ROUNDS, AFTER = 12, 12, 90  # months before the first round, rounds, days after the last
BUDGET = 0.1  # money a round, for each customer whom the whole period sees
MARGIN = 0.3
MAX_FITTED = 2_000  # customers to whom BG/NBD is fitted
ACTIVE, HORIZON = 365, 30  # days: who counts as a customer, and how long an effect is looked at
PILOT, EXPLORE = 3, 0.2  # rounds of experiment alone, and its share of the budget afterwards
RELEARN = (3, 5, 8)  # rounds in which effects are learned anew
MIX = (1, 1, 2)  # in the experiment: with a letter, with a voucher, with nothing
SAVE_FIRST = (
    "cannot lose", "at risk", "need attention", "about to sleep", "hibernating", "loyal", "champions",
    "potential loyalists", "promising", "new", "lost",
)  # fmt: skip
BEST_FIRST = (
    "champions", "loyal", "cannot lose", "potential loyalists", "at risk", "need attention", "promising", "new",
    "about to sleep", "hibernating", "lost",
)  # fmt: skip
Decide = Callable[[int, Orders, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class CustomerView:
    """What a policy knows about the active customers on a day.

    Attributes:
        who: The customers' positions, (n,).
        columns: Features of their past, (n,) each, by name.
    """

    who: np.ndarray
    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]


@dataclass
class RegularsPolicy:
    """Our policy: experiments, learns effects from them, and plans.

    Attributes:
        world: The world that it lives in.
        seed: Seed of its random choices.
        experiments: For each round the stretch, the customers in the experiment, and their arms.
        model: The learned models; the last one is used.
    """

    world: World
    seed: int
    experiments: list[tuple[int, CustomerView, np.ndarray]] = field(default_factory=list)
    model: list[UpliftBundle] = field(default_factory=list)

    def decide(self, stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        """Spends part of the budget on an experiment, and the rest on a plan by the learned effects.

        Args:
            stretch: The round.
            orders: The orders before it.
            given: The decisions so far, (customers, stretches).

        Returns:
            The action of each customer, -1 for none, (customers,).
        """
        day, rng = stretch * SHOP.contact_every, np.random.default_rng([self.seed, stretch])
        seen, budget = view_customers(self.world, orders, given, day), round_budget(self.world)
        seen.columns.update(predict_btyd(seen.columns))
        pilot = stretch < FIRST + PILOT
        chosen = self._experiment(seen, stretch, budget if pilot else EXPLORE * budget, rng)
        if not pilot:
            gains = MARGIN * self._effects(seen, orders, day) - COSTS
            gains[chosen >= -1] = -np.inf
            left = budget - COSTS[chosen[chosen >= 0]].sum()
            plan = allocate_actions(allocation_problem(gains, COSTS, left)).choice
            chosen = np.where(chosen >= -1, chosen, np.where(plan < len(COSTS), plan, -1))
        return for_all_customers(self.world, seen, np.maximum(chosen, -1))

    def _experiment(self, seen: CustomerView, stretch: int, budget: float, rng: np.random.Generator) -> np.ndarray:
        """Draws the experiment: the arm of each customer in it, -1 for its control, -2 for customers outside, (n,)."""
        each = min(int(budget / (COSTS @ MIX[:-1])), len(seen.who) // sum(MIX))
        chosen = np.full(len(seen.who), -2)
        places = rng.permutation(len(seen.who))[: sum(MIX) * each]
        chosen[places] = np.repeat([0, 1, -1], np.array(MIX) * each)
        part = np.sort(places)
        subset = CustomerView(seen.who[part], {name: values[part] for name, values in seen.columns.items()})
        self.experiments.append((stretch, subset, chosen[part]))
        return chosen

    def _effects(self, seen: CustomerView, orders: Orders, day: int) -> np.ndarray:
        """Estimated effects on value, (n, actions), from all experiments whose outcome is known."""
        if day // SHOP.contact_every - FIRST in RELEARN or not self.model:
            self.model = [self.learn(orders, day)]
        predicted = self.model[-1].predict_effects(pa.table(seen.columns))["value"]
        return np.column_stack([predicted[action.name][0] for action in SHOP.actions])

    def learn(self, orders: Orders, day: int) -> UpliftBundle:
        """Fits the uplift model to the experiments that are at least a horizon old on a day."""
        known = [entry for entry in self.experiments if entry[0] * SHOP.contact_every + HORIZON <= day]
        names = np.array([*(action.name for action in SHOP.actions), "none"])
        value = [_value(orders, stretch * SHOP.contact_every)[seen.who] for stretch, seen, _ in known]
        arms = np.concatenate([arm for *_, arm in known])
        trial = experiment_from_columns(
            pa.concat_tables([pa.table(seen.columns) for _, seen, _ in known]),
            names[arms],
            {"value": np.concatenate(value)},
            control="none",
            propensity=np.array(MIX)[arms] / sum(MIX),
            customers=np.concatenate([seen.who for _, seen, _ in known]),
            rounds=np.repeat([stretch for stretch, *_ in known], [len(arm) for *_, arm in known]),
            actions=[action.name for action in SHOP.actions],
        )
        return estimate_effects(trial, seed=self.seed, resamples=2, proportional=("value",)).bundle


def view_customers(world: World, orders: Orders, given: np.ndarray, day: int) -> CustomerView:
    """The active customers of a day, with a subset of the catalog's features, computed in NumPy."""
    n, age = len(world.population.birth), day - orders.moment
    count = np.bincount(orders.who, minlength=n)
    last, first = (np.full(n, np.inf), np.zeros(n))
    np.minimum.at(last, orders.who, age)
    np.maximum.at(first, orders.who, age)
    who = np.flatnonzero((count > 0) & (last <= ACTIVE))

    def total(weight: np.ndarray) -> np.ndarray:
        return np.bincount(orders.who, weight, minlength=n)[who]

    columns = {"last_order_days": last[who], "first_order_days": first[who], "orders_count": count[who].astype(float)}
    for window in (30, 90, 365):
        columns[f"orders_count_{window}d"] = total(age <= window)
        columns[f"orders_amount_{window}d"] = total(orders.amount * (age <= window))
    columns["order_amount_mean"] = total(orders.amount) / count[who]
    for place, name in enumerate(SHOP.channels):
        columns[f"channel_share_{name}"] = total(orders.channel == place) / count[who]
        columns[f"channel_amount_90d_{name}"] = total(orders.amount * ((orders.channel == place) & (age <= 90)))
    past = given[who, : day // SHOP.contact_every]
    columns["contacts_count_90d"] = (past[:, -3:] >= 0).sum(axis=1).astype(float)
    return CustomerView(who, columns)


def predict_btyd(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predictions of BG/NBD and Gamma-Gamma for the next 90 days, fitted to a sample of these customers."""
    count, age = columns["orders_count"], columns["first_order_days"]
    rhythm = (count - 1, age - columns["last_order_days"], age)
    some = slice(None, None, -(-len(count) // MAX_FITTED))
    model = fit_bgnbd(*(values[some] for values in rhythm))
    spend = fit_gamma_gamma(count[some], columns["order_amount_mean"][some])
    money = spend.expected_spend(count, columns["order_amount_mean"])
    rate = (count - 1 + model.r) / (age + model.alpha * model.time_unit_days)  # a day, while alive
    returns = model.return_probability(*rhythm, 90)
    return {
        "expected_alive": model.alive_probability(*rhythm),
        "expected_return": returns,
        "expected_orders": model.expected_orders(*rhythm, 90),
        "expected_order_amount": money,
        "value_at_risk": (1 - returns) * 90 * rate * money,
    }


def _value(orders: Orders, day: int) -> np.ndarray:
    """Money of each customer in [day, day + HORIZON), by position."""
    in_horizon = (orders.moment >= day) & (orders.moment < day + HORIZON)
    return np.bincount(orders.who, orders.amount * in_horizon)


def round_budget(world: World) -> float:
    """The budget of one round."""
    return BUDGET * len(world.population.birth)


def for_all_customers(world: World, seen: CustomerView, chosen: np.ndarray) -> np.ndarray:
    """Extends a choice for the active customers to all customers: -1 (no action) for the others."""
    choices = np.full(len(world.population.birth), -1)
    choices[seen.who] = chosen
    return choices


def ranking_policy(
    world: World, rank: Callable[[CustomerView, np.random.Generator], np.ndarray], what: str, seed: int
) -> Decide:
    """A policy that contacts the active customers with the highest rank until the budget is spent."""

    def decide(stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, stretch])
        seen = view_customers(world, orders, given, stretch * SHOP.contact_every)
        action = {"letter": 0, "voucher": 1}.get(what)
        each = rng.integers(len(COSTS), size=len(seen.who)) if action is None else np.full(len(seen.who), action)
        order = np.argsort(-rank(seen, rng), kind="stable")
        paid = np.cumsum(COSTS[each[order]]) <= round_budget(world)
        chosen = np.full(len(seen.who), -1)
        chosen[order[paid]] = each[order[paid]]
        return for_all_customers(world, seen, chosen)

    return decide


def rfm_rank(names: Sequence[str]) -> Callable[[CustomerView, np.random.Generator], np.ndarray]:
    """A rank by RFM group in a given order, and within a group by spend in the last year."""

    def rank(seen: CustomerView, rng: np.random.Generator) -> np.ndarray:
        money = seen["orders_amount_365d"]
        r = rfm_scores(seen["last_order_days"], least_is_best=True)
        group = rfm_groups(RULES, r, rfm_scores(seen["orders_count_365d"]), rfm_scores(money))
        tier = np.array([names.index(name) for name in RULES])[group]
        return -tier + money / (money.max() + 1)

    return rank


RANKS: dict[str, Callable[[CustomerView, np.random.Generator], np.ndarray]] = {
    "highest risk": lambda seen, rng: 1 - predict_btyd(seen.columns)["expected_return"],
    "highest value at risk": lambda seen, rng: predict_btyd(seen.columns)["value_at_risk"],
    "RFM, those to be saved first": rfm_rank(SAVE_FIRST),
    "RFM, the best first": rfm_rank(BEST_FIRST),
}


def oracle_policy(world: World) -> Decide:
    """The oracle, which plans with the true effects."""

    def decide(stretch: int, orders: Orders, given: np.ndarray) -> np.ndarray:
        gains = MARGIN * true_gains(world, given, stretch) - COSTS
        choice = allocate_actions(allocation_problem(gains, COSTS, round_budget(world))).choice
        return np.where(choice < len(COSTS), choice, -1)

    return decide


def all_policies(world: World, seed: int) -> dict[str, Decide]:
    """Every policy by name; those that do not say which action to use are listed with each."""
    by_name: dict[str, Decide] = {
        "random": ranking_policy(world, lambda seen, rng: rng.random(len(seen.who)), "random", seed)
    }
    for name, rank in RANKS.items():
        by_name |= {
            f"{name} ({what})": ranking_policy(world, rank, what, seed) for what in ("letter", "voucher", "random")
        }
    return {**by_name, "ours": RegularsPolicy(world, seed).decide, "oracle": oracle_policy(world)}


def profit(orders: Orders, given: np.ndarray, first: int) -> float:
    """Margin on the orders from a day on, minus the cost of all contacts."""
    return MARGIN * float(orders.amount[orders.moment >= first].sum()) - float(COSTS[given[given >= 0]].sum())


def policy_gains(seed: int, customers: int, rounds: int = ROUNDS, only: Sequence[str] = ()) -> dict[str, float]:
    """The profit of each policy over doing nothing in the world of a seed, and, under 'contacts:', its contacts.

    Args:
        seed: The world's seed.
        customers: How many are born over the period.
        rounds: How many rounds are decided.
        only: The policies to run; all if empty.

    Returns:
        Figures by the name of the policy, 'contacts:' plus the name, or 'nothing' (the profit without any contact).
    """
    days = (FIRST + rounds) * SHOP.contact_every + AFTER
    world = draw_world(customers, Business(date(2023, 1, 1), days, SHOP, seed))
    first, figures = FIRST * SHOP.contact_every, {}
    nothing = profit(orders_given_decisions(world, world.no_contacts), world.no_contacts, first)
    for name, decide in all_policies(world, seed).items():
        if only and name not in only:
            continue
        given, orders = run_rounds(world, range(FIRST, FIRST + rounds), decide)
        figures[name] = profit(orders, given, first) - nothing
        figures[f"contacts:{name}"] = float((given >= 0).sum())
    return {"nothing": nothing, **figures}


def table(rows: pd.DataFrame) -> str:
    """The Markdown table over all seeds, with 95% t-intervals; differences to ours are paired by seed."""
    best = {name: _best(rows, name) for name in RANKS}
    policies_listed = ["random", *best.values(), "ours", "oracle"]
    lines = [
        "| policy | profit over doing nothing | share of the oracle's | ours more by | contacts |",
        "|:---|---:|---:|---:|---:|",
    ]
    for name in sorted(policies_listed, key=lambda name: rows[name].mean()):
        share = _with_interval(100 * rows[name] / rows["oracle"], "%")
        more = "" if name == "ours" else _with_interval(rows["ours"] - rows[name])
        lines.append(
            f"| {name} | {_with_interval(rows[name])} | {share} | {more} | {rows[f'contacts:{name}'].mean():,.0f} |"
        )
    return "\n".join(lines)


def _best(rows: pd.DataFrame, rule: str) -> str:
    return max((f"{rule} ({what})" for what in ("letter", "voucher", "random")), key=lambda name: rows[name].mean())


def _with_interval(values: pd.Series, unit: str = "") -> str:
    """The mean and its 95% confidence interval over seeds."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.sem()) if len(values) > 1 else np.nan
    mean = float(values.mean())
    return f"{mean:,.0f}{unit} ({mean - half:,.0f} to {mean + half:,.0f})"


def main(arguments: Sequence[str]) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--customers", type=int, default=20_000)
    options = parser.parse_args(arguments)
    rows_by_seed = []
    for seed in range(options.seeds):
        start = time.perf_counter()
        rows_by_seed.append(policy_gains(seed, options.customers))
        summary = ", ".join(f"{name} {rows_by_seed[-1][name]:,.0f}" for name in ("random", "ours", "oracle"))
        print(f"seed {seed}: {summary}; {time.perf_counter() - start:.0f} s", file=sys.stderr)
    rows = pd.DataFrame(rows_by_seed)
    print(
        f"{options.seeds} seeds, {options.customers:,} customers born over the period, {ROUNDS} rounds of "
        f"{BUDGET * options.customers:,.0f} each; doing nothing earns {_with_interval(rows['nothing'])}\n\n"
        f"{table(rows)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
